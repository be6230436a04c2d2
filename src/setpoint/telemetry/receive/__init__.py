"""The doors for telemetry: one file per protocol (`otlp_http`, `otlp_grpc`), one decoder per signal behind
them.

`app` mounts `routes` and starts `OtlpGrpcServer`; both hand bodies to a `Receiver`, which queues batches in
`Ingest` and answers when they are stored. `translate` gives metrics their Prometheus names.
"""

from setpoint.telemetry.receive.last_samples import last_samples
from setpoint.telemetry.receive.otlp_grpc import OtlpGrpcServer
from setpoint.telemetry.receive.otlp_http import routes
from setpoint.telemetry.receive.receiver import Receiver

__all__ = ["OtlpGrpcServer", "Receiver", "last_samples", "routes"]
