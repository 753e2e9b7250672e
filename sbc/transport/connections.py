"""The streams that are open: which one a message takes, and how many there may be.

A stream is known by its number (`Hop.connection`) and by where it leads: zone, transport, our address, theirs. Streams
are used in both directions, whoever opened them. The number of one that was accepted ends with the port that it came
from, so that it tells also when the stream is gone that nobody listens there: such a flow only the other side can open
again (RFC 5626 section 4.3).
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from sbc.b2bua import Listener, Zone
from sbc.sip import Address, Hop, Limits, Packet, TransactionId
from sbc.transport.settings import TransportSettings
from sbc.transport.stream import SipStream

BACKLOG = 512
CHECK_INTERVAL = 1.0
CLOSING_TIME = 1.0
"""What streams get to send their last bytes in when all is closed."""

Route = tuple[str, str, Address, Address]

_PORT_BITS = 16


class StreamKind(NamedTuple):
    """What makes one stream transport: how it is opened, listened for, and what speaks on it.

    TLS adds a wrapped endpoint and factory; WebSocket another `stream`.
    """

    client: Callable[[Any, Hop, float], IStreamClientEndpoint]
    serve: Callable[[Any, socket.socket, Factory], IListeningPort]
    stream: Callable[..., SipStream]


def tcp_client(reactor: Any, hop: Hop, timeout: float) -> IStreamClientEndpoint:
    """From the listener's own address, at a port that the system chooses."""
    endpoint = TCP6ClientEndpoint if ":" in hop.remote.host else TCP4ClientEndpoint
    return endpoint(reactor, hop.remote.host, hop.remote.port, timeout, (hop.local.host, 0))


def tcp_serve(reactor: Any, bound: socket.socket, factory: Factory) -> IListeningPort:
    bound.listen(BACKLOG)
    port: IListeningPort = reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
    bound.close()  # Twisted has a duplicate
    return port


KINDS = {"TCP": StreamKind(tcp_client, tcp_serve, SipStream)}


class Connections:
    """All streams of this process. Times come from the reactor's clock."""

    def __init__(self, reactor: Any, limits: Limits, settings: TransportSettings) -> None:
        self._reactor = reactor
        self._limits = limits
        self._settings = settings
        self._receive: Callable[[Packet], None] = lambda packet: None
        self._failed: Callable[[TransactionId, str], None] = lambda transaction, reason: None
        self._ended: Callable[[Hop], None] = lambda hop: None
        self._numbers = itertools.count(1)
        self._streams: dict[int, SipStream] = {}
        self._by_route: dict[Route, SipStream] = {}
        self._accepted = 0
        self._per_source: dict[str, int] = {}
        self._ports: list[IListeningPort] = []
        self._checking: Any = None
        self._last_call: Any = None
        self._closing: Deferred[None] | None = None
        self.refused = 0
        """Streams not accepted, or not opened, because there were too many."""

    @property
    def count(self) -> int:
        return len(self._streams)

    def start(
        self,
        receive: Callable[[Packet], None],
        failed: Callable[[TransactionId, str], None],
        ended: Callable[[Hop], None],
    ) -> None:
        self._receive = receive
        self._failed = failed
        self._ended = ended

    def listen(self, zone: Zone, listener: Listener, bound: socket.socket) -> None:
        """Accept streams on this bound socket, which is ours from now on. Raises OSError."""
        self._ports.append(KINDS[listener.transport].serve(self._reactor, bound, Accepting(self, zone.name, listener)))

    def write(self, data: bytes, hop: Hop, transaction: TransactionId | None) -> None:
        """On the stream that `hop` names while it is open, else on one that leads to its remote address.

        Where the stream that it names is gone, a response fails: where it may go instead its Via says, and the stack
        reads that (18.2.2). So does a request to the very port that an accepted stream came from.
        """
        stream = self._streams.get(hop.connection) if hop.connection is not None else None
        if stream is None and (hop.connection is None or not data.startswith(b"SIP/2.0 ")):
            stream = self._by_route.get((hop.zone, hop.transport, hop.local, hop.remote))
            if stream is None and not _came_from(hop):
                stream = self._connect(hop)
        if (stream is None or not stream.write(data, transaction)) and transaction is not None:
            self._failed(transaction, "no connection")

    def hold(self, hop: Hop, seconds: float) -> None:
        """The stream that `hop` names, if it is there, is not closed for being idle for so long from now."""
        stream = self._streams.get(hop.connection or 0)
        if stream is not None:
            stream.hold(self._reactor.seconds() + seconds)

    def close(self) -> Deferred[None]:
        """Stop accepting, let streams send what they have for a moment, then end them all."""
        stopping: list[Any] = [port.stopListening() for port in self._ports]
        self._ports.clear()
        if self._streams:
            self._closing = Deferred()
            stopping.append(self._closing)
            self._last_call = self._reactor.callLater(CLOSING_TIME, self._abort_all)
            for stream in list(self._streams.values()):
                stream.finish("shutting down")
        return DeferredList([each or succeed(None) for each in stopping]).addCallback(lambda _: None)

    def _abort_all(self) -> None:
        self._last_call = None
        for stream in list(self._streams.values()):
            stream.abort("shutting down")

    # -- making streams -----------------------------------------------------------------------------------------------

    def accept(self, zone: str, listener: Listener, remote: Address) -> SipStream | None:
        """A stream for a connection that has come in; None when there are too many already."""
        from_there = self._per_source.get(remote.host, 0)
        if (
            self._closing is not None
            or self._accepted >= self._settings.max_connections
            or from_there >= self._settings.max_connections_per_source
        ):
            self.refused += 1
            return None
        self._accepted += 1
        self._per_source[remote.host] = from_there + 1
        return self._new(Hop(zone, listener.transport, listener.local, remote), accepted=True)

    def _connect(self, hop: Hop) -> SipStream | None:
        if self._closing is not None or len(self._streams) - self._accepted >= self._settings.max_connections:
            self.refused += 1
            return None
        stream = self._new(hop, accepted=False)
        endpoint = KINDS[hop.transport].client(self._reactor, hop, self._settings.connect_timeout)
        endpoint.connect(Opening(stream)).addErrback(_never_opened, stream)
        return stream

    def _new(self, hop: Hop, accepted: bool) -> SipStream:
        number = next(self._numbers) << _PORT_BITS | (hop.remote.port if accepted else 0)
        hop = hop._replace(connection=number)
        stream = KINDS[hop.transport].stream(self, hop, self._limits, self._settings, accepted)
        self._streams[number] = self._by_route[hop[:4]] = stream
        if self._checking is None:
            self._checking = self._reactor.callLater(CHECK_INTERVAL, self._check)
        return stream

    def _check(self) -> None:
        now = self._reactor.seconds()
        self._checking = None
        for stream in list(self._streams.values()):
            stream.check(now)
        if self._streams:
            self._checking = self._reactor.callLater(CHECK_INTERVAL, self._check)

    # -- what a stream tells ------------------------------------------------------------------------------------------

    def received(self, packet: Packet) -> None:
        self._receive(packet)

    def lost(self, stream: SipStream, unsent: list[TransactionId], reason: str) -> None:
        hop = stream.hop
        del self._streams[hop.connection or 0]
        if self._by_route.get(hop[:4]) is stream:
            del self._by_route[hop[:4]]
        if stream.accepted:
            self._accepted -= 1
            left = self._per_source.pop(hop.remote.host) - 1
            if left:
                self._per_source[hop.remote.host] = left
        for transaction in unsent:
            self._failed(transaction, reason)
        if self._closing is None:
            self._ended(hop)
        if not self._streams:
            self._all_gone()

    def _all_gone(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            self._checking = None
        if self._last_call is not None:
            self._last_call.cancel()
            self._last_call = None
        if self._closing is not None and not self._closing.called:
            self._closing.callback(None)


def _came_from(hop: Hop) -> bool:
    """Whether the stream that `hop` names was opened by the other side, from the port that `hop` leads to."""
    return hop.connection is not None and hop.connection % (1 << _PORT_BITS) == hop.remote.port


def _never_opened(failure: Failure, stream: SipStream) -> None:
    stream.fail(failure.getErrorMessage())


class Accepting(Factory):
    """Makes a stream for each connection that one listener accepts."""

    noisy = False

    def __init__(self, connections: Connections, zone: str, listener: Listener) -> None:
        self._connections = connections
        self._zone = zone
        self._listener = listener

    def buildProtocol(self, addr: Any) -> SipStream | None:
        return self._connections.accept(self._zone, self._listener, Address(addr.host, addr.port))


class Opening(Factory):
    """Gives the one stream that waits for its connection."""

    noisy = False

    def __init__(self, stream: SipStream) -> None:
        self._stream = stream

    def buildProtocol(self, addr: Any) -> SipStream:
        return self._stream
