"""Planes to test: a `DataPlane` with what is needed to start it, to wait for its events, and to end it."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.process import reapAllProcesses

from sbc.dataplane import MemoryPlane, PortRange, UserspacePlane
from sbc.media.flow import DataPlane, Flow, FlowEvent, FlowSide, Latching, PortsReady, StatsReport
from sbc.sip import Address

WIDTH = 600
"""Ports of each plane; those that live at the same time have ranges of their own."""
_lows = itertools.cycle(range(23610, 23610 + 6 * WIDTH, WIDTH))
HOSTS = ("127.0.0.1", "::1")

E = TypeVar("E")


class PlaneUnderTest:
    """A plane, its events so far, and time for it to act."""

    moves_packets = False

    def __init__(self, plane: DataPlane, low: int) -> None:
        self.plane = plane
        self.low = low
        self.high = low + WIDTH - 1
        self.events: list[FlowEvent] = []
        plane.subscribe(self.events.append)

    def run(self, seconds: float) -> None:
        """Let it work for so long."""

    def wait(self, kind: type[E], matches: Callable[[E], bool] = lambda event: True, timeout: float = 5.0) -> E:
        """The first event of that kind that matches, past or to come."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if isinstance(event, kind) and matches(event):
                    return event
            assert time.monotonic() < deadline, f"no {kind.__name__} among {self.events}"
            self.run(0.02)

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def crash(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class MemoryUnderTest(PlaneUnderTest):
    plane: MemoryPlane

    def __init__(self) -> None:
        low = next(_lows)
        super().__init__(MemoryPlane(dict.fromkeys(HOSTS, (low, low + WIDTH - 1))), low)

    def crash(self) -> None:
        self.plane.lose("as the test wants it")


class UserspaceUnderTest(PlaneUnderTest):
    """The real thing, on a reactor of its own that runs while the test waits."""

    moves_packets = True
    plane: UserspacePlane

    def __init__(self, **options: Any) -> None:
        self.reactor: Any = EPollReactor()
        low = next(_lows)
        super().__init__(UserspacePlane(self.reactor, PortRange(low, low + WIDTH - 1), **options), low)
        self.connected = False
        self.plane.start().addCallback(self._connected)
        self.until(lambda: self.connected)

    def _connected(self, _: object) -> None:
        self.connected = True

    def run(self, seconds: float) -> None:
        self.reactor.iterate(seconds)
        reapAllProcesses()  # no signal handler is installed for this reactor

    def until(self, done: Callable[[], object], timeout: float = 5.0) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < deadline, "it takes too long"
            self.run(0.01)

    @property
    def pid(self) -> int:
        worker = self.plane._worker
        assert worker is not None
        assert worker.transport is not None
        return int(worker.transport.pid)

    def crash(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        ended: list[object] = []
        self.plane.stop().addCallback(ended.append)
        self.until(lambda: ended)
        for reader in self.reactor.removeAll():
            reader.connectionLost(None)
        self.reactor._poller.close()


class Phone:
    """A peer's socket."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, port))
        self.address = Address(*self.sock.getsockname()[:2])

    def send(self, to: Address, datagram: bytes) -> None:
        self.sock.sendto(datagram, to)

    def receive(self, timeout: float = 2.0) -> tuple[bytes, Address]:
        """Raises TimeoutError if nothing comes."""
        self.sock.settimeout(timeout)
        datagram, source = self.sock.recvfrom(65536)
        return datagram, Address(*source[:2])

    def pending(self) -> list[bytes]:
        """What has come already."""
        datagrams = []
        self.sock.setblocking(False)
        while True:
            try:
                datagrams.append(self.sock.recv(65536))
            except BlockingIOError:
                return datagrams

    def hears_nothing(self, seconds: float = 0.15) -> bool:
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self.sock.close()


def rtp(
    sequence: int = 1,
    timestamp: int | None = None,
    ssrc: int = 0x5BC,
    payload: bytes = b"s" * 160,
    number: int = 0,
) -> bytes:
    """`number`: payload number, and the marker as its highest bit."""
    stamp = sequence * 160 if timestamp is None else timestamp
    return struct.pack("!BBHII", 0x80, number, sequence & 0xFFFF, stamp & 0xFFFFFFFF, ssrc) + payload


def side(local: Address, remote: Address | None, **changes: Any) -> FlowSide:
    """A side as signalling mostly leaves it: RTCP beside RTP, only the SDP's host may send, nothing hidden."""
    usual = FlowSide(
        local=local,
        remote=remote,
        remote_rtcp=None if remote is None else Address(remote.host, remote.port + 1),
        rtcp_mux=False,
        signalling=None,
        latching=Latching.SIGNALLING,
        generation=1,
        cname="",
    )
    return usual._replace(**changes)


def flow(flow_id: str, a: FlowSide, b: FlowSide, **changes: Any) -> Flow:
    return Flow(flow_id, "rtp", 8000, a, b, 0.0)._replace(**changes)


SETTLED = 40
"""Packets after which a plane may treat a stream otherwise than its first packets (a faster path)."""
_names = (f"call-{n}/0" for n in itertools.count())


class Stage:
    """A flow on a plane, and phones around it."""

    def __init__(self, under_test: PlaneUnderTest) -> None:
        self.under_test = under_test
        self.phones: list[Phone] = []
        self.flows: list[str] = []

    def phone(self, host: str = "127.0.0.1", port: int = 0) -> Phone:
        made = Phone(host, port)
        self.phones.append(made)
        return made

    def phone_pair(self) -> tuple[Phone, Phone]:
        """Phones on an even port and the odd one after it."""
        while True:
            first = self.phone()
            if first.address.port % 2 == 0:
                try:
                    return first, self.phone(port=first.address.port + 1)
                except OSError:
                    continue

    def ports(self, host: str = "127.0.0.1", count: int = 2) -> list[Address]:
        seen = len(self.under_test.events)
        self.under_test.plane.bind(host, count)
        self.under_test.wait(PortsReady, lambda e: e in self.under_test.events[seen:])
        ready = next(e for e in self.under_test.events[seen:] if isinstance(e, PortsReady))
        return [Address(host, port) for port in ready.ports]

    def apply(self, a: FlowSide, b: FlowSide, **changes: Any) -> Flow:
        made = flow(next(_names), a, b, **changes)
        self.flows.append(made.id)
        self.again(made)
        return made

    def again(self, changed: Flow) -> None:
        """Apply it, and wait until the plane goes by it."""
        self.under_test.plane.apply(changed)
        self.ports(count=0)  # what is asked later is answered later

    def call(self, **changes: Any) -> tuple[Flow, Phone, Phone]:
        """A flow between two phones at the places that their SDP named."""
        near, far = self.phone(), self.phone()
        local_a, local_b = self.ports()
        return self.apply(side(local_a, near.address), side(local_b, far.address), **changes), near, far

    def remove(self, removed: Flow) -> StatsReport:
        self.under_test.plane.remove(removed.id)
        return self.under_test.wait(StatsReport, lambda e: e.flow_id == removed.id)

    def close(self) -> None:
        for name in self.flows:
            self.under_test.plane.remove(name)
        self.under_test.run(0.05)
        for phone in self.phones:
            phone.close()


def settle(speaker: Phone, to: Address, listener: Phone, first: int = 1, count: int = SETTLED) -> None:
    """Speak until the plane knows the stream well."""
    for sequence in range(first, first + count):
        speaker.send(to, rtp(sequence))
        listener.receive()
