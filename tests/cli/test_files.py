"""Files, folders and standard input as resource files."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.cli.files import read_files, resource_names
from setpoint.errors import InvalidInput

SERVICE = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: %s}\nspec: {}\n"


def test_a_folder_is_walked_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.yaml", "a.yml", "sub/c.yaml", "notes.txt"):
        (tmp_path / name).write_text(name)
    assert read_files([tmp_path]) == [
        (str(tmp_path / name), name) for name in ("a.yml", "b.yaml", "sub/c.yaml")
    ]


def test_all_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput) as raised:
        read_files([tmp_path / "absent.yaml", tmp_path / "latin.yaml", tmp_path / "empty"])
    absent, latin, empty = raised.value.message.splitlines()
    assert absent == f"{tmp_path}/absent.yaml: cannot be read: No such file or directory"
    assert latin == f"{tmp_path}/latin.yaml: is not UTF-8 text (byte 9)"
    assert empty == f"{tmp_path}/empty: the folder holds no .yaml or .yml file"


def test_names_of_every_document() -> None:
    two = SERVICE % "one" + "---\n" + SERVICE % "two" + "---\n"
    assert resource_names([("x.yaml", two)]) == [("Service", "one"), ("Service", "two")]


@pytest.mark.parametrize("text", ["a: [", "- 1", "kind: SLO", "plain", "kind: SLO\nmetadata: x"])
def test_what_names_nothing_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"x\.yaml: "):
        resource_names([("x.yaml", text)])
