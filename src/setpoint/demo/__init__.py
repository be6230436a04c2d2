"""The shop: five small services with real HTTP, SQL and OpenTelemetry between them, that can be broken on
command.

`fault` is the server's side (what is broken now), `runner` starts and minds the processes, `load` sends them
traffic, `shop` holds the services, and `objectives.yaml` says how good they should be. The package imports
nothing by itself, because every process of the shop pays for what stands here.
"""

__all__: list[str] = []
