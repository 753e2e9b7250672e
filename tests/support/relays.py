"""The relay of the media worker without its process: real sockets on loopback, and a clock that the test moves."""

from __future__ import annotations

import select
from typing import Any

from sbc.dataplane.ports import Pair, Ports
from sbc.dataplane.relay import Relay
from sbc.sip import Address
from tests.support.planes import Phone, rtp

LOW, HIGH = 27550, 27589
PORT = Address("127.0.0.1", LOW)


class Bench:
    """A relay, its epoll, and phones that talk to it."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.ports = Ports([("127.0.0.1", LOW, HIGH)])
        self.relay = Relay(self.ports, self.epoll)
        self.alice, self.bob = Phone(), Phone()
        self.names: set[str] = set()

    def close(self) -> None:
        for name in self.names:
            self.relay.remove(name)
        self.alice.close()
        self.bob.close()
        self.ports.close()
        self.epoll.close()

    def run(self, seconds: float = 0.0) -> int:
        """Hear whatever has come, `seconds` later; how many sockets were readable."""
        self.relay.now += seconds
        count = 0
        while ready := self.epoll.poll(0):  # over loopback what was sent has arrived
            for descriptor, _ in ready:
                self.relay.hears[descriptor](self.relay.now)
                count += 1
        return count

    def apply(self, name: str = "c/0", silence: float = 0.0, **changes: Any) -> None:
        """A call between alice, whom LOW serves, and bob, whom LOW + 2 does."""
        a = [["127.0.0.1", LOW], list(self.alice.address), None, False, None, "signalling", 1, "", 0]
        b = [["127.0.0.1", LOW + 2], list(self.bob.address), None, False, None, "signalling", 1, "", 0]
        self.names.add(name)
        sides = [changes.get("a", a), changes.get("b", b), None, None]
        self.relay.apply(name, True, 8000, silence, sides)

    def say(self, count: int = 1, first: int = 1) -> None:
        """Alice talks."""
        for sequence in range(first, first + count):
            self.alice.send(PORT, rtp(sequence))
            self.run()

    def events(self, kind: str) -> list[Any]:
        return [event for event in self.relay.events if event[0] == kind]

    def pair(self, port: int = LOW) -> Pair:
        return self.ports.bound["127.0.0.1", port]
