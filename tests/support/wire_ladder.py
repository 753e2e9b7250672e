"""The ladders of `tests.support.ladder`, played over real sockets with a real SBC: for calls that SIPp cannot speak of,
because somebody is in several of them."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from socket import socket

from sbc.sip import Address, Request
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.ladder import Ladder, Message, Party

_PATIENCE = 15.0
"""Seconds in which what a ladder expects must come."""
_QUIET = 0.15
"""Seconds in which nothing more may come."""


class _Wire:
    """What a party sends leaves by its socket, for the SBC in its zone."""

    hidden = False

    def __init__(self, sockets: dict[Address, socket]) -> None:
        self._sockets = sockets
        self.gateways: dict[Address, Address] = {}
        """Where those send who have no direct way to the SBC."""

    def receive(
        self, data: bytes, source: Address, local: Address, transport: str = "UDP", connection: int | None = None
    ) -> None:
        edge = PRIVATE.edge if source.host.startswith("10.") else PUBLIC.edge
        self._sockets[source].sendto(data, self.gateways.get(source, (edge, 5060)))


class WireLadder(Ladder):
    """A ladder whose parties are at addresses of the lab. What comes again octet for octet (over UDP everything may) is
    left out."""

    def __init__(self, border: Border, sockets: ExitStack) -> None:
        self._border, self._open = border, sockets
        self._sockets: dict[Address, socket] = {}
        self._selector = sockets.enter_context(selectors.DefaultSelector())
        self._wire = _Wire(self._sockets)
        self.edge = self._wire  # type: ignore[assignment]
        self.parties, self.bound, self.shown = {}, {}, []
        self.bodies = {"text": ("text/plain", b"hello")}
        self._number = int(time.monotonic() * 1000)
        self._seen: set[bytes] = set()

    def join(self, name: str, address: Address, uri: str, gateway: Address | None = None) -> Party:
        """A party at this address, that calls `uri`, through `gateway` if it does not send to the SBC."""
        if gateway is not None:
            self._wire.gateways[address] = gateway
        lab = self._border.lab
        namespace = lab.private if address.host.startswith("10.") else lab.public
        opened = self._open.enter_context(namespace.udp(address))
        opened.setblocking(False)
        self._sockets[address] = opened
        party = self.parties[name] = Party(name, address, self, uri)
        self._selector.register(opened, selectors.EVENT_READ, party)
        return party

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
                self._deliver(key.fileobj, key.data)  # type: ignore[arg-type]
            if time.monotonic() >= until:
                return

    def _deliver(self, opened: socket, party: Party) -> None:
        data = opened.recv(65535)
        if data not in self._seen:
            self._seen.add(data)
            party.receive(data)

    def _expect(self, party: Party, words: list[str], changes: list[str], line: str) -> None:
        until = time.monotonic() + _PATIENCE
        while not party.inbox and time.monotonic() < until:
            self.wait(0.01)
        super()._expect(party, words, changes, line)

    def take(self, name: str) -> Message:
        """The next message that comes to a party, whatever it is. Raises AssertionError if none does."""
        party = self.parties[name]
        until = time.monotonic() + _PATIENCE
        while not party.inbox and time.monotonic() < until:
            self.wait(0.01)
        assert party.inbox, self._told(f"nothing comes to {name}")
        message = party.inbox.popleft()
        if isinstance(message, Request):
            party.requests[message.method] = message
        return message

    def play(self, *texts: str) -> None:
        super().play(*texts, f"{_QUIET} s")


@contextmanager
def wire_ladder(border: Border) -> Iterator[WireLadder]:
    with ExitStack() as sockets:
        yield WireLadder(border, sockets)
