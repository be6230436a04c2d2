"""`setpoint warm`: compile the kernels of telemetry, queries and objectives into numba's cache, once after an
installation.
"""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def warm() -> None:
    """Compile the kernels once, so that the first start is quick."""
    import time

    from setpoint.cli.output import console
    from setpoint.objective.warm import warm as warm_objectives
    from setpoint.promql import kernels
    from setpoint.telemetry import warm as telemetry

    started = time.monotonic()
    with console(stderr=True).status("Compiling the kernels (once) …"):
        telemetry.warm()
        kernels.warm()
        warm_objectives()
    console().print(f"kernels ready ({time.monotonic() - started:.1f} s)")
