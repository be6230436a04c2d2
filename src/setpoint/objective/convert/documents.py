"""From files to OpenSLO: finds out whose document each is, lets `sloth` and `pyrra` convert it, checks what comes out.

`setpoint import` calls `import_documents`; no server is needed. What is wrong with a document (no name, a target that
is none) is a problem, and then nothing is made. What is right and cannot be carried over is a note, and the rest is
made. Every document that is made passes the same checks as one that is applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from setpoint.errors import InvalidInput, Problem
from setpoint.objective.convert.carried import Note, Notes, one_line
from setpoint.objective.convert.older_openslo import taken_apart
from setpoint.objective.convert.pyrra import KIND as PYRRA_KIND
from setpoint.objective.convert.pyrra import VERSION as PYRRA
from setpoint.objective.convert.pyrra import from_pyrra
from setpoint.objective.convert.sloth import KUBERNETES, VERSION, from_kubernetes, from_sloth
from setpoint.objective.convert.windows import Windows, read_windows
from setpoint.objective.convert.writing import Options, Written, openslo_duration
from setpoint.objective.duration import parse_duration
from setpoint.objective.spec.names import slug
from setpoint.resource import Registry, canonical_yaml
from setpoint.resource.fields import Fields
from setpoint.resource.load import BYTES_MAX
from setpoint.resource.model import Place
from setpoint.resource.read import Source, read_yaml

__all__ = ["Imported", "Origin", "import_documents"]

Origin = Literal["sloth", "pyrra"]

_PROBLEMS_MAX = 500


@dataclass(frozen=True, slots=True)
class Imported:
    """OpenSLO documents, and what is to be said of the ones that they were made from."""

    documents: list[Written] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Note]:
        """The notes of a kind, in the order of the files."""
        return [note for note in self.notes if note.kind == kind]

    @property
    def text(self) -> str:
        """The documents as canonical YAML; above each, as comments, what is different in it or missing."""
        return "---\n".join(_commented(one) for one in self.documents)


def import_documents(
    files: Sequence[tuple[str, str]],
    registry: Registry,
    *,
    options: Options | None = None,
    origin: Origin | None = None,
) -> Imported:
    """The documents of `files` (name, text) in OpenSLO. `origin` says whose those are that do not say it themselves.

    Raises InvalidInput with all problems of all files, also when nothing is found that could be carried over.
    """
    options = options or Options()
    _refuse_options(options)
    problems: list[Problem] = []
    sources = [one for name, text in files for one in _sources(name, text, problems)]
    reading = _Reading(registry, options, origin, problems)
    reading.read(sources)
    if len(problems) > _PROBLEMS_MAX:
        problems[_PROBLEMS_MAX:] = [
            Problem(f"and {len(problems) - _PROBLEMS_MAX} more problems; correct these first")
        ]
    if problems:
        raise InvalidInput(problems=tuple(problems))
    found = reading.imported()
    if not found.documents:
        raise _nothing(found)
    return found


def _nothing(found: Imported) -> InvalidInput:
    """The error of files with nothing in them that could be carried over: why, place by place."""
    told = [Problem(one.message, one.file, one.line, one.path or None) for one in found.notes][:_PROBLEMS_MAX]
    message = "nothing in these files can be carried over; name files with SLOs of Sloth or Pyrra"
    return InvalidInput("\n".join([*map(str, told), message]), tuple(told))


def _refuse_options(options: Options) -> None:
    try:
        openslo_duration(options.period)
    except InvalidInput as error:
        raise InvalidInput(f"--period {error.message}") from error
    for flag, value in (("--service", options.service), ("--datasource", options.source)):
        if value != slug(value):
            raise InvalidInput(
                f"{flag} '{value[:80]}' is no name; write up to 63 lower-case letters, digits and '-'"
            )


def _sources(name: str, text: str, problems: list[Problem]) -> Iterator[Source]:
    """Every document of a file; those of a list of Kubernetes one by one."""
    if len(text.encode(errors="replace")) > BYTES_MAX:
        problems.append(Problem(f"is larger than {BYTES_MAX >> 20} MiB; split it into several files", name))
        return
    sources, ending = read_yaml(name, text)
    for source in sources:
        problems.extend(source.problems)
        yield from _items(source, problems)
    problems.extend(ending)


def _items(source: Source, problems: list[Problem]) -> Iterator[Source]:
    body = source.body
    if isinstance(body, list):
        wrapped: Any = {"items": body}
        prefixed: dict[Place, int] = {("items", *place): line for place, line in source.lines.items()}
        plain: dict[Place, str] = {("items", *place): text for place, text in source.plain.items()}
        source = Source(source.file, source.line, wrapped, prefixed, plain)
    elif not (isinstance(body, dict) and str(body.get("kind", "")).endswith("List") and "items" in body):
        yield source
        return
    fields = Fields(source, (), source.body, problems)
    for index, value in enumerate(fields.values("items")):
        if isinstance(value, dict):
            yield fields.source("items", index)
        else:
            fields.report("a mapping is expected here", "items", index)


class _Reading:
    """The documents of all files, one after the other."""

    def __init__(
        self, registry: Registry, options: Options, origin: Origin | None, problems: list[Problem]
    ) -> None:
        self._registry, self._options, self._origin = registry, options, origin
        self._problems = problems
        self._written: list[Written] = []
        self._notes: list[Note] = []

    def read(self, sources: Sequence[Source]) -> None:
        """Convert each; windows first, because SLOs of any file may use them."""
        windows: list[Windows] = []
        others = []
        for source in sources:
            if isinstance(source.body, dict) and _kind(source.body) == (KUBERNETES, "AlertWindows"):
                notes = Notes(document="AlertWindows")
                found = read_windows(Fields(source, (), source.body, self._problems), notes)
                self._notes.extend(notes.found)
                if found is not None:
                    self._add_windows(found, windows)
            else:
                others.append(source)
        for source in others:
            if isinstance(source.body, dict):
                self._convert(source, windows)
            else:
                message = "a mapping is expected; write a document of Sloth or Pyrra"
                self._problems.append(Problem(message, source.file, source.line))
        self._note_unused(windows)

    def _add_windows(self, found: Windows, windows: list[Windows]) -> None:
        earlier = next((one for one in windows if one.period_s == found.period_s), None)
        if earlier is None:
            windows.append(found)
            return
        message = (
            f"these windows are for the period of those at {earlier.file}:{earlier.line}; keep one of the two"
        )
        self._problems.append(Problem(message, found.file, found.line, "spec.sloPeriod"))

    def _convert(self, source: Source, windows: Sequence[Windows]) -> None:
        fields = Fields(source, (), source.body, self._problems)
        version, kind = _kind(source.body)
        is_bare = not version and not kind
        if (version, kind) == (KUBERNETES, "PrometheusServiceLevel"):
            self._written += from_kubernetes(fields, self._options, windows, self._notes)
        elif (version, kind) == (PYRRA, PYRRA_KIND):
            self._written += from_pyrra(fields, self._options, self._notes)
        elif is_bare and self._is_sloth(fields):
            self._written += from_sloth(fields, self._options, windows, self._notes)
        elif is_bare and fields.has("version") and fields.has("service"):
            shown = one_line(fields.text("version"))[:80]
            fields.report(f"'{shown}' is no version of Sloth's that is read; write {VERSION}", "version")
        elif is_bare and fields.has("slos"):
            fields.report(f"is missing; write 'version: {VERSION}', or read it with --from sloth", "version")
        elif version.startswith(("sloth.slok.dev/", "pyrra.dev/")):
            shown = one_line(f"{version} {kind}")[:120]
            known = f"{KUBERNETES} PrometheusServiceLevel and AlertWindows, {PYRRA} {PYRRA_KIND}"
            fields.report(f"'{shown}' is not read; known are {known}", "apiVersion")
        else:
            self._pass_on(source, fields, f"{version} {kind}".strip())

    def _is_sloth(self, fields: Fields) -> bool:
        if not fields.has("version"):
            return self._origin == "sloth"
        return fields.text("version") == VERSION

    def _pass_on(self, source: Source, fields: Fields, shown: str) -> None:
        """A document that Setpoint reads itself stays as it is; of another kind nothing is lost."""
        version, kind = _kind(source.body)
        if version.startswith(("openslo", "setpoint/")):
            for one in taken_apart(source, notes := Notes(document=kind)):
                self._keep(one)
            self._notes.extend(notes.found)
            return
        notes = Notes(document=one_line(kind)[:80])
        what = f"a document of {one_line(shown)[:80]}" if shown else "what stands here"
        notes.idle(fields, f"{what} is none of Sloth, Pyrra or OpenSLO, and is left out")
        self._notes.extend(notes.found)

    def _keep(self, source: Source) -> None:
        document, problems = self._registry.parse(source)
        self._problems.extend(problems)
        if document is not None:
            self._written.append(
                Written(document.body, source.file, source.line, identity=document.name, is_as_written=True)
            )

    def _note_unused(self, windows: Sequence[Windows]) -> None:
        period_s = parse_duration(openslo_duration(self._options.period))
        for one in windows:
            if one.period_s != period_s:
                message = (
                    f"these windows are for another period than {self._options.period}; give it with --period"
                )
                self._notes.append(
                    Note("lost", message, one.file, one.line, "spec.sloPeriod", "AlertWindows")
                )

    def imported(self) -> Imported:
        """What was made, each name once, and checked. Raises InvalidInput where two SLOs are one too many."""
        kept: dict[tuple[str, str], Written] = {}
        for one in self._written:
            earlier = kept.get(one.key)
            if earlier is None or (
                one.key[0] == "Service" and one.is_as_written and not earlier.is_as_written
            ):
                kept[one.key] = one  # what somebody wrote says more than what was made
            elif one.key[0] == "Service" and not one.is_as_written:
                continue
            elif earlier.body != one.body or one.key[0] == "SLO":
                self._tell_apart(one, earlier, kept)
        if self._problems:
            raise InvalidInput(problems=tuple(self._problems))
        documents = [one for one in _ordered(list(kept.values())) if self._is_valid(one)]
        if not self._options.has_services:
            documents = [one for one in documents if one.key[0] != "Service" or one.is_as_written]
        self._drop_policies(documents)
        is_useful = any(one.key[0] not in ("Service", "AlertPolicy") for one in documents)
        notes = sorted(self._notes, key=_place_of(self._notes))
        return Imported(documents if is_useful else [], notes)

    def _drop_policies(self, documents: Sequence[Written]) -> None:
        """Take references to policies off that were made and are left out."""
        known = {one.key[1] for one in documents if one.key[0] == "AlertPolicy"}
        for one in documents:
            if one.key[0] != "SLO" or one.is_as_written:
                continue
            entries = one.body["spec"].get("alertPolicies") or []
            for entry in [entry for entry in entries if entry["alertPolicyRef"] not in known]:
                entries.remove(entry)
                message = f"the alert {entry['alertPolicyRef']} is missing, because its policy is left out"
                self._notes.append(Note("lost", message, one.file, one.line, "", one.key[1]))

    def _tell_apart(self, one: Written, earlier: Written, kept: dict[tuple[str, str], Written]) -> None:
        kind, name = one.key
        if kind != "SLO" or one.identity == earlier.identity:
            message = f"{kind} '{name}' is declared twice, first at {earlier.file}:{earlier.line}; rename or remove one"
            self._problems.append(Problem(message, one.file, one.line))
            return
        number = next(n for n in range(2, len(kept) + 3) if (kind, f"{name[:60]}-{n}") not in kept)
        one.body["metadata"]["name"] = f"{name[:60]}-{number}"
        message = f"'{name}' is the name of another SLO, too ({earlier.file}:{earlier.line}); this one gets a number"
        note = Note("changed", message, one.file, one.line, "", name)
        one.notes.append(note)
        self._notes.append(note)
        kept[one.key] = one

    def _is_valid(self, one: Written) -> bool:
        """Whether the registry takes it; what it does not is left out, and said."""
        _, problems = self._registry.parse(Source("", 0, one.body))
        kind, name = one.key
        if not problems:
            return True
        told = "; ".join(str(problem) for problem in problems[:3])
        message = one_line(f"{kind} '{name}' is left out: {told}")
        self._notes.append(Note("lost", message, one.file, one.line, "", name))
        return False


def _place_of(notes: Sequence[Note]) -> Any:
    files = {file: rank for rank, file in enumerate(dict.fromkeys(note.file for note in notes))}
    return lambda note: (files[note.file], note.line)


def _ordered(documents: Sequence[Written]) -> list[Written]:
    """What others refer to first."""
    rank = {"Service": 0, "AlertPolicy": 1}
    return sorted(documents, key=lambda one: rank.get(one.key[0], 2))


def _kind(body: dict[str, Any]) -> tuple[str, str]:
    version, kind = body.get("apiVersion"), body.get("kind")
    return (version if isinstance(version, str) else ""), (kind if isinstance(kind, str) else "")


def _commented(one: Written) -> str:
    lines = [f"# from {one_line(one.file)}:{one.line}"] if one.file else []
    if one.key[0] == "Service" and not one.is_as_written:
        lines.append(
            "# replaces a Service of this name that is declared already: leave it out with --no-services"
        )
    words = {"lost": "not carried over", "changed": "changed", "idle": ""}
    for note in one.notes:
        if words[note.kind] and one.key[0] not in ("Service", "AlertPolicy"):
            place = f"{note.path}: " if note.path else ""
            lines.append(f"# {words[note.kind]}: {one_line(place)} {note.message}".replace(":  ", ": "))
    return "\n".join([*lines, canonical_yaml(one.body)])
