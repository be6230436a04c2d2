"""Results of tests as JUnit XML, which continuous integration reads."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setpoint.alert.from_promql import Failure, FileVerdict

__all__ = ["junit_xml"]

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(verdicts: Sequence[FileVerdict]) -> bytes:
    """A suite for each file, a case for each test; a file that cannot be run is a case with an error."""
    root = ET.Element("testsuites")
    for verdict in verdicts:
        failed = sum(1 for test in verdict.tests if test.failures)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_clean(verdict.file),
            tests=str(len(verdict.tests) + bool(verdict.problems)),
            failures=str(failed),
            errors=str(int(bool(verdict.problems))),
            time=f"{verdict.duration_s:.3f}",
        )
        if verdict.problems:
            case = ET.SubElement(suite, "testcase", name="reading", classname=_clean(verdict.file))
            ET.SubElement(case, "error", message="the file cannot be run").text = _clean(
                "\n".join(verdict.problems)
            )
        for test in verdict.tests:
            case = ET.SubElement(
                suite,
                "testcase",
                name=_clean(test.name),
                classname=_clean(verdict.file),
                file=_clean(verdict.file),
                line=str(test.line),
            )
            for failure in test.failures:
                _failure(case, failure)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _failure(case: ET.Element, failure: Failure) -> None:
    from setpoint.alert.from_promql import difference

    lines = [failure.message] if failure.message else []
    lines += difference(failure.expected, failure.got)
    below = ET.SubElement(case, "failure", message=_clean(failure.title))
    below.text = _clean("\n".join([f"line {failure.line}", *lines]))


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
