"""pydantic's findings in the words and at the lines of the document that the user wrote. Used by
`registry`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from setpoint.errors import Problem
from setpoint.resource.model import Place, line_at, show_place
from setpoint.resource.read import Source

__all__ = ["describe", "explain"]

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "nothing",
}
_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda context: f"write a number greater than {context['gt']}",
    "greater_than_equal": lambda context: f"write {context['ge']} or more",
    "less_than": lambda context: f"write a number less than {context['lt']}",
    "less_than_equal": lambda context: f"write {context['le']} or less",
    "string_too_short": lambda context: f"write at least {_count(context['min_length'], 'character')}",
    "string_too_long": lambda context: f"write at most {_count(context['max_length'], 'character')}",
    "too_short": lambda context: f"write at least {_count(context['min_length'], 'item')}",
    "too_long": lambda context: f"write at most {_count(context['max_length'], 'item')}",
    "string_pattern_mismatch": lambda context: f"write text of the form {context['pattern']}",
}
_SHOWN_MAX = 60


def explain(fault: Mapping[str, Any], source: Source, model: type[BaseModel]) -> Problem:
    """One entry of pydantic's `ValidationError.errors()` as a problem with file, line, path and advice."""
    place = _place(fault, source.body)
    if fault["type"] == "missing":
        message = "is missing; " + _advice_for_missing(place, source, model)
    elif fault["type"] == "extra_forbidden":
        message = _unknown_field(
            str(place[-1]), _fields_at(model, place[:-1]), _value_at(source.body, place[:-1])
        )
    else:
        message = _wrong_value(fault, source.plain.get(place))
    return Problem(message, source.file, line_at(source.lines, place, source.line), show_place(place))


def describe(value: Any, plain: str | None = None) -> str:
    """What `value` is, for a sentence: `the number 5`, `a list`; `plain` is how it was written, if known."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {plain or str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {plain or value}"
    if isinstance(value, str):
        shown = value if len(value) <= _SHOWN_MAX else value[: _SHOWN_MAX - 1] + "…"
        return f"the text {json.dumps(shown, ensure_ascii=False)}"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def _wrong_value(fault: Mapping[str, Any], plain: str | None) -> str:
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind in _WANTED:
        advice = ""
        if kind == "string_type" and isinstance(value, (bool, int, float)):
            advice = f'; write "{plain or value}" in quotes'
        elif kind.startswith(("int", "float", "bool")) and isinstance(value, str) and plain is None:
            advice = "; write it without quotes" if _is_number(value) else ""
        return f"expected {_WANTED[kind]}, found {describe(value, plain)}{advice}"
    if kind in ("literal_error", "enum"):
        known = [part.strip("'") for part in str(context["expected"]).replace(" or ", ", ").split(", ")]
        near = difflib.get_close_matches(str(value).lower(), [one.lower() for one in known], 1, 0.6)
        hint = next((f"did you mean '{one}'? " for one in known if near and one.lower() == near[0]), "")
        return f"{describe(value, plain)} is not known; {hint}write {' or '.join(known)}"
    if kind in _SENTENCES:
        return f"found {describe(value, plain)}; {_SENTENCES[kind](context)}"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", fault["msg"]))
    message = str(fault["msg"])
    return f"{message[:1].lower()}{message[1:]}, found {describe(value, plain)}"


def _place(fault: Mapping[str, Any], body: Any) -> Place:
    """pydantic's loc without the steps that name a branch of a union instead of a place in the document."""
    place: list[str | int] = []
    value = body
    steps = fault["loc"]
    for number, step in enumerate(steps):
        is_absent = fault["type"] == "missing" and number == len(steps) - 1
        if isinstance(value, Mapping) and (step in value or is_absent):
            place.append(step)
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            place.append(step)
            value = value[step]
    return tuple(place)


def _value_at(body: Any, place: Place) -> Any:
    for step in place:
        body = body[step]
    return body


def _unknown_field(name: str, known: list[str], siblings: Any) -> str:
    written = set(siblings) if isinstance(siblings, Mapping) else set()
    near = difflib.get_close_matches(
        name.lower(), [one.lower() for one in known if one not in written], 1, 0.6
    )
    hint = next((f"did you mean '{one}'? " for one in known if near and one.lower() == near[0]), "")
    if not known:
        return f"the field '{name}' is not known; remove it"
    return f"the field '{name}' is not known; {hint}known here: {', '.join(known)}"


def _advice_for_missing(place: Place, source: Source, model: type[BaseModel]) -> str:
    """Names a misspelt sibling when there is one, so that the two findings read as one."""
    siblings = _value_at(source.body, place[:-1])
    unknown = [key for key in siblings if key not in _fields_at(model, place[:-1])]
    near = difflib.get_close_matches(str(place[-1]), unknown, 1, 0.75)
    return f"'{near[0]}' looks like it; write '{place[-1]}'" if near else f"add '{place[-1]}: …'"


def _fields_at(model: type[BaseModel], place: Place) -> list[str]:
    """The fields that the model knows at `place`, in the order of declaration, as a user writes them."""
    found: list[Any] = [model]
    for step in place:
        found = [inner for annotation in found for inner in _step_into(annotation, step)]
    names: dict[str, None] = {}
    for annotation in found:
        for branch in _branches(annotation):
            if _is_model(branch):
                names |= dict.fromkeys(info.alias or name for name, info in branch.model_fields.items())
    return list(names)


def _step_into(annotation: Any, step: str | int) -> Iterator[Any]:
    for branch in _branches(annotation):
        if _is_model(branch):
            for name, info in branch.model_fields.items():
                if (info.alias or name) == step:
                    yield info.annotation
        elif isinstance(step, int) and get_origin(branch) in (list, tuple):
            yield from (argument for argument in get_args(branch) if argument is not Ellipsis)
        elif isinstance(step, str) and get_origin(branch) is dict:
            yield get_args(branch)[1]


def _branches(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _branches(argument)
    elif get_origin(annotation) is Annotated:
        yield from _branches(get_args(annotation)[0])
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_number(text: str) -> bool:
    return text.strip().lstrip("+-").replace(".", "", 1).isdigit()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
