"""`setpoint warm`: compile the query kernels into numba's cache, once after an installation."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def warm() -> None:
    """Compile the query kernels once, so that the first start is quick."""
    import time

    from setpoint.cli.output import console
    from setpoint.promql import kernels

    started = time.monotonic()
    with console(stderr=True).status("Compiling the query kernels (once) …"):
        kernels.warm()
    console().print(f"query kernels ready ({time.monotonic() - started:.1f} s)")
