"""The kinds that Setpoint knows: each package registers its own, and documents are checked against them.

`app.default_registry` collects the kinds; `load` and `store` turn what was read into `Document`s with
`parse`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from setpoint.errors import InvalidInput, Problem
from setpoint.resource.explain import describe, explain
from setpoint.resource.model import Document, Place, line_at, show_place
from setpoint.resource.read import Source
from setpoint.resource.rewrite import as_written

__all__ = ["Catalogue", "Check", "Convert", "Registry", "Relation"]

Catalogue = Mapping[tuple[str, str], Document]
"""Every document as it will be after an apply, by kind and name."""

Check = Callable[[Document], Iterable[Problem]]
"""Looks at one document alone, such as whether its queries parse. A problem may name only its `path`."""

Relation = Callable[[Document, Catalogue], Iterable[Problem]]
"""Looks at a document among all others."""

Foreign = Callable[[Mapping[str, Any], str], str | None]
"""Looks at a body and the name of its file: whose document it is and what to do with it; None where that is unknown."""

Convert = Callable[[Source], Source]
"""Rewrites a document of an older `apiVersion`, whose body is a mapping, into the one that is kept."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}.*")
_OLD_BOOLEAN = re.compile(r"(y|n|yes|no|on|off)", re.IGNORECASE)
_ENVELOPE = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, slots=True)
class _Kind:
    api_version: str
    kind: str
    model: type[BaseModel]
    check: Check | None
    references: Relation | None
    advice: Relation | None


class Registry:
    """Known kinds by `apiVersion` and `kind`."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._older: dict[tuple[str, str], Convert] = {}
        self._foreign: list[Foreign] = []

    def register_foreign(self, recognise: Foreign) -> None:
        """Ask `recognise` about documents of kinds that are not known, so that a problem says what to do with them."""
        self._foreign.append(recognise)

    def register_older(self, api_version: str, kinds: Iterable[str], convert: Convert) -> None:
        """Read these kinds of another `api_version`, too: `convert` rewrites them into a kind that is registered."""
        for kind in kinds:
            self._older[api_version, kind] = convert

    def register(
        self,
        api_version: str,
        kind: str,
        model: type[BaseModel],
        check: Check | None = None,
        *,
        references: Relation | None = None,
        advice: Relation | None = None,
    ) -> None:
        """Add a kind. `model` validates the whole document (apiVersion, kind, metadata, spec) and forbids
        extras.

        `check` finds what the model cannot, in one document; `references` finds what is wrong among all
        documents after an apply, and refuses it; `advice` finds what is allowed there but looks wrong, and
        only warns. Raises ValueError for a kind that is known already or a model that lets unknown fields
        pass.
        """
        if any(known == kind for _, known in self._kinds):
            raise ValueError(f"the kind {kind} is registered already")
        if model.model_config.get("extra") != "forbid":
            raise ValueError(f"{model.__name__} must set extra='forbid', so that misspelt fields are told")
        self._kinds[api_version, kind] = _Kind(api_version, kind, model, check, references, advice)

    def relate(
        self, kind: str, *, references: Relation | None = None, advice: Relation | None = None
    ) -> None:
        """Have another package look, too, at the documents of a kind that is registered already."""
        key = next(known for known in self._kinds if known[1] == kind)
        one = self._kinds[key]
        self._kinds[key] = replace(
            one, references=_both(one.references, references), advice=_both(one.advice, advice)
        )

    @property
    def kinds(self) -> dict[tuple[str, str], type[BaseModel]]:
        """The model of every known (apiVersion, kind)."""
        return {key: known.model for key, known in sorted(self._kinds.items())}

    def parse(self, source: Source) -> tuple[Document | None, list[Problem]]:
        """The document in `source`, or None and everything that is wrong with it."""
        envelope = source.body if isinstance(source.body, dict) else {}
        version, kind = envelope.get("apiVersion"), envelope.get("kind")
        convert = (
            self._older.get((version, kind)) if isinstance(version, str) and isinstance(kind, str) else None
        )
        if convert is None:
            return self._parse(source)
        rewritten = convert(source)
        if len(rewritten.problems) > len(
            source.problems
        ):  # what is left would be told to miss what was refused
            return None, rewritten.problems
        document, problems = self._parse(rewritten)
        known = frozenset(rewritten.problems)
        return document, [one if one in known else as_written(one, rewritten) for one in problems]

    def _parse(self, source: Source) -> tuple[Document | None, list[Problem]]:
        problems = list(source.problems)
        body = source.body
        if not isinstance(body, dict):
            found = "what stands here" if body is None else describe(body)
            message = f"expected a mapping with apiVersion, kind, metadata and spec, found {found}"
            return None, problems or [Problem(message, source.file, source.line)]
        for recognise in self._foreign:
            whose = recognise(body, source.file)
            if whose is not None:
                return None, [*problems, Problem(whose, source.file, source.line)]
        known = self._find_kind(source, problems)
        name = _find_name(source, problems)
        if known is None:
            return None, problems
        try:
            spec = known.model.model_validate(body)
        except ValidationError as error:
            told = {problem.path for problem in problems}
            for fault in error.errors(include_url=False):
                problem = explain(fault, source, known.model)
                if problem.path not in told or problem.path is None:
                    problems.append(problem)
                    told.add(problem.path)  # the branches of a union speak of one value; the first is enough
            return None, problems
        if problems or name is None:
            return None, problems
        document = Document(
            known.api_version,
            known.kind,
            name,
            body,
            spec,
            source.file or None,
            source.line or None,
            source.lines,
        )
        problems = [document.locate(problem) for problem in _run(known.check, document)]
        return (None if problems else document), problems

    def parse_body(self, body: dict[str, Any]) -> Document:
        """A document that is stored. Raises InvalidInput when this version no longer takes it."""
        document, problems = self.parse(Source("", 0, body))
        if document is None:
            raise InvalidInput(problems=tuple(problems))
        return document

    def references(self, document: Document, catalogue: Catalogue) -> list[Problem]:
        """What is wrong with `document` among the others."""
        return self._relate(self._kinds[document.api_version, document.kind].references, document, catalogue)

    def advice(self, document: Document, catalogue: Catalogue) -> list[Problem]:
        """What looks wrong with `document` among the others, but is allowed."""
        return self._relate(self._kinds[document.api_version, document.kind].advice, document, catalogue)

    @staticmethod
    def _relate(relation: Relation | None, document: Document, catalogue: Catalogue) -> list[Problem]:
        return [] if relation is None else [document.locate(found) for found in relation(document, catalogue)]

    def _find_kind(self, source: Source, problems: list[Problem]) -> _Kind | None:
        version, kind = (
            _find_text(source, field, problems, self._example(field)) for field in ("apiVersion", "kind")
        )
        if kind is None:
            return None
        same = [known for known in self._kinds.values() if known.kind == kind]
        if not same:
            names = sorted(known for _, known in self._kinds)
            message = f"the kind '{kind}' is not known; {nearest(kind, names)}write one of {', '.join(names)}"
            problems.append(_problem(source, message, "kind"))
            return None
        if version is not None and version != same[0].api_version:
            older = sorted(one for one, of_kind in self._older if of_kind == kind)
            also = f" ({' and '.join(older)} can be read, too)" if older else ""
            message = f"'{version}' is not known for the kind {kind}; write {same[0].api_version}{also}"
            problems.append(_problem(source, message, "apiVersion"))
        return same[0]

    def _example(self, field: str) -> str:
        position = 0 if field == "apiVersion" else 1
        return next((f"'{field}: {key[position]}'" for key in sorted(self._kinds)), f"'{field}: …'")


def _both(first: Relation | None, second: Relation | None) -> Relation | None:
    if first is None or second is None:
        return first or second
    return lambda document, catalogue: [*first(document, catalogue), *second(document, catalogue)]


def _run(check: Check | None, document: Document) -> list[Problem]:
    if check is None:
        return []
    try:
        return list(check(document))
    except InvalidInput as error:
        return list(error.problems) or [Problem(error.message)]


def _problem(source: Source, message: str, *place: str | int) -> Problem:
    return Problem(message, source.file, line_at(source.lines, place, source.line), show_place(place))


def _find_text(source: Source, field: str, problems: list[Problem], example: str) -> str | None:
    if field not in source.body:
        near = difflib.get_close_matches(field, [key for key in source.body if key not in _ENVELOPE], 1, 0.75)
        hint = f"'{near[0]}' looks like it; write" if near else "add"
        problems.append(_problem(source, f"is missing; {hint} {example}", field))
        return None
    value = source.body[field]
    if not isinstance(value, str):
        message = f"expected text, found {describe(value)}; write {example}"
        problems.append(_problem(source, message, field))
        return None
    return value


def _find_name(source: Source, problems: list[Problem]) -> str | None:
    metadata = source.body.get("metadata")
    place: Place = ("metadata", "name")
    if metadata is None:
        problems.append(_problem(source, "is missing; add 'metadata:' with a 'name:' in it", "metadata"))
        return None
    if not isinstance(metadata, dict):
        message = f"expected a mapping with a name, found {describe(metadata)}; write 'name: …' below it"
        problems.append(_problem(source, message, "metadata"))
        return None
    if metadata.get("name") is None:
        problems.append(
            _problem(source, "is missing; add a name, such as 'name: checkout-availability'", *place)
        )
        return None
    name, plain = metadata["name"], source.plain.get(place)
    if not isinstance(name, str):
        advice = f'write "{plain}" in quotes' if plain and _NAME.fullmatch(plain) else "write text"
        problems.append(_problem(source, f"expected text, found {describe(name, plain)}; {advice}", *place))
    elif plain is not None and (_OLD_BOOLEAN.fullmatch(plain) or _DATE.fullmatch(plain)):
        meaning = "a date" if _DATE.fullmatch(plain) else "a boolean"
        message = (
            f"'{plain}' without quotes is {meaning} to other YAML tools; write \"{plain.lower()}\" in quotes"
        )
        problems.append(_problem(source, message, *place))
    elif not _NAME.fullmatch(name):
        shown = name if len(name) <= 80 else name[:77] + "…"
        fixed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
        advice = f", such as {fixed}" if fixed else ""
        message = f"'{shown}' is no name; write at most 63 lower-case letters, digits and '-'{advice}"
        problems.append(_problem(source, message, *place))
    else:
        return name
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'? ` for the known word that is nearest to `word` in any case, or nothing."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(word.lower(), list(by_lower), 1, 0.6)
    return f"did you mean '{by_lower[near[0]]}'? " if near else ""
