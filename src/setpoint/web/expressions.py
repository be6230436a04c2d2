"""Prometheus's API over the text of a query: laid out, and as a tree. See `web.prometheus` for the envelope."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from setpoint.app import App
from setpoint.promql import prettify
from setpoint.promql.syntax import syntax_tree
from setpoint.web.prometheus import Given, answers

__all__ = ["router"]

router = APIRouter(prefix="/api/v1")


@answers(router, "/format_query")
def format_query(parts: App, given: Given) -> Any:
    return prettify(given.needed("query"))


@answers(router, "/parse_query")
def parse_query(parts: App, given: Given) -> Any:
    return syntax_tree(given.needed("query"))
