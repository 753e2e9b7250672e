"""Zones on loopback ports that are free right now, and a far end made of plain sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, reactor, task

from sbc.b2bua import Listener, Zone
from sbc.sip import Address, Hop, Packet, TransactionId


def free_port(host: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def zone_on(name: str, host: str, transport: str) -> Zone:
    """A zone with one listener on a free port of `host`."""
    kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM
    local = Address(host, free_port(host, kind))
    return Zone(name, (Listener(transport, local, local),))


def options(branch: str, size: int = 0) -> bytes:
    """A request as it goes over a stream."""
    body = b"x" * size
    head = f"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP a;branch={branch}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


class Inbox:
    """Gathers what transports tell."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.failures: list[tuple[TransactionId, str]] = []
        self.ended: list[Hop] = []

    def receive(self, packet: Packet) -> None:
        self.packets.append(packet)

    def failed(self, transaction: TransactionId, reason: str) -> None:
        self.failures.append((transaction, reason))

    def stream_ended(self, hop: Hop) -> None:
        self.ended.append(hop)


async def until(condition: Callable[[], Any], seconds: float = 3.0) -> None:
    """Let the reactor run until `condition()` holds; AssertionError when it does not within `seconds`."""
    clock: Any = reactor
    end = clock.seconds() + seconds
    while not condition():
        assert clock.seconds() < end, "did not happen"
        await task.deferLater(clock, 0.005)


def runs(test: Callable[..., Any]) -> Callable[..., Any]:
    """Lets trial run a coroutine method."""

    def run(self: Any) -> defer.Deferred[None]:
        return defer.ensureDeferred(test(self))

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run
