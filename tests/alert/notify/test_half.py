"""A receiver that takes only some of what it is sent: what fails waits for itself, and for nothing else."""

from __future__ import annotations

from tests.alert.notify.office import Office, Sink, notification


def test_a_receiver_that_fails_now_and_then_is_not_stopped(office: Office, sink: Sink) -> None:
    sink.decide = lambda _: 500 if len(sink.received) % 2 else 200
    office.follow(ops=sink.url)
    for number in range(20):
        office.outbox.put([notification(f"Burn{number}", group=f"{{number={number}}}")])
        office.step()
    assert len(sink.received) == 20
    (status,) = office.outbox.statuses()
    assert status.next_ms is None
    for _ in range(40):
        office.step(10)
    assert len(office.told) == 20


def test_a_receiver_that_only_fails_is_stopped_and_hears_all_when_it_is_back(
    office: Office, sink: Sink
) -> None:
    sink.decide = lambda _: 500
    office.follow(ops=sink.url)
    for number in range(30):
        office.outbox.put([notification(f"Burn{number}", group=f"{{number={number}}}")])
        office.step()
    assert len(sink.received) == 12
    (status,) = office.outbox.statuses()
    assert status.failures == 12
    assert status.next_ms is not None
    sink.decide = lambda _: 200
    office.step(2)
    assert len(office.told) == 30
