"""The packet path of the worker: flows, their sides, and the sockets they hear.

A side is heard through the unconnected sockets of its port pair, where each packet's source is compared in Python.
After `SETTLED` packets to or from the same place a second socket on the RTP port is connected to that place: the
kernel then compares the source, gives this socket the packets of that source (a connected socket scores higher in
the look-up) and keeps the route, which saves a fifth of the CPU time of a packet. Strangers' packets still come to
the unconnected one, where they are counted and dropped. A flow whose media never starts costs no socket beyond its
bound pairs.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from struct import Struct
from typing import Any

from sbc.dataplane.ports import Pair, Place, Ports, bound_socket, reachable
from sbc.rtp import Content, Latch, Reception, content_of, scrub_rtcp

Event = list[Any]
Hear = Callable[[float], None]

SETTLED = 32
"""Packets between us and one place after which a connected socket is worth its seven system calls."""
IDLE_LIMIT = 1000
"""Datagrams read and dropped on an idle pair before the kernel is left to drop them."""
MISMATCH_INTERVAL = 1.0
"""Seconds between two `SourceMismatch` of one side."""

_BUFFER = bytearray(65536)
_WHOLE = memoryview(_BUFFER)
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
        "_relay",
        "_slow",
        "cname",
        "connected",
        "flow",
        "forward",
        "generation",
        "latch",
        "mismatched",
        "mux",
        "name",
        "other",
        "pair",
        "reception",
        "rtcp_count",
        "rtcp_latch",
        "told",
    )
    other: Side

    def __init__(self, relay: Relay, flow: RelayedFlow, name: str, clock_rate: int) -> None:
        self._relay = relay
        self.flow = flow
        self.name = name
        self.reception = Reception(clock_rate)
        self.rtcp_count = 0
        self.mismatched = 0
        self.told: list[Any] | None = None
        """The command's words about this side, to see at once that nothing changed."""
        self.generation = -1
        self.mux = False
        self.cname = ""
        self.pair: Pair | None = None
        self._family = socket.AF_INET
        self.latch = _SHUT
        self.rtcp_latch = _SHUT
        self.connected: socket.socket | None = None
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
        (host, port), remote, remote_rtcp, mux, signalling, mode, generation, cname = told
        if mode not in ("strict", "signalling", "any"):
            raise CommandError(f"no such latching: {mode!r}")
        if self.pair is None or (host, port) != (self.pair.host, self.pair.port):
            self._move(self._relay.take(host, port, self))
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
        if self.latch.source is not None:
            self.rtcp_latch.confine(self.latch.source[0])
        else:
            self.rtcp_latch.confined_to = None
        self.generation = generation
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
            self._relay.give_back(self.pair, self)
            self.pair = None

    def end(self) -> None:
        """The flow is gone: leave the ports, and no cycle of references for the garbage collector."""
        self.release()
        del self.flow, self.other

    # -- sending ------------------------------------------------------------------------------------------------------

    def aim(self) -> None:
        """The place that we send to may have changed: then send from the unconnected socket until it has proven
        steady."""
        destination = self.latch.destination
        if self.connected is not None and destination == self._aimed_at:
            self._relay.watch_otherwise(self.connected, self._hear_connected)
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
            if not self._hear_from(sock, self._relay.now):
                break
        if self.connected is sock:  # it is not if one of those packets latched elsewhere
            self.forward = sock.send
            self._relay.watch(sock, self._fast_hear() if self._is_settled() else self._hear_connected)

    def _is_settled(self) -> bool:
        latch = self.latch
        return not latch.is_open and latch.source == latch.destination

    def _disconnect(self) -> None:
        if self.connected is not None:
            self._relay.forget(self.connected)
            self.connected = None

    # -- hearing ------------------------------------------------------------------------------------------------------

    def _fast_hear(self) -> Hear:
        """What is called when the connected socket of a latched side is readable."""
        assert self.connected is not None
        if not self.flow.is_rtp:
            return self._hear_connected
        receive = self.connected.recv_into
        count = self.reception.count
        other = self.other

        def hear(now: float) -> None:
            try:
                size = receive(_BUFFER)
            except OSError:  # nothing there, or the answer of a host that refused what we sent
                return
            if 12 <= size <= _USUAL:
                first, second, sequence, timestamp, ssrc = _FIXED_HEADER(_BUFFER)
                if first & 0xC0 == 0x80 and not 192 <= second <= 223:
                    count(size, sequence, timestamp, ssrc, now)
                    try:
                        other.forward(_VIEWS[size])
                    except OSError:
                        other.send_again(_VIEWS[size])
                    return
            self.take(size, now)

        return hear

    def _hear_connected(self, now: float) -> None:
        """The connected socket while its place has yet to speak: signalling named it, or named it anew."""
        sock = self.connected
        if sock is not None and self._hear_from(sock, now) and sock is self.connected and self._is_settled():
            self._relay.watch_otherwise(sock, self._fast_hear())

    def hear(self, now: float) -> None:
        """The RTP port's unconnected socket is readable."""
        if self.pair is not None and self._hear_from(self.pair.rtp, now) and self.connected is None:
            if not self.latch.is_open:
                self._settle()

    def _hear_from(self, sock: socket.socket, now: float) -> bool:
        """Take one datagram; False if there is none."""
        try:
            size, address = sock.recvfrom_into(_BUFFER)
        except OSError:
            return False
        source = address[:2]
        if not size or (self.flow.is_rtp and content_of(_BUFFER, size) not in _MEDIA):
            self._relay.garbage += 1  # dropped before it could latch anything
            return True
        before = self.latch.source
        if not self.latch.admit(source, now):
            self._stranger(source, now)
            return True
        if before != source:
            self._latched(source)
        self.take(size, now)
        return True

    def _latched(self, source: Place) -> None:
        self.rtcp_latch.confine(source[0])
        self._relay.events.append(["l", self.flow.id, self.name, source])
        self.aim()

    def take(self, size: int, now: float) -> None:
        """The first `size` bytes of the buffer are a datagram of the latched source: count it, pass it on."""
        datagram = _WHOLE[:size]
        if self.flow.is_rtp:
            content = content_of(_BUFFER, size)
            if content is Content.RTCP:
                self._take_rtcp(datagram)
                return
            if content is not Content.RTP:
                self._relay.garbage += 1
                return
            _, _, sequence, timestamp, ssrc = _FIXED_HEADER(_BUFFER)
            self.reception.count(size, sequence, timestamp, ssrc, now)
        elif size:
            self.reception.count_opaque(size)
        else:
            return
        try:
            self.other.forward(datagram)
        except OSError:
            self.other.send_again(datagram)

    def send_again(self, datagram: memoryview) -> None:
        """A send failed. What a connected socket reports may be the refusal of an earlier packet, and this one has not
        been sent: try once more, then it is lost, as the network loses packets."""
        try:
            self.forward(datagram)
        except OSError:
            self._relay.unsent += 1

    def hear_rtcp(self, now: float) -> None:
        """The RTCP port is readable."""
        if self.pair is None:
            return
        try:
            size, address = self.pair.rtcp.recvfrom_into(_BUFFER)
        except OSError:
            return
        source = address[:2]
        if self.mux or not self.flow.is_rtp or content_of(_BUFFER, size) is not Content.RTCP:
            self._relay.garbage += 1
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
            self._relay.events.append(["m", self.flow.id, self.name, source, self._mismatched_since])
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


class RelayedFlow:
    """A flow as the worker has it."""

    __slots__ = ("a", "activity", "b", "id", "is_rtp", "quiet_since", "silence")

    def __init__(self, relay: Relay, flow_id: str, is_rtp: bool, clock_rate: int) -> None:
        self.id = flow_id
        self.is_rtp = is_rtp
        self.a = Side(relay, self, "a", clock_rate)
        self.b = Side(relay, self, "b", clock_rate)
        self.a.other = self.b
        self.b.other = self.a
        self.silence = 0.0
        self.activity = 0
        self.quiet_since = 0.0


class Relay:
    """All flows and port pairs of the worker. `hears` says what to call for a readable descriptor."""

    def __init__(self, ports: Ports, epoll: select.epoll) -> None:
        self._ports = ports
        self._epoll = epoll
        self._flows: dict[str, RelayedFlow] = {}
        self._watched: dict[str, RelayedFlow] = {}
        self._look_at = 0.0
        self.hears: dict[int, Hear] = {}
        self.events: list[Event] = []
        self.now = 0.0
        self.due = False
        """Whether there is something new to wait for, so that the next wait must be reckoned anew."""
        self.garbage = 0
        """Datagrams on RTP ports that were neither RTP nor RTCP."""
        self.unsent = 0
        """Datagrams that the kernel would not take."""

    # -- commands -----------------------------------------------------------------------------------------------------

    def bind(self, host: str, count: int) -> None:
        """Raises OSError if `host` is not ours; that there are no ports is told all the same."""
        pairs: list[Pair] = []
        try:
            pairs = self._ports.bind(host, count)
        finally:
            self.events.append(["p", host, [pair.port for pair in pairs]])
        for pair in pairs:
            self._watch_pair(pair)

    def apply(self, flow_id: str, is_rtp: bool, clock_rate: int, silence: float, sides: list[Any]) -> None:
        """Raises CommandError or OSError if a side cannot be served; the other side is served all the same."""
        flow = self._flows.get(flow_id)
        if flow is None:
            flow = self._flows[flow_id] = RelayedFlow(self, flow_id, is_rtp, clock_rate)
        elif clock_rate != flow.a.reception.clock_rate:
            flow.a.reception.clock_rate = flow.b.reception.clock_rate = clock_rate
        told_a, told_b, latched_a, latched_b = sides
        try:
            flow.a.set(told_a, latched_a, self.now)
        finally:
            flow.b.set(told_b, latched_b, self.now)
        if silence != flow.silence:
            flow.silence = silence
            self._watch_silence(flow)

    def remove(self, flow_id: str) -> None:
        flow = self._flows.pop(flow_id, None)
        if flow is None:
            return
        self._watched.pop(flow_id, None)
        self.events.append(["s", flow_id, flow.a.report(), flow.b.report(), True])
        flow.a.end()
        flow.b.end()

    # -- silence ------------------------------------------------------------------------------------------------------

    def _watch_silence(self, flow: RelayedFlow) -> None:
        flow.quiet_since = self.now
        flow.activity = flow.a.activity() + flow.b.activity()
        if flow.silence <= 0:
            self._watched.pop(flow.id, None)
            return
        self._watched[flow.id] = flow
        look_at = self.now + flow.silence / 8
        if look_at < self._look_at:
            self._look_at = look_at
            self.due = True

    def look_for_silence(self) -> float:
        """Announce the flows that have been silent too long; gives the time to look again. All are looked at together,
        eight times in the shortest term, so that packets need no timestamp of their own and waking up is rare."""
        now = self.now
        if now < self._look_at:
            return self._look_at
        shortest = 480.0
        for flow in self._watched.values():
            activity = flow.a.activity() + flow.b.activity()
            if activity != flow.activity:
                flow.activity = activity
                flow.quiet_since = now
            elif 0 <= flow.quiet_since <= now - flow.silence:
                self.events.append(["q", flow.id])
                flow.quiet_since = -1.0  # told; only packets make it count again
            shortest = min(shortest, flow.silence)
        self._look_at = now + shortest / 8
        return self._look_at

    # -- sockets ------------------------------------------------------------------------------------------------------

    def take(self, host: str, port: int, side: Side) -> Pair:
        """The pair for a side, bound if it is not. Raises OSError if that fails."""
        pair, fresh = self._ports.pair(host, port)
        if pair.dropped and not fresh:
            _drain(pair)  # somebody still sends there, and may have since we last looked
        if not pair.watched:
            self._watch_pair(pair)
        pair.side = side
        hears = self.hears
        hears[pair.rtp.fileno()] = side.hear
        hears[pair.rtcp.fileno()] = side.hear_rtcp
        return pair

    def give_back(self, pair: Pair, side: Side) -> None:
        if pair.side is side:  # not if another flow was given these ports meanwhile
            pair.side = None
            pair.dropped = 0
            self._idle(pair)

    def _watch_pair(self, pair: Pair) -> None:
        pair.watched = True
        pair.dropped = 0
        pair.drops = _dropping(self, pair, pair.rtp), _dropping(self, pair, pair.rtcp)
        self._idle(pair)
        self._epoll.register(pair.rtp.fileno(), select.EPOLLIN)
        self._epoll.register(pair.rtcp.fileno(), select.EPOLLIN)

    def _idle(self, pair: Pair) -> None:
        """Packets that come to an idle pair are read and dropped, so that none waits there for the next flow. Somebody
        who does not stop is left to the kernel: the buffer fills, and nothing reaches us any more."""
        self.hears[pair.rtp.fileno()], self.hears[pair.rtcp.fileno()] = pair.drops

    def stop_watching(self, pair: Pair) -> None:
        pair.watched = False
        for sock in (pair.rtp, pair.rtcp):
            self.hears.pop(sock.fileno(), None)
            self._epoll.unregister(sock.fileno())

    def watch(self, sock: socket.socket, hear: Hear) -> None:
        self.hears[sock.fileno()] = hear
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def watch_otherwise(self, sock: socket.socket, hear: Hear) -> None:
        self.hears[sock.fileno()] = hear

    def forget(self, sock: socket.socket) -> None:
        self.hears.pop(sock.fileno(), None)
        sock.close()  # which takes it out of epoll as well


def _dropping(relay: Relay, pair: Pair, sock: socket.socket) -> Hear:
    def drop(_now: float) -> None:
        try:
            sock.recv_into(_BUFFER, 1)
        except OSError:
            return
        pair.dropped += 1
        if pair.dropped >= IDLE_LIMIT:
            relay.stop_watching(pair)

    return drop


def _drain(pair: Pair) -> None:
    for sock in (pair.rtp, pair.rtcp):
        for _ in range(100_000):  # a flood must not hold us here
            try:
                sock.recv_into(_BUFFER, 1)
            except OSError:
                break
