"""Events that are not PromQL: spans and SQL over the telemetry database, polled and put into the book."""

__all__: list[str] = []
