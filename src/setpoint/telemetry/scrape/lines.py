"""A line that has not been seen before to the series that it means: labels of the target, relabelling, limits.

`series` calls `Lines.series` once for each new key of a target; Prometheus's scrape/scrape.go
(mutateSampleLabels, verifyLabelLimits) says what becomes of labels that both the target and the line have.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import Labels, Series, fingerprint
from setpoint.telemetry.scrape.exposition import Samples, broken, read_labels
from setpoint.telemetry.scrape.relabel import relabel
from setpoint.telemetry.scrape.target import Target

__all__ = ["Lines", "series_of"]


class Lines:
    """What the lines of one target mean. `secret` uint64[4] keys them: it differs where the meaning may."""

    def __init__(self, target: Target, seed: npt.NDArray[np.uint64]) -> None:
        spec = target.job.spec
        self._spec, self._public = spec, target.public
        meaning = (
            sorted(target.public.items()), spec.honor_labels, spec.metric_relabel_configs, spec.label_limit,
            spec.label_name_length_limit, spec.label_value_length_limit,
        )  # fmt: skip
        digest = hashlib.blake2b(repr(meaning).encode(), key=seed.tobytes(), digest_size=32).digest()
        self.secret: npt.NDArray[np.uint64] = np.frombuffer(digest, np.uint64)

    def series(self, samples: Samples, row: int, *, openmetrics: bool) -> Series | None:
        """The series of a line, or None when relabelling drops it. Raises BadBody."""
        start, end = int(samples.spans[row, 0]), int(samples.spans[row, 1])
        try:
            labels = self._final(read_labels(samples.body[start:end], openmetrics=openmetrics))
        except ValueError as error:
            raise broken(samples.body, start, str(error), row) from error
        return None if labels is None else series_of(labels)

    def _final(self, labels: dict[str, str]) -> dict[str, str] | None:
        """`labels` with those of the target, relabelled; None when they are dropped. Raises ValueError."""
        if self._spec.honor_labels:
            labels = {**self._public, **labels}
        else:
            taken = sorted((name for name in self._public if labels.get(name)), key=len)
            exposed = [(name, labels[name]) for name in taken]
            labels |= self._public
            for name, value in exposed:
                renamed = f"exported_{name}"
                while labels.get(renamed):
                    renamed = f"exported_{renamed}"
                labels[renamed] = value
        labels = {name: value for name, value in labels.items() if value}
        if not relabel(labels, self._spec.metric_relabel_configs) or not labels:
            return None
        if "__name__" not in labels:
            raise ValueError("a series has no name after metric_relabel_configs")
        self._check_limits(labels)
        return labels

    def _check_limits(self, labels: Labels) -> None:
        spec, metric = self._spec, labels["__name__"][:50]
        if spec.label_limit and len(labels) > spec.label_limit:
            raise ValueError(
                f"label_limit exceeded: {metric} has {len(labels)} labels, {spec.label_limit} are allowed"
            )
        if not spec.label_name_length_limit and not spec.label_value_length_limit:
            return
        for name, value in labels.items():
            if (size := len(name.encode())) > (spec.label_name_length_limit or size):
                raise ValueError(
                    f"label_name_length_limit exceeded: the label {name[:50]} of {metric} has {size} bytes, "
                    f"{spec.label_name_length_limit} are allowed"
                )
            if (size := len(value.encode())) > (spec.label_value_length_limit or size):
                raise ValueError(
                    f"label_value_length_limit exceeded: the label {name[:50]} of {metric} has a value of {size} "
                    f"bytes, {spec.label_value_length_limit} are allowed"
                )


def series_of(labels: Labels) -> Series:
    """The series of these labels; its service is what OTLP would call it, else the job."""
    return Series(fingerprint(labels), labels, labels.get("service_name") or labels.get("job", ""))
