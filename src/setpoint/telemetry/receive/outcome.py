"""What decoding a request gives: a batch, what was rejected and why, and what to remember once the batch is
stored.

The three decoders return `Decoded`; the receiver submits the batch and the protocols turn `Rejections` into
OTLP's partial success. The bounds on instants live here because all three share them: an instant outside of
what the tables keep would be deleted at once or make the database refuse the whole block, other senders'
rows with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from setpoint.clock import rfc3339
from setpoint.telemetry.model import LogBatch, RefBatch, SpanBatch

__all__ = [
    "LOG_RETENTION_S",
    "SAMPLE_RETENTION_S",
    "SPAN_RETENTION_S",
    "Bounds",
    "Decoded",
    "Rejections",
    "clipped",
]

AHEAD_S = 600
"""How far a sender's clock may be ahead of ours, in seconds."""

SAMPLE_RETENTION_S = 35 * 86_400
SPAN_RETENTION_S = LOG_RETENTION_S = 15 * 86_400
"""How long the tables keep rows (the TTL of the migration), in seconds."""

_REASONS_SHOWN = 5


def clipped(text: str, chars: int = 1500) -> str:
    """`text`, cut to `chars` characters."""
    return text if len(text) <= chars else text[:chars] + "…"


@dataclass(slots=True)
class Rejections:
    """Counts rejected items by reason; `message` is the sentence for the sender, empty when all is well."""

    count: int = 0
    _reasons: dict[str, int] = field(default_factory=dict)
    _notes: dict[str, None] = field(default_factory=dict)

    def add(self, reason: str, count: int = 1) -> None:
        """Reject `count` items for `reason`, which says what to do about it."""
        if count:
            self.count += count
            self._reasons[reason] = self._reasons.get(reason, 0) + count

    def note(self, sentence: str) -> None:
        """Tell the sender something without rejecting an item."""
        self._notes[sentence] = None

    @property
    def message(self) -> str:
        """Every reason with its count, the most frequent first; at most five."""
        ranked = sorted(self._reasons.items(), key=lambda item: -item[1])
        parts = [f"{count} rejected: {reason}" for reason, count in ranked[:_REASONS_SHOWN]]
        if len(ranked) > _REASONS_SHOWN:
            parts.append(f"and {len(ranked) - _REASONS_SHOWN} further reasons")
        return clipped("; ".join([*parts, *list(self._notes)[:_REASONS_SHOWN]]))


@dataclass(frozen=True, slots=True)
class Bounds:
    """The instants (Unix nanoseconds) that a signal is accepted at: `oldest_ns` to `newest_ns`."""

    now_ms: int
    oldest_ns: int
    newest_ns: int

    @classmethod
    def at(cls, now_ms: int, retention_s: int) -> Bounds:
        """The bounds at `now_ms` of a signal that is kept for `retention_s`."""
        return cls(now_ms, (now_ms - retention_s * 1000) * 1_000_000, (now_ms + AHEAD_S * 1000) * 1_000_000)

    def fault(self, instant_ns: int) -> str | None:
        """Why `instant_ns` is not accepted, or None."""
        if self.oldest_ns <= instant_ns <= self.newest_ns:
            return None
        if instant_ns == 0:
            return "the timestamp is missing (0)"
        if instant_ns > self.newest_ns:
            return (
                f"the timestamp is more than {AHEAD_S // 60} minutes ahead of the server's clock "
                f"({rfc3339(self.now_ms)}); set the sender's clock"
            )
        kept_days = (self.now_ms - self.oldest_ns // 1_000_000) // 86_400_000
        return f"the timestamp is older than the {kept_days} days that are kept"


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded request: `items` accepted ones in `batch`, the rejected, and what to call, once: `on_stored` when they
    are stored, `on_failed` when they will not be.
    """

    batch: RefBatch | SpanBatch | LogBatch
    items: int
    rejections: Rejections
    on_stored: Callable[[], None] = _nothing
    on_failed: Callable[[], None] = _nothing
