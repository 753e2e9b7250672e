"""One side of a flow in the worker: whom it hears, what is counted of it, and how it is sent to.

A side is heard through the unconnected sockets of its port pair, where each packet's source is compared in Python.
After `SETTLED` packets to or from the same place a second socket on the RTP port is connected to that place: the
kernel then compares the source, gives this socket the packets of that source (a connected socket scores higher in
the look-up) and keeps the route, which saves a fifth of the CPU time of a packet. Strangers' packets still come to
the unconnected one, where they are counted and dropped. A flow whose media never starts costs no socket beyond its
bound pairs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any

from sbc.dataplane.passage import Passage
from sbc.dataplane.ports import Pair, Place, bound_socket, reachable
from sbc.rtp import Content, Latch, Reception, content_of, scrub_rtcp

if TYPE_CHECKING:
    from sbc.dataplane.relay import Relay, RelayedFlow

Hear = Callable[[float], None]

SETTLED = 32
"""Packets between us and one place after which a connected socket is worth its seven system calls."""
MISMATCH_INTERVAL = 1.0
"""Seconds between two `SourceMismatch` of one side."""

BUFFER = bytearray(65536)
"""Every datagram is read into it; nothing of it is kept."""
_WHOLE = memoryview(BUFFER)
_USUAL = 2048
_VIEWS = [_WHOLE[:size] for size in range(_USUAL + 1)]  # making a slice of each packet would cost more
_MEDIA = (Content.RTP, Content.RTCP)
_FIXED_HEADER = Struct("!BBHII").unpack_from

_SHUT = Latch("strict", None, None)
"""The latch of a side of which signalling has said nothing yet: it admits nobody and is never changed."""


def _nowhere(_datagram: memoryview) -> int:
    return 0


class CommandError(ValueError):
    """A command cannot be carried out; the text says why."""


class Side:
    """One side of a flow: whom we hear, what we count of it, and how we send to it."""

    __slots__ = (
        "_aimed_at",
        "_announced_at",
        "_family",
        "_mismatched_since",
        "_slow",
        "cname",
        "connected",
        "flow",
        "forward",
        "generation",
        "latch",
        "mismatched",
        "moves",
        "mux",
        "name",
        "other",
        "pair",
        "passage",
        "reception",
        "relay",
        "rtcp_count",
        "rtcp_latch",
        "told",
    )
    other: Side

    def __init__(self, relay: Relay, flow: RelayedFlow, name: str, clock_rate: int) -> None:
        self.relay = relay
        self.flow = flow
        self.name = name
        self.reception = Reception(clock_rate)
        self.rtcp_count = 0
        self.mismatched = 0
        self.told: list[Any] | None = None
        """The command's words about this side, to see at once that nothing changed."""
        self.generation = -1
        self.moves = 0
        self.mux = False
        self.cname = ""
        self.pair: Pair | None = None
        self._family = socket.AF_INET
        self.latch = _SHUT
        self.rtcp_latch = _SHUT
        self.connected: socket.socket | None = None
        self.passage: Passage | None = None
        """What is done to packets of this side; None: they are forwarded as they are."""
        self.forward: Callable[[memoryview], int] = _nowhere
        """Sends an RTP (or opaque) datagram to this side."""
        self._aimed_at: Place | None = None
        self._slow = 0
        self._mismatched_since = 0
        self._announced_at = -MISMATCH_INTERVAL

    # -- what signalling says -----------------------------------------------------------------------------------------

    def set(self, told: list[Any], latched: Any, now: float) -> None:
        """Make this side what the command says (`sbc.dataplane.wire`). Raises CommandError, and OSError if its ports
        cannot be bound."""
        if not isinstance(told, list):
            raise CommandError("a side is a list")
        if told == self.told:
            return
        (host, port), remote, remote_rtcp, mux, signalling, mode, generation, cname, moves = told
        if mode not in ("strict", "signalling", "any"):
            raise CommandError(f"no such latching: {mode!r}")
        if self.pair is None or (host, port) != (self.pair.host, self.pair.port):
            self._move(self.relay.take(host, port, self))
        assert self.pair is not None
        self.mux = bool(mux)
        self.cname = str(cname)
        expected = reachable(remote, self._family)
        expected_rtcp = reachable(remote_rtcp, self._family)
        if self.told is None:
            self.latch = Latch(mode, expected, signalling, reachable(latched, self._family))
            self.rtcp_latch = Latch(mode, expected_rtcp, signalling)
        elif generation != self.generation or expected != self.latch.expected:
            self.latch.renew(mode, expected, signalling, now)
            self.rtcp_latch.renew(mode, expected_rtcp, signalling, now)
        else:
            self.rtcp_latch.expected = expected_rtcp
        if self.told is not None and moves != self.moves:
            self.latch.follow(signalling, now)
            self.rtcp_latch.follow(signalling, now)
        if self.latch.source is not None:
            self.rtcp_latch.confine(self.latch.source[0])
        else:
            self.rtcp_latch.confined_to = None
        self.generation = generation
        self.moves = moves
        self.told = told
        self.aim()

    def _move(self, pair: Pair) -> None:
        self.release()
        self.pair = pair
        self._family = pair.family

    def release(self) -> None:
        """Leave the port pair; it stays bound, and idle."""
        self._disconnect()
        self._aimed_at = None
        self.forward = _nowhere
        if self.pair is not None:
            self.relay.give_back(self.pair, self)
            self.pair = None

    def end(self) -> None:
        """The flow is gone: leave the ports, and no cycle of references for the garbage collector."""
        self.release()
        if self.passage is not None:
            self.relay.timed.pop(self.passage, None)
            del self.passage.side, self.passage
        del self.flow, self.other

    def treat(self, words: list[Any] | None, onward: Any) -> None:
        """What is to be done to packets of this side, and how the other one takes events. Raises CommandError."""
        if words is None and self.passage is None:
            return
        passage = self.passage or Passage(self, BUFFER)
        try:
            passage.set(words, onward)
        except (ValueError, TypeError) as error:
            raise CommandError(f"no such treatment: {error}") from None
        self.passage = passage if words is not None or passage.is_shifted else None
        self.aim()  # which has packets heard anew

    # -- sending ------------------------------------------------------------------------------------------------------

    def aim(self) -> None:
        """The place that we send to may have changed: then send from the unconnected socket until it has proven
        steady."""
        destination = self.latch.destination
        if self.connected is not None and destination == self._aimed_at:
            self.relay.hears[self.connected.fileno()] = self._hear_connected
            return
        self._disconnect()
        self._aimed_at = destination
        self._slow = 0
        self.forward = _nowhere if destination is None else self._send_unconnected

    def _send_unconnected(self, datagram: memoryview) -> int:
        destination = self.latch.destination
        if destination is None or self.pair is None:
            return 0
        sent = self.pair.rtp.sendto(datagram, destination)
        self._settle()  # only now: it may use the buffer that the datagram lies in
        return sent

    def _settle(self) -> None:
        self._slow += 1
        if self._slow == SETTLED:
            self._connect()

    def send_rtcp(self, datagram: bytes | memoryview) -> None:
        if self.pair is None:
            return
        try:
            if self.mux:
                self.forward(memoryview(datagram))
            else:
                destination = self.rtcp_latch.destination
                if destination is not None:
                    self.pair.rtcp.sendto(datagram, destination)
        except OSError:
            pass

    def _connect(self) -> None:
        """Put a connected socket beside the unconnected one. Where that fails (no descriptor, no route), all goes on as
        before."""
        destination, pair = self.latch.destination, self.pair
        if destination is None or pair is None:
            return
        try:
            pair.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock = bound_socket(pair.family, pair.host, pair.port, beside=True)
            finally:  # nobody else gets the port: both sides of a sharing must allow it when the second one binds
                pair.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            return
        try:
            sock.connect(destination)
        except OSError:
            sock.close()
            return
        self.connected = sock
        # Between bind and connect anyone's packets may have come to the new socket: hear them as the old one would.
        for _ in range(SETTLED):
            if not self._hear_from(sock, self.relay.now):
                break
        if self.connected is sock:  # it is not if one of those packets latched elsewhere
            self.forward = sock.send
            self.relay.watch(sock, self._fast_hear() if self._is_settled() else self._hear_connected)

    def _is_settled(self) -> bool:
        latch = self.latch
        return not latch.is_open and latch.source == latch.destination

    def _disconnect(self) -> None:
        if self.connected is not None:
            self.relay.forget(self.connected)
            self.connected = None

    # -- hearing ------------------------------------------------------------------------------------------------------

    def _fast_hear(self) -> Hear:
        """What is called when the connected socket of a latched side is readable."""
        assert self.connected is not None
        if not self.flow.is_rtp:
            return self._hear_connected
        if self.passage is not None:
            return self._treated_hear(self.passage)
        receive = self.connected.recv_into
        count = self.reception.count
        other = self.other

        def hear(now: float) -> None:
            try:
                size = receive(BUFFER)
            except OSError:  # nothing there, or the answer of a host that refused what we sent
                return
            if 12 <= size <= _USUAL:
                first, second, sequence, timestamp, ssrc = _FIXED_HEADER(BUFFER)
                if first & 0xC0 == 0x80 and not 192 <= second <= 223:
                    count(size, sequence, timestamp, ssrc, now)
                    try:
                        other.forward(_VIEWS[size])
                    except OSError:
                        other.send_again(_VIEWS[size])
                    return
            self._take(size, now)

        return hear

    def _treated_hear(self, passage: Passage) -> Hear:
        """The same for a side whose packets are treated."""
        assert self.connected is not None
        receive, count, other, admit = self.connected.recv_into, self.reception.count, self.other, passage.admit
        table = passage.table if passage.only_maps else None

        def hear(now: float) -> None:
            try:
                size = receive(BUFFER)
            except OSError:
                return
            if 12 <= size <= _USUAL:
                first, second, sequence, timestamp, ssrc = _FIXED_HEADER(BUFFER)
                if first & 0xC0 == 0x80 and not 192 <= second <= 223:
                    count(size, sequence, timestamp, ssrc, now)
                    if table is not None:
                        BUFFER[1] = table[second]
                    elif not admit(size, second, sequence, timestamp, ssrc, now):
                        return
                    other.send(_VIEWS[size])
                    return
            self._take(size, now)

        return hear

    def _hear_connected(self, now: float) -> None:
        """The connected socket while its place has yet to speak: signalling named it, or named it anew."""
        sock = self.connected
        if sock is not None and self._hear_from(sock, now) and sock is self.connected and self._is_settled():
            self.relay.hears[sock.fileno()] = self._fast_hear()

    def hear(self, now: float) -> None:
        """The RTP port's unconnected socket is readable."""
        if self.pair is not None and self._hear_from(self.pair.rtp, now) and self.connected is None:
            if not self.latch.is_open:
                self._settle()

    def _hear_from(self, sock: socket.socket, now: float) -> bool:
        """Take one datagram; False if there is none."""
        try:
            size, address = sock.recvfrom_into(BUFFER)
        except OSError:
            return False
        source = address[:2]
        if not size or (self.flow.is_rtp and content_of(BUFFER, size) not in _MEDIA):
            self.relay.garbage += 1  # dropped before it could latch anything
            return True
        before = self.latch.source
        if not self.latch.admit(source, now):
            self._stranger(source, now)
            return True
        if before != source:
            self._latched(source)
        self._take(size, now)
        return True

    def _latched(self, source: Place) -> None:
        self.rtcp_latch.confine(source[0])
        self.relay.events.append(["l", self.flow.id, self.name, source])
        self.aim()

    def _take(self, size: int, now: float) -> None:
        """The first `size` bytes of the buffer are a datagram of the latched source: count it, pass it on."""
        datagram = _WHOLE[:size]
        if self.flow.is_rtp:
            content = content_of(BUFFER, size)
            if content is Content.RTCP:
                self._take_rtcp(datagram)
                return
            if content is not Content.RTP:
                self.relay.garbage += 1
                return
            _, second, sequence, timestamp, ssrc = _FIXED_HEADER(BUFFER)
            self.reception.count(size, sequence, timestamp, ssrc, now)
            passage = self.passage
            if passage is not None and not passage.admit(size, second, sequence, timestamp, ssrc, now):
                return
        elif size:
            self.reception.count_opaque(size)
        else:
            return
        self.other.send(datagram)

    def send(self, datagram: bytes | memoryview) -> None:
        """Send an RTP or opaque datagram to this side."""
        view = memoryview(datagram)
        try:
            self.forward(view)
        except OSError:
            self.send_again(view)

    def send_again(self, datagram: memoryview) -> None:
        """A send failed. What a connected socket reports may be the refusal of an earlier packet, and this one has not
        been sent: try once more, then it is lost, as the network loses packets."""
        try:
            self.forward(datagram)
        except OSError:
            self.relay.unsent += 1

    def hear_rtcp(self, now: float) -> None:
        """The RTCP port is readable."""
        if self.pair is None:
            return
        try:
            size, address = self.pair.rtcp.recvfrom_into(BUFFER)
        except OSError:
            return
        source = address[:2]
        if self.mux or not self.flow.is_rtp or content_of(BUFFER, size) is not Content.RTCP:
            self.relay.garbage += 1
        elif self.rtcp_latch.admit(source, now):
            self._take_rtcp(_WHOLE[:size])
        else:
            self._stranger(source, now)

    def _take_rtcp(self, datagram: memoryview) -> None:
        self.rtcp_count += 1
        other = self.other
        if other.cname:
            scrubbed = scrub_rtcp(bytes(datagram), other.cname)
            if scrubbed:
                other.send_rtcp(scrubbed)
        else:
            other.send_rtcp(datagram)

    def _stranger(self, source: Place, now: float) -> None:
        self.mismatched += 1
        self._mismatched_since += 1
        if now - self._announced_at >= MISMATCH_INTERVAL:
            self._announced_at = now
            self.relay.events.append(["m", self.flow.id, self.name, source, self._mismatched_since])
            self._mismatched_since = 0

    # -- figures ------------------------------------------------------------------------------------------------------

    def activity(self) -> int:
        return self.reception.octets + self.rtcp_count

    def report(self) -> list[Any]:
        figures = self.reception.figures()
        return [
            figures.packets,
            figures.octets,
            figures.lost,
            figures.reordered,
            round(figures.jitter, 3),
            self.rtcp_count,
            self.mismatched,
            self.latch.source,
        ]
