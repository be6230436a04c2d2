"""The API of the demo shop's faults. The shop's runner polls the list, which doubles as its heartbeat."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from setpoint.demo.fault import FAULTS, SERVICES
from setpoint.web.page import Actor, Parts, json_answer
from setpoint.web.roles import needs

__all__ = ["router"]

router = APIRouter(prefix="/api/demo")


class NewFault(BaseModel):
    """What to break: `parameters` as `GET /api/demo` lists them for the fault."""

    model_config = ConfigDict(extra="forbid")

    service: str
    fault: str
    parameters: dict[str, Any] = Field(default_factory=dict)


@router.get("")
@needs("viewer")
def show_shop(parts: Parts) -> Response:
    board = parts.faults
    return json_answer(
        {
            "running": board.is_shop_running(),
            "polled_ms": board.polled_ms,
            "services": SERVICES,
            "kinds": FAULTS,
            "faults": [fault.as_json() for fault in board.faults()],
        }
    )


@router.get("/faults")
@needs("viewer")
def poll_faults(parts: Parts, version: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    return json_answer({"items": [fault.as_json() for fault in parts.faults.poll(version)]})


@router.post("/faults")
@needs("editor")
def set_fault(parts: Parts, new: NewFault, actor: Actor) -> Response:
    return json_answer(parts.faults.set(new.service, new.fault, new.parameters, actor).as_json(), 201)


@router.delete("/faults")
@needs("editor")
def heal(parts: Parts, actor: Actor, service: str | None = None) -> Response:
    return json_answer({"items": [fault.as_json() for fault in parts.faults.heal(service, actor)]})
