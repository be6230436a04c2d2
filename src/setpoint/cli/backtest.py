"""`setpoint backtest`: what alert policies would have done to an objective, one set or two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint backtest checkout-availability
  setpoint backtest checkout-availability -f policy.yaml --since 90d
  setpoint backtest checkout-availability -f fast.yaml --against slow.yaml
  setpoint backtest checkout-availability --against defaults -o json

An episode is a stretch that spent the budget faster than allowed, and at least
--least of it. Nothing is stored, and nobody is told. The page
/objectives/NAME/backtest shows the same with a chart."""


@app.command(epilog=_EPILOG)
def backtest(
    name: Annotated[str, typer.Argument(help="The objective's name, as in 'setpoint slo list'.")],
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", metavar="FILE|-", help="AlertPolicy documents to try; else its own policies."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="FILE|NAME",
            help="What to compare with: own, defaults, none, an applied AlertPolicy, or a file.",
            show_default="own with -f, else none",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From when: 7d, 30d, 2026-01-02T03:04:05Z.")
    ] = "30d",
    until: Annotated[str | None, typer.Option(metavar="TIME", help="To when; else to now.")] = None,
    least: Annotated[
        str, typer.Option(metavar="PART", help="The part of the budget that makes an episode.")
    ] = "2%",
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Replay alert policies over an objective's history."""
    from setpoint.cli.backtested import show_backtest
    from setpoint.cli.client import Client, segment
    from setpoint.cli.files import read_files
    from setpoint.cli.instant import instant_ms, is_ago
    from setpoint.clock import SystemClock

    now_ms = SystemClock().now_ms()
    body: dict[str, Any] = {
        "since": since if is_ago(since) else str(instant_ms(since, now_ms)),
        "least": least,
    }
    if until is not None:
        body["until"] = until if is_ago(until) else str(instant_ms(until, now_ms))
    if file is not None:
        body["file"], body["yaml"] = _joined(read_files([file]))
    if against is not None and _is_file(against):
        body["against_file"], body["against_yaml"] = _joined(read_files([Path(against)]))
    elif against is not None:
        body["against"] = against
    answer = Client(server, token, timeout_s=300).post(f"/objectives/{segment(name)}/backtest", body)
    emit(answer, output, lambda console: show_backtest(console, answer))


def _is_file(text: str) -> bool:
    """Rather than a name, which has neither a slash nor a suffix."""
    return text == "-" or "/" in text or text.endswith((".yaml", ".yml")) or Path(text).exists()


def _joined(files: list[tuple[str, str]]) -> tuple[str, str]:
    """A folder's files are tried together."""
    return ", ".join(name for name, _ in files), "\n---\n".join(text for _, text in files)
