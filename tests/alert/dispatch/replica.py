"""One of several servers over one PostgreSQL, without its pages: the book, the dispatcher and the outbox with their
loops. Run as a process of its own it takes alerts and says which, until it is killed.
"""

from __future__ import annotations

import sys
import threading

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.dispatch.dispatcher import Dispatcher
from setpoint.alert.dispatch.tend import Tender
from setpoint.alert.model import Alert
from setpoint.alert.notify.outbox import Outbox
from setpoint.alert.route.inhibit import Inhibitor
from setpoint.alert.route.read import read_routing
from setpoint.alert.silence.book import SilenceBook
from setpoint.clock import SystemClock
from setpoint.database import StateDatabase
from setpoint.timeline import Timeline

ROUTING = """
route: {receiver: ops, group_by: [...], group_wait: 0s, group_interval: 1h, repeat_interval: 4h}
receivers: [{name: ops, webhook_configs: [{url: 'URL'}]}]
"""


class Replica:
    """Its loops run from `start` to `stop`."""

    def __init__(self, dsn: str, url: str) -> None:
        self.clock = SystemClock()
        self.database = StateDatabase(dsn)
        timeline = Timeline(self.database, self.clock)
        self.silences = SilenceBook(self.database, timeline, self.clock)
        self.book = AlertBook(self.database, self.clock)
        self.outbox = Outbox(self.database, timeline, self.clock)
        self.dispatcher = Dispatcher(
            self.book, self.clock, silences=self.silences, outbox=self.outbox, make_inhibitor=Inhibitor
        )
        self.tender = Tender(
            self.book,
            timeline,
            self.clock,
            is_leading=lambda: self.dispatcher.is_leading,
            holds=self.dispatcher.holds,
        )
        routing = read_routing("alertmanager.yml", ROUTING.replace("URL", url))
        self.dispatcher.follow(routing)
        self.outbox.follow({("ops", one.key): one for one in routing.integrations("ops")})
        self._stop = threading.Event()
        loops = self.dispatcher.run, self.tender.run, self.outbox.run
        self._threads = [threading.Thread(target=run, args=(self._stop,), daemon=True) for run in loops]

    def start(self) -> None:
        """Dispatch and deliver."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """As a server that is stopped by its user."""
        self._stop.set()
        self.dispatcher.wake()
        for thread in self._threads:
            thread.join(30)
        self.outbox.close()
        self.database.close()

    def fire(self, first: int, count: int) -> None:
        """Take some of the alerts that all replicas are told of."""
        now_ms = self.clock.now_ms()
        self.book.receive(
            [
                Alert({"alertname": "Down", "instance": f"host-{number}"}, now_ms, now_ms, now_ms + 600_000)
                for number in range(first, first + count)
            ]
        )


def main(dsn: str, url: str, count: int, at_once: int) -> None:
    """The body of the process."""
    replica = Replica(dsn, url)
    replica.start()
    print("leads" if _leads(replica) else "does not lead", flush=True)
    for first in range(0, count, at_once):
        replica.fire(first, at_once)
        print(first + at_once, flush=True)
    threading.Event().wait()


def _leads(replica: Replica) -> bool:
    for _ in range(6000):
        if replica.dispatcher.is_leading:
            return True
        threading.Event().wait(0.01)
    return False


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
