"""Every file in `cases/` is wrong in its own way; the `.txt` beside it is exactly what the user reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.errors import InvalidInput
from setpoint.resource import load_text
from tests.resource.kinds import registry

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_wrong_file_gives_exactly_these_errors(path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_text([(path.name, path.read_text(encoding="utf-8"))], registry())
    assert caught.value.message + "\n" == path.with_suffix(".txt").read_text(encoding="utf-8")
