"""Protection: how much of what senders bring is taken, so that none of them can bring the server down.

`SeriesTable` asks `admit` for each new series, the doors ask `bounds` for instants and report what they drop
(`refused`, `refused_series`); `web` shows it. Four rules keep one sender's fault its own:

- Series are counted in all, per metric and per sender. The last tenth of the first two is kept for senders
  that have few (a hundredth of the limit), so who fills them with random label values costs nobody else a
  series.
- A series takes a place for each 1,024 bytes of its labels, so the limits bound bytes as well.
- Counts grow with each admitted series and are set right by `recount` from the series that are really there.
- What is remembered of refusals is bounded; one line per reason and minute goes to the log and names the
  offender, the limit, and what to do.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from setpoint.clock import Clock, rfc3339
from setpoint.settings import Settings
from setpoint.telemetry.model import Labels, Series

__all__ = ["LABEL_NAME_BYTES_MAX", "PLACE_BYTES", "Bounds", "Census", "Limits", "Protection", "Refusal"]

_log = logging.getLogger(__name__)

LABEL_NAME_BYTES_MAX = 256
"""Longer names than this are nobody's intention, so it is no setting."""

PLACE_BYTES = 1024
"""Label bytes (names and values) that one place of a limit stands for."""

_DAY_S = 86_400
_LOG_EVERY_MS = 60_000
_REFUSALS_KEPT = 500
_LATELY_KEPT = 64
_OTHERS = "other senders"
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken: places for series (in all, per metric, per sender), the size of labels, and the age and
    lead of samples in seconds.
    """

    series: int = 2_000_000
    metric_series: int = 200_000
    sender_series: int = 500_000
    labels: int = 64
    label_value_bytes: int = 4096
    past_s: int = 35 * _DAY_S
    future_s: int = 600

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that the settings give."""
        return cls(
            series=settings.series_limit,
            metric_series=settings.metric_series_limit,
            sender_series=settings.sender_series_limit,
            labels=settings.label_limit,
            label_value_bytes=settings.label_value_limit_bytes,
            past_s=settings.retention_days * _DAY_S,
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """The instants (Unix milliseconds, both included) at which samples are taken."""

    now_ms: int
    oldest_ms: int
    newest_ms: int

    def fault(self, at_ms: int) -> tuple[str, str] | None:
        """Reason (for `Protection.refused`) and sentence (for the sender) when `at_ms` is outside, or None."""
        if at_ms > self.newest_ms:
            ahead_min = (self.newest_ms - self.now_ms) // 60_000
            return "too_new", (
                f"the timestamp is more than {ahead_min} minutes ahead of the server's clock "
                f"({rfc3339(self.now_ms)}); set the sender's clock"
            )
        if at_ms < self.oldest_ms:
            kept_days = (self.now_ms - self.oldest_ms) // (_DAY_S * 1000)
            return "too_old", f"the timestamp is older than the {kept_days} days that are kept"
        return None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused of one sender for one reason: samples since start, the last offender and sentence."""

    reason: str
    sender: str
    samples: int
    offender: str
    sentence: str
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Census:
    """Places taken by the series that are there: in all, per metric, per sender, and per (metric, sender)
    for the metrics of which a sender may be held to few.
    """

    total: int
    metrics: Mapping[str, int]
    senders: Mapping[str, int]
    pairs: Mapping[tuple[str, str], int]


@dataclass(slots=True)
class _Counts:
    total: int = 0
    metrics: dict[str, int] = field(default_factory=dict)
    senders: dict[str, int] = field(default_factory=dict)
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, metric: str, sender: str, places: int, pairs_from: int) -> None:
        self.total += places
        of_metric = self.metrics.get(metric, 0) + places
        self.metrics[metric] = of_metric
        self.senders[sender] = self.senders.get(sender, 0) + places
        if of_metric >= pairs_from:
            pair = (metric, sender)
            self.pairs[pair] = self.pairs.get(pair, 0) + places


@dataclass(slots=True)
class _Refused:
    first_ms: int
    last_ms: int = 0
    samples: int = 0
    offender: Labels | str = ""
    sentence: str = ""


class Protection:
    """Limits, what counts against them, and what was refused. Thread-safe; calls nobody while it is locked."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        on_admitted: Callable[[str, str], None] = lambda metric, sender: None,
    ) -> None:
        """`on_admitted` is told metric and sender of each new series; it must be quick and call nobody back."""
        self.limits = limits
        self.past_s = limits.past_s
        """Age up to which samples are taken: the longest raw retention. Set anew when that changes."""
        self.starting = False
        """While it is set every series is admitted, for it is stored already; they count all the same."""
        self._clock, self._on_admitted = clock, on_admitted
        self._lock = threading.Lock()
        self._counts = _Counts()
        self._since: list[tuple[str, str, int]] | None = None
        self._refused: dict[tuple[str, str], _Refused] = {}
        self._latest: dict[str, tuple[str, str, Labels]] = {}
        self._sentences: dict[tuple[str, str, str], tuple[int, str]] = {}
        self._by_reason: dict[str, int] = {}
        self._lately: dict[str, deque[Labels]] = {}
        self._logged: dict[str, tuple[int, int]] = {}

    # ---- series ------------------------------------------------------------------------------------------

    def admit(self, series: Series, sender: str) -> str | None:
        """Why a new series is refused, as a sentence for its sender; None when it is admitted and counted."""
        labels = series.labels
        metric = labels.get("__name__", "")
        size_bytes = 0
        fault = None
        if len(labels) > self.limits.labels:
            fault = ("labels_per_series", self._too_many_labels(metric, labels))
        for name, value in labels.items():
            # A character takes up to four bytes: only what may be too long is encoded to know.
            length = len(name) + len(value)
            size_bytes += length
            if 4 * length > LABEL_NAME_BYTES_MAX and fault is None:
                fault = self._long_label(metric, name, value)
        places = 1 + (size_bytes - 1) // PLACE_BYTES if size_bytes else 1
        with self._lock:
            reason, sentence = fault or self._full(metric, sender, places, labels) or ("", "")
            if not reason or self.starting:
                self._counts.add(metric, sender, places, self._pairs_from)
                if self._since is not None:
                    self._since.append((metric, sender, places))
                if not self.starting:
                    self._on_admitted(metric, sender)
                return None
            self._latest[_plain(sender)] = (reason, sentence, labels)
            if len(self._latest) > 2 * _REFUSALS_KEPT:
                self._latest.pop(next(iter(self._latest)))
            self._note(reason, labels, sender, 0, sentence)
        return sentence

    def recount(self, take: Callable[[], Census]) -> None:
        """Set the counts to what `take` finds; series that are admitted meanwhile stay counted."""
        with self._lock:
            self._since = []
        census = None
        try:
            census = take()
        finally:
            with self._lock:
                since, self._since = self._since, None
                if census is not None:
                    self._counts = _Counts(
                        census.total, dict(census.metrics), dict(census.senders), dict(census.pairs)
                    )
                    for metric, sender, places in since or ():
                        self._counts.add(metric, sender, places, self._pairs_from)

    @property
    def counted(self) -> int:
        """Places taken in all."""
        return self._counts.total

    @property
    def senders(self) -> int:
        """How many senders have series; those that were read from the store and did not come again are nobody's."""
        return len(self._counts.senders) - ("" in self._counts.senders)

    @property
    def _pairs_from(self) -> int:
        """From how many series of a metric on it is known how many are whose."""
        return _few(self.limits.metric_series)

    def _full(self, metric: str, sender: str, places: int, labels: Labels) -> tuple[str, str] | None:
        """Reason and sentence when one more series does not fit; None when it does."""
        limits, counts = self.limits, self._counts
        of_metric = counts.metrics.get(metric, 0)
        of_sender = counts.senders.get(sender, 0)
        if _is_full(of_metric, places, limits.metric_series, counts.pairs.get((metric, sender), 0)):
            reason = "metric_series_limit"
        elif of_sender + places > limits.sender_series:
            reason = "sender_series_limit"
        elif _is_full(counts.total, places, limits.series, of_sender):
            reason = "series_limit"
        else:
            if of_metric + _LATELY_KEPT > limits.metric_series - limits.metric_series // 10:
                self._remember("metric_series_limit", labels)
            return None
        self._remember(reason, labels)
        return reason, self._sentence(reason, metric, sender)

    def _sentence(self, reason: str, metric: str, sender: str) -> str:
        """What the sender of a series that does not fit is told; made once a second, for it is long to make."""
        key, now_ms = (reason, metric, sender), self._clock.now_ms()
        made_ms, sentence = self._sentences.get(key, (0, ""))
        if sentence and 0 <= now_ms - made_ms < 1000:
            return sentence
        whose, have, limit = {
            "metric_series_limit": (
                f"the metric {_plain(metric)} has",
                self._counts.metrics.get(metric, 0),
                self.limits.metric_series,
            ),
            "sender_series_limit": (
                f"the sender {_plain(sender)} has",
                self._counts.senders.get(sender, 0),
                self.limits.sender_series,
            ),
            "series_limit": ("the server has", self._counts.total, self.limits.series),
        }[reason]
        kept = "" if have >= limit else ", the last tenth of it kept for senders with few"
        sentence = (
            f"{whose} {have:,} series and takes no new ones ({reason} is {limit:,}{kept}); "
            f"{self._varying(reason, metric)} {_how_to_drop(sender)}, or raise {reason}"
        )
        if len(self._sentences) >= _REFUSALS_KEPT:
            self._sentences.clear()
        self._sentences[key] = (now_ms, sentence)
        return sentence

    def _remember(self, reason: str, labels: Labels) -> None:
        self._lately.setdefault(reason, deque(maxlen=_LATELY_KEPT)).append(labels)

    def _varying(self, reason: str, metric: str) -> str:
        """Which label makes the series many, by what was refused lately."""
        lately = [labels for labels in self._lately.get(reason, ()) if labels.get("__name__", "") == metric]
        values: dict[str, set[str]] = {}
        for labels in lately if len(lately) >= _LATELY_KEPT // 4 else ():
            for name, value in labels.items():
                values.setdefault(name, set()).add(value)
        name, found = max(values.items(), key=lambda item: len(item[1]), default=("", set[str]()))
        if len(found) < 2:
            return "find the label that varies with 'setpoint telemetry top --by label', drop it"
        return (
            f"the label {_plain(name)} varies most ({len(found)} values in {len(lately)} new series), drop it"
        )

    def _too_many_labels(self, metric: str, labels: Labels) -> str:
        return (
            f"a series of {_plain(metric)} has {len(labels)} labels, {self.limits.labels} are taken "
            "(label_limit); drop those that nobody asks for, or raise label_limit"
        )

    def _long_label(self, metric: str, name: str, value: str) -> tuple[str, str] | None:
        if (size := len(name.encode("utf-8", "replace"))) > LABEL_NAME_BYTES_MAX:
            return "label_name_bytes", (
                f"a label name of {_plain(metric)} has {size:,} bytes, {LABEL_NAME_BYTES_MAX} are taken: "
                f"{_plain(name)}; shorten it at the sender"
            )
        limit = self.limits.label_value_bytes
        if len(value) * 4 > limit and (size := len(value.encode("utf-8", "replace"))) > limit:
            return "label_value_bytes", (
                f"the label {_plain(name)} of {_plain(metric)} has a value of {size:,} bytes, {limit:,} are taken "
                "(label_value_limit_bytes); drop or shorten it, or raise label_value_limit_bytes"
            )
        return None

    # ---- samples -----------------------------------------------------------------------------------------

    def bounds(self, now_ms: int) -> Bounds:
        """The instants at which samples are taken at `now_ms`."""
        return Bounds(now_ms, now_ms - self.past_s * 1000, now_ms + self.limits.future_s * 1000)

    def refused(self, reason: str, offender: str, sender: str, count: int, sentence: str = "") -> None:
        """Count `count` dropped samples; `reason` is one word of the code (it becomes a label), `offender`
        names what was dropped, such as a series, `sentence` is what the sender is told.
        """
        if count > 0:
            with self._lock:
                self._note(reason, _plain(offender), sender, count, sentence)

    def refused_series(self, sender: str, count: int) -> str:
        """Count `count` samples whose series was not admitted (refs below 0), under the reason that their
        sender was given last; returns that sentence.
        """
        told = self._latest.get(_plain(sender))
        reason, sentence, offender = told or ("series_limit", "the limit of series is reached", {})
        if count > 0:
            with self._lock:
                self._note(reason, offender, sender, count, sentence)
        return sentence

    @property
    def refusals(self) -> list[Refusal]:
        """What was refused, by reason and sender, the latest first."""
        with self._lock:
            found = [
                Refusal(
                    reason, sender, one.samples, shown(one.offender), one.sentence, one.first_ms, one.last_ms
                )
                for (reason, sender), one in self._refused.items()
            ]
        return sorted(found, key=lambda refusal: -refusal.last_ms)

    @property
    def samples_by_reason(self) -> dict[str, int]:
        """Samples refused since start, by reason."""
        with self._lock:
            return dict(self._by_reason)

    def _note(self, reason: str, offender: Labels | str, sender: str, count: int, sentence: str) -> None:
        now_ms = self._clock.now_ms()
        key = (reason, _plain(sender))
        if key not in self._refused and len(self._refused) >= _REFUSALS_KEPT:
            key = (reason, _OTHERS)
        one = self._refused.get(key)
        if one is None:
            one = self._refused[key] = _Refused(now_ms)
        one.samples += count
        one.last_ms, one.offender, one.sentence = now_ms, offender, sentence or one.sentence
        total = self._by_reason[reason] = self._by_reason.get(reason, 0) + count
        logged_ms, logged = self._logged.get(reason, (-_LOG_EVERY_MS, 0))
        if not 0 <= now_ms - logged_ms < _LOG_EVERY_MS:
            self._logged[reason] = (now_ms, total)
            _log.warning(
                "refused (%s) from %s: %s%s%s",
                reason,
                key[1],
                shown(offender),
                f": {one.sentence}" if one.sentence else "",
                f"; {total - logged:,} samples since the last such line" if logged else "",
            )


def _few(limit: int) -> int:
    return max(1, limit // 100)


def _is_full(have: int, places: int, limit: int, own: int) -> bool:
    """True when `places` more are not taken; above nine tenths only of who has few."""
    if have + places > limit:
        return True
    return have + places > limit - limit // 10 and own + places > _few(limit)


def _how_to_drop(sender: str) -> str:
    if sender.startswith("scrape"):
        return "with metric_relabel_configs (action: labeldrop) in its scrape_config"
    if sender.startswith("remote_write"):
        return "with write_relabel_configs (action: labeldrop) in the sender's remote_write"
    return "with a view of the OpenTelemetry SDK, or the collector's attributes processor"


def _plain(text: str) -> str:
    """`text` on one line, without control characters, and not long: it goes into logs and answers."""
    if text.isprintable() and len(text) <= _SHOWN_CHARS:
        return text
    line = "".join(character if character.isprintable() else "�" for character in text[: _SHOWN_CHARS + 1])
    return line if len(line) <= _SHOWN_CHARS else line[:_SHOWN_CHARS] + "…"


def shown(offender: Labels | str) -> str:
    """A series as people write it, `name{label="value"}`, on one line and not long; text as it is."""
    if isinstance(offender, str):
        return offender
    pairs = (
        f"{name}={json.dumps(value[:_SHOWN_CHARS], ensure_ascii=False)}"
        for name, value in offender.items()
        if name != "__name__"
    )
    return _plain(f"{offender.get('__name__', '')}{{{', '.join(pairs)}}}")
