"""The API of resources: apply, validate, list, get, delete, revisions. Commands use it; there is no page of
its own."""

from __future__ import annotations

import difflib

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from setpoint.errors import InvalidInput
from setpoint.resource import Registry, load_text
from setpoint.web.page import Actor, Parts, json_answer
from setpoint.web.roles import needs

__all__ = ["router"]

_FILES_MAX = 2000
_TEXT_MAX = 4 << 20

router = APIRouter(prefix="/api/resources")


class NamedText(BaseModel):
    """One YAML file: its name for error messages, and its text."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=1024)
    text: str = Field(max_length=_TEXT_MAX)


class Upload(BaseModel):
    """Files to apply. `dry_run`: only say what would change; `prune`: delete what is not among them."""

    model_config = ConfigDict(extra="forbid")

    files: list[NamedText] = Field(max_length=_FILES_MAX)
    dry_run: bool = False
    prune: bool = False


@router.post("")
@needs("editor")
def apply(parts: Parts, upload: Upload, actor: Actor) -> Response:
    documents = load_text([(file.name, file.text) for file in upload.files], parts.registry)
    if upload.dry_run:
        changes = parts.resources.plan(documents, prune=upload.prune)
    else:
        changes = parts.resources.apply(documents, actor, prune=upload.prune)
    return json_answer({"changes": changes, "dry_run": upload.dry_run})


@router.post("/validate")
@needs("viewer")
def validate(parts: Parts, upload: Upload) -> Response:
    documents = load_text([(file.name, file.text) for file in upload.files], parts.registry)
    return json_answer(
        {"items": [{"kind": d.kind, "name": d.name, "file": d.file, "line": d.line} for d in documents]}
    )


@router.get("")
@needs("viewer")
def list_resources(parts: Parts, kind: str | None = None) -> Response:
    found = parts.resources.list(kind)
    if kind is not None and not found:  # what is stored may be listed even when its kind is no longer known
        _refuse_unknown(parts.registry, kind)
    return json_answer({"items": found})


@router.get("/{kind}/{name}")
@needs("viewer")
def get_resource(parts: Parts, kind: str, name: str) -> Response:
    return json_answer(parts.resources.get(kind, name))


@router.delete("/{kind}/{name}")
@needs("editor")
def delete_resource(parts: Parts, kind: str, name: str, actor: Actor) -> Response:
    return json_answer(parts.resources.delete(kind, name, actor))


@router.get("/{kind}/{name}/revisions")
@needs("viewer")
def list_revisions(parts: Parts, kind: str, name: str) -> Response:
    return json_answer({"items": parts.resources.revisions(kind, name)})


def _refuse_unknown(registry: Registry, kind: str) -> None:
    """Raise InvalidInput when there is no such kind: "none" would be a wrong answer to a misspelt question."""
    known = {name.lower(): name for _, name in registry.kinds}
    if kind in known.values():
        return
    near = difflib.get_close_matches(kind.lower(), known, 1, 0.6)
    advice = f"did you mean '{known[near[0]]}'?" if near else f"write one of {', '.join(known.values())}"
    raise InvalidInput(f"the kind '{kind}' is not known; {advice}")
