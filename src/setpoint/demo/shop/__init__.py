"""The five services of the shop; `python -m setpoint.demo.shop SERVICE --port N` runs one of them.

Each module has a `make(context)` that returns its routes and background work; `service` is what they share,
`instrument` sets OpenTelemetry up as any user would, `switch` holds the faults that a service can have
inside.
"""

__all__: list[str] = []
