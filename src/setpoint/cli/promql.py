"""`setpoint promql`: a PromQL query at one instant as a table, over a range as a graph in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, emit, series_name, table
from setpoint.clock import SystemClock
from setpoint.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint promql 'sum by (job) (rate(http_requests_total[5m]))'
  setpoint promql 'sum(rate(http_requests_total[5m]))' --since 6h
  setpoint promql target_info --at 1h -o json
  setpoint promql 'rate(errors_total[5m]) > 0.1' --explain

With --since, --until or --step it draws a graph, else it answers for one instant.
OTLP metrics carry their Prometheus names and the label service_name.
The same with completion in a browser: the page /explore."""
_RANGE_MS = 3_600_000
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_SAMPLES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Span:
    """The time of a graph, in Unix seconds; the step as Prometheus's API takes it."""

    start_s: float
    end_s: float
    step: str


@app.command(epilog=_EPILOG)
def promql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The PromQL expression, in quotes.")],
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="One instant: 30m (ago) or 2026-01-02T03:04:05Z; now when left out."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start of a graph, as --at; an hour before its end when left out."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="End of a graph; now when left out.")
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Step of a graph, such as 30s; one that fits when left out."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say the query in words; ask no server.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Answer a PromQL query: a table, or a graph over a range."""
    if explain:
        _explain(query, output)
        return
    ranged = since or until or step
    if at and ranged:
        raise InvalidInput("--at asks for one instant; leave out --since, --until and --step, or --at")
    from setpoint.cli.client import Client

    client = Client(server, token)
    try:
        span = _span(since, until, step) if ranged else None
        answer = _ask(client, query, at) if span is None else _ask_range(client, query, span)
    except InvalidInput as error:
        raise _pointed(query, error) from error
    emit(answer, output, lambda console: _show(console, answer, span))


def _explain(query: str, output: Output) -> None:
    from setpoint.promql.explain import explain
    from setpoint.promql.parse import parse

    try:
        words = explain(parse(query))
    except InvalidInput as error:
        raise _pointed(query, error) from error
    emit({"query": query, "explanation": words}, output, lambda console: console.print(words, soft_wrap=True))


def _pointed(query: str, error: InvalidInput) -> InvalidInput:
    """The error with a mark beneath the place where the query goes wrong, if that can be told."""
    from setpoint.promql.errors import QueryError
    from setpoint.promql.parse import parse

    if "does not parse" not in error.message:
        return error
    try:
        parse(query)
    except QueryError as wrong:
        if wrong.position is None:
            return error
        before = query[: wrong.position].rpartition("\n")[2]
        line = (query.splitlines() or [""])[query[: wrong.position].count("\n")]
        mark = "".join("\t" if letter == "\t" else " " for letter in before) + "^"
        return InvalidInput(
            "\n".join(part for part in (wrong.reason, f"  {line}", f"  {mark}", wrong.advice) if part)
        )
    except InvalidInput:
        return error
    return error


def _ask(client: Any, query: str, at: str | None) -> dict[str, Any]:
    from setpoint.cli.instant import instant_ms

    time_s = instant_ms(at, SystemClock().now_ms()) / 1000 if at else None
    answer: dict[str, Any] = client.get("/api/v1/query", query=query, time=time_s)
    return answer


def _span(since: str | None, until: str | None, step: str | None) -> Span:
    """The time of a graph: as asked, or the last hour with a step that the width of the terminal can show."""
    from setpoint.cli.instant import instant_ms
    from setpoint.cli.output import console
    from setpoint.cli.plot import points_across

    now_ms = SystemClock().now_ms()
    end_ms = instant_ms(until, now_ms) if until else now_ms
    start_ms = instant_ms(since, now_ms) if since else end_ms - _RANGE_MS
    if start_ms >= end_ms:
        raise InvalidInput("the graph would end before it begins; --since must be before --until")
    if step is None:
        rough_s = (end_ms - start_ms) / 1000 / points_across(console())
        step = str(next((one for one in _STEPS_S if one >= rough_s), round(rough_s)))
    return Span(start_ms / 1000, end_ms / 1000, step)


def _ask_range(client: Any, query: str, span: Span) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(
        "/api/v1/query_range", query=query, start=span.start_s, end=span.end_s, step=span.step
    )
    return answer


def _show(console: Any, answer: Mapping[str, Any], span: Span | None) -> None:
    data = answer["data"]
    if data["resultType"] in ("scalar", "string"):
        console.print(str(data["result"][1]), soft_wrap=True)
    elif not data["result"]:
        console.print("No series matches.")
    elif span is not None:
        from setpoint.cli.plot import show_plot

        show_plot(console, data["result"], span.start_s, span.end_s)
    elif data["resultType"] == "matrix":
        _show_samples(console, data["result"])
    else:
        rows = [(series_name(item["metric"]), _value(item)) for item in data["result"]]
        console.print(table(("SERIES*", ">VALUE"), rows))
    for warning in [*answer.get("warnings", ()), *answer.get("infos", ())]:
        console.print(f"▲ {warning}", soft_wrap=True)


def _show_samples(console: Any, result: Sequence[Mapping[str, Any]]) -> None:
    """The newest samples of every series of a range vector, with how old they are."""
    now_ms = SystemClock().now_ms()
    rows = []
    for item in result:
        samples = [*item.get("values", ()), *item.get("histograms", ())]
        for place, (at_s, value) in enumerate(samples[-_SAMPLES_SHOWN:]):
            name = series_name(item["metric"]) if place == 0 else ""
            rows.append((name, _said(value), ago(round(at_s * 1000), now_ms)))
        if len(samples) > _SAMPLES_SHOWN:
            rows.append(("", f"{len(samples) - _SAMPLES_SHOWN:,} more", "before"))
    console.print(table(("SERIES*", ">VALUE", ">AT"), rows))


def _value(item: Mapping[str, Any]) -> str:
    return _said((item.get("value") or item["histogram"])[1])


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value['count']} observations, sum {value['sum']}"
