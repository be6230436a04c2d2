"""Finding and reading files: folders, rights, encodings, sizes; every problem of every file at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.resource import Part, Registry, load_paths, load_text
from tests.resource.kinds import registry

SERVICE = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: %s}\n"


def test_a_folder_is_read_recursively_and_sorted(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/z.yml", "a/c.yaml", ".hidden.yaml", ".git/x.yaml", "readme.md", "A.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = load_paths([tmp_path, tmp_path / "b.yaml", tmp_path / "readme.md"])
    wanted = ["A.yaml", "b.yaml", "a/c.yaml", "a/z.yml", "readme.md"]
    assert found == [(str(tmp_path / name), name) for name in wanted]


def test_everything_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    paths = [tmp_path / name for name in ("gone.yaml", "empty", "latin.yaml", "large.yaml", "pipe.yaml")]
    with pytest.raises(InvalidInput) as caught:
        load_paths(paths)
    assert {str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems} == {
        "gone.yaml: cannot be read: no such file or directory; check the path and its rights",
        "empty: the folder holds no *.yaml or *.yml; name another",
        "latin.yaml:2: is not UTF-8 (byte 0xe9); save it as UTF-8",
        "large.yaml: is larger than 1 MiB; split it into several files",
        "pipe.yaml: is no regular file; name a YAML file or a folder",
    }


def test_documents_of_several_files_keep_their_order_and_lines() -> None:
    files = [
        ("b.yaml", "---\n---\n# nothing\n---\n" + SERVICE % "one"),
        ("a.yaml", "\ufeff" + SERVICE % "two"),
    ]
    documents = load_text(files, registry())
    assert [(one.name, one.file, one.line) for one in documents] == [
        ("one", "b.yaml", 5),
        ("two", "a.yaml", 1),
    ]
    assert load_text([("empty.yaml", ""), ("comment.yaml", "# only\n")], registry()) == []


def test_problems_of_all_files_come_together_in_order() -> None:
    files = [
        ("b.yaml", SERVICE % "One"),
        ("a.yaml", "x: [\n"),
        ("c.yaml", SERVICE % "same"),
        ("d.yaml", SERVICE % "same"),
    ]
    with pytest.raises(InvalidInput) as caught:
        load_text(files, registry())
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [
        ("b.yaml", 3),
        ("a.yaml", 2),
        ("d.yaml", 3),
    ]
    assert "first at c.yaml:3" in caught.value.message


def test_text_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidInput, match="larger than 1 MiB"):
        load_text([("x.yaml", "# " + "é" * (1 << 20))], registry())
    with pytest.raises(InvalidInput, match="16 MiB together"):
        load_text([(f"{number}.yaml", "#" * (1 << 20)) for number in range(17)], registry())


def test_thousands_of_problems_are_cut_short() -> None:
    with pytest.raises(InvalidInput) as caught:
        load_text([("x.yaml", "--- 1\n" * 2000)], registry())
    assert len(caught.value.problems) == 501
    assert str(caught.value.problems[-1]) == "and 1500 more problems; correct these first"


def test_values_follow_yaml_1_2() -> None:
    text = SERVICE % "x" + (
        "spec: {a: on, b: 2024-01-01, c: 0o17, d: 0x1F, e: 010, f: ~, g: .5, h: 1e3, i: 12:30, j: !!str 5, "
        "k: !!float 1, l: 'null', m: True, n: 1_000}\n"
    )
    (document,) = load_text([("x.yaml", text)], registry())
    assert document.body["spec"] == {
        "a": "on", "b": "2024-01-01", "c": 15, "d": 31, "e": 10, "f": None, "g": 0.5, "h": 1000.0,
        "i": "12:30", "j": "5", "k": 1.0, "l": "null", "m": True, "n": "1_000",
    }  # fmt: skip


def test_aliases_and_merge_keys_are_expanded() -> None:
    text = SERVICE % "x" + "spec:\n  a: &a {x: 1, y: 2}\n  b: {<<: [*a, {z: 0}], y: 3}\n  c: [*a, *a]\n"
    (document,) = load_text([("x.yaml", text)], registry())
    both = {"x": 1, "y": 2}
    assert document.body["spec"] == {"a": both, "b": {"x": 1, "y": 3, "z": 0}, "c": [both, both]}
    assert document.lines["spec", "b", "x"] == 5


@given(st.text(st.sampled_from(list("ab:-?[]{},&*!|>'\"%@`# \n\t0~<.")), max_size=60) | st.text(max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        load_text([("x.yaml", text)], registry())
    except InvalidInput as error:
        assert all(problem.file == "x.yaml" for problem in error.problems)
        assert error.problems


def test_a_kind_registers_once_and_tells_unknown_fields() -> None:
    class Loose(Part, extra="allow"):
        pass

    class Strict(Part):
        pass

    made = Registry()
    made.register("v1", "Thing", Strict)
    assert made.kinds == {("v1", "Thing"): Strict}
    with pytest.raises(ValueError, match="registered already"):
        made.register("v2", "Thing", Strict)
    with pytest.raises(ValueError, match="extra='forbid'"):
        made.register("v1", "Other", Loose)


def test_a_list_of_documents_is_each_of_them() -> None:
    text = "- {apiVersion: openslo/v1, kind: Service, metadata: {name: a}}\n" + (
        "- apiVersion: openslo/v1\n  kind: SLO\n  metadata:\n    name: b\n  spec:\n    service: a\n"
        "    objectives:\n      - target: 0.9\n---\n" + SERVICE % "c"
    )
    found = load_text([("list.yaml", text)], registry())
    assert [(document.kind, document.name, document.line) for document in found] == [
        ("Service", "a", 1),
        ("SLO", "b", 2),
        ("Service", "c", 11),
    ]
    with pytest.raises(InvalidInput) as caught:
        load_text([("list.yaml", text.replace("0.9", "9"))], registry())
    assert [str(problem).split(": found")[0] for problem in caught.value.problems] == [
        "list.yaml:9: spec.objectives[0].target"
    ]
