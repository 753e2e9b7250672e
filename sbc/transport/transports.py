"""All our sockets, as the driver sees them: messages in by a callback, messages out by `write`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred

from sbc.b2bua import Listener, Zone
from sbc.sip import Address, Hop, Limits, Packet, TransactionId
from sbc.transport.connections import Connections
from sbc.transport.pace import Pace
from sbc.transport.settings import TransportSettings
from sbc.transport.sockets import ListenError, bound_socket, listen_fault
from sbc.transport.stream import PING
from sbc.transport.udp import UdpSocket


class Transports:
    """`bind`, then `listen`, then `write` as often as needed, then `close`."""

    def __init__(self, reactor: Any, zones: Iterable[Zone], limits: Limits, settings: TransportSettings) -> None:
        self._reactor = reactor
        self._listeners = [(zone, listener) for zone in zones for listener in zone.listeners]
        self._settings = settings
        self._pace = Pace(reactor)
        self._udp: dict[Address, UdpSocket] = {}
        self._bound: list[tuple[Zone, Listener, socket.socket]] = []
        self._failed: Callable[[TransactionId, str], None] = lambda transaction, reason: None
        self.connections = Connections(reactor, limits, settings)

    def bind(self) -> None:
        """Take every listener's port; nothing is read yet. Raises ListenError, which names all that cannot be had."""
        faults = []
        for zone, listener in self._listeners:
            datagrams = listener.transport == "UDP"
            try:
                bound = bound_socket(listener, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
            except OSError as error:
                faults.append(listen_fault(zone, listener, error))
                continue
            if datagrams:
                buffer = self._settings.udp_receive_buffer
                self._udp[listener.local] = UdpSocket(self._pace, zone, listener, bound, buffer)
            else:
                self._bound.append((zone, listener, bound))
        if faults:
            self._release()
            raise ListenError(faults)

    def listen(
        self,
        receive: Callable[[Packet], None],
        failed: Callable[[TransactionId, str], None],
        ended: Callable[[Hop], None] = lambda hop: None,
    ) -> None:
        """Serve: each whole message goes to `receive`; each transaction whose message could not be sent to `failed`,
        and the hop of each stream that is no more to `ended`; both may be called from within `write`, and neither
        for what `close` ends. Raises ListenError."""
        self._failed = failed
        for udp in self._udp.values():
            udp.start(receive, failed)
        self.connections.start(receive, failed, ended)
        bound, self._bound = self._bound, []
        for zone, listener, stream_socket in bound:
            try:
                self.connections.listen(zone, listener, stream_socket)
            except OSError as error:
                raise ListenError([listen_fault(zone, listener, error)]) from error

    def write(self, data: bytes, hop: Hop, transaction: TransactionId | None) -> None:
        """Send one message. Never raises for reasons of the network."""
        if hop.transport == "UDP":
            udp = self._udp.get(hop.local)
            if udp is not None:
                udp.send(data, hop.remote, transaction)
            elif transaction is not None:
                self._failed(transaction, "no listener there")
        else:
            self.connections.write(data, hop, transaction)

    def ping(self, hop: Hop) -> None:
        """Send what only NATs on the way take notice of."""
        self.write(PING, hop, None)

    def hold(self, hop: Hop, seconds: float) -> None:
        """Do not close the stream that `hop` names for being idle, for so long from now."""
        self.connections.hold(hop, seconds)

    def close(self) -> Deferred[None]:
        """Fires when all is closed."""
        self._release()
        return self.connections.close()

    def _release(self) -> None:
        for udp in self._udp.values():
            udp.close()
        self._udp.clear()
        for _zone, _listener, bound in self._bound:
            bound.close()
        self._bound.clear()

    @property
    def lost(self) -> int:
        """Datagrams that could not be sent, and streams refused."""
        return sum(udp.lost for udp in self._udp.values()) + self.connections.refused
