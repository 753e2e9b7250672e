"""MSRP sessions in the worker: two TCP connections each, and the messages between them.

A side is heard on a port of its own until somebody there names our session of this side, which nobody can guess, in his
first message (RFC 4975 section 5.4); or we connect to it. What one side says while the other one is not connected, or
is slow, waits in a bounded buffer, and then in the network. When a connection ends, so does the other one: the session
has failed, and both ends must see it.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from errno import EINPROGRESS
from typing import Any

from sbc.dataplane.ports import Place, family_of, reachable
from sbc.dataplane.relay import Relay
from sbc.dataplane.side import MISMATCH_INTERVAL, CommandError
from sbc.msrp import LONGEST_PATH, MessageStream, parse_uri

READ_SIZE = 1 << 16
MOST_WAITING = 1 << 16
"""Octets that wait for a side; while there are more nothing is read from the other one."""
MOST_STRANGERS = 16
"""Connections to a port that have not said whose they are; another one ends the oldest."""
MOST_OF_A_HOST = 2
"""The same for those from one address, so that a flood from there keeps out nobody else."""
BACKLOG = 64
"""Connections that the kernel keeps for us; beyond them a phone would have to try again after a second."""
FIRST_MESSAGE = 10.0
"""Seconds in which they must."""
CONNECTING = 10.0
"""Seconds that a connection of ours may take."""
AGAIN = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts to connect; after them it is left."""
LAST_WORDS = 5.0
"""Seconds for what still waits for a side when the session has failed."""

_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
)
"""A peer that is gone without a word is found out within 90 seconds."""
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Messages:
    """All MSRP sessions of the worker."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._sessions: dict[str, Session] = {}
        self._sides: dict[tuple[Place, str], MessageSide] = {}
        """By port and the session-id that is ours there: a side may go over to another flow (a transfer)."""

    def apply(self, flow_id: str, silence: float, told_a: list[Any], told_b: list[Any]) -> None:
        """`told_a` and `told_b` are what the command says of the sides (`sbc.dataplane.wire`). Raises CommandError, or
        OSError if a port cannot be taken; the other side is served all the same."""
        session = self._sessions.get(flow_id)
        if session is None:
            session = self._sessions[flow_id] = Session(self.relay, flow_id, self._sides)
        session.watch(silence)
        try:
            session.a.set(told_a)
        finally:
            session.b.set(told_b)
        session.a.begin()
        session.b.begin()

    def remove(self, flow_id: str, report: bool = True) -> None:
        """End a session, if there is one. Without `report` it becomes something else."""
        session = self._sessions.pop(flow_id, None)
        if session is None:
            return
        if report:
            self.relay.events.append(["s", flow_id, session.a.report(), session.b.report(), True])
        session.end()

    def close(self) -> None:
        for flow_id in list(self._sessions):
            self.remove(flow_id, report=False)


class Session:
    """Two sides, and for how long they have not been connected."""

    __slots__ = ("_flow_id", "_quiet_since", "_relay", "_silence", "a", "b")

    def __init__(self, relay: Relay, flow_id: str, sides: dict[tuple[Place, str], MessageSide]) -> None:
        self._relay = relay
        self._flow_id = flow_id
        self.a = MessageSide(relay, flow_id, "a", sides)
        self.b = MessageSide(relay, flow_id, "b", sides)
        self.a.other, self.b.other = self.b, self.a
        self._silence = 0.0
        self._quiet_since = 0.0

    def watch(self, silence: float) -> None:
        """Tell when the sides have not been connected with each other for `silence` seconds; 0: never."""
        if silence != self._silence:
            self._silence = silence
            self._quiet_since = self._relay.now
            self._relay.keep_time(self)

    def tick(self, now: float) -> float | None:
        """Looks eight times in the term, as `Relay` does after silence of packets."""
        if self._silence <= 0:
            return None
        if all(each is not None and each.is_open for each in (self.a.connection, self.b.connection)):
            self._quiet_since = now
        elif 0 <= self._quiet_since <= now - self._silence:
            self._relay.events.append(["q", self._flow_id])
            self._quiet_since = -1.0  # told
        return now + self._silence / 8

    def end(self) -> None:
        self._relay.timed.pop(self, None)
        self.a.end()
        self.b.end()
        del self.a.other, self.b.other


class MessageSide:
    """One side of a session: its port, its connection, and what waits for it."""

    __slots__ = (
        "_again_at",
        "_announced_at",
        "_attempts",
        "_deadline",
        "_family",
        "_flow_id",
        "_listener",
        "_name",
        "_refused",
        "_refused_since",
        "_sides",
        "_strangers",
        "_told",
        "connection",
        "connects",
        "local",
        "messages",
        "octets",
        "other",
        "ours",
        "relay",
        "remote",
        "session",
        "source",
        "theirs",
        "waiting",
    )
    other: MessageSide

    def __init__(self, relay: Relay, flow_id: str, name: str, sides: dict[tuple[Place, str], MessageSide]) -> None:
        self.relay = relay
        self._sides = sides
        self._flow_id = flow_id
        self._name = name
        self._told: list[Any] | None = None
        self._family = socket.AF_INET
        self.local: Place = ("", 0)
        self.remote: Place | None = None
        self.ours = self.theirs = self.session = ""
        self.connects = False
        self._listener: socket.socket | None = None
        self._strangers: dict[Connection, float] = {}
        """Connections that came and have said nothing yet, and until when they may; the oldest first."""
        self.connection: Connection | None = None
        self.waiting = bytearray()
        self._attempts = 0
        self._again_at = 0.0
        """When we try to connect again; 0: not."""
        self._deadline = 0.0
        """Until when the connection must be there, or must have taken what waits; 0: no matter."""
        self.source: Place | None = None
        self.messages = self.octets = self._refused = self._refused_since = 0
        self._announced_at = -MISMATCH_INTERVAL

    # -- what signalling says ------------------------------------------------------------------------------------------

    def set(self, told: list[Any]) -> None:
        """Make this side what the command says. A path that is another one ends the connection to the former; the other
        side's stays."""
        if told == self._told:
            return
        (host, port), remote, ours, theirs, connects = told
        uri = parse_uri(str(ours))
        if uri is None or not uri.session or not isinstance(theirs, str) or len(theirs) > LONGEST_PATH:
            raise CommandError("no MSRP session")
        family = family_of(host)
        socket.inet_pton(family, host)  # a name would be looked up
        place = reachable(remote, family)
        known, was = (self.local, self.session, self.connects), (self.theirs, self.remote)
        same = known == ((host, port), uri.session, bool(connects)) and (not self.theirs or was == (theirs, place))
        if not same and self._told is not None:
            self._replace()
        self._told = None
        self._forget()
        self._family = family
        self.local, self.remote, self.ours, self.theirs = (host, int(port)), place, str(ours), theirs
        self.session, self.connects = uri.session, bool(connects)
        before = self._sides.get((self.local, self.session))
        self._sides[self.local, self.session] = self
        if before is not None:
            self._take_over(before)
        if self.connects:
            self._stop_listening()
        elif self._listener is None:
            self._listen()
        self._told = told  # what could not be done is tried again next time

    def _replace(self) -> None:
        """Somebody else is on this side from now on. What was begun for the other side is brought to an end there."""
        if self.connection is not None:
            rest = self.connection.stream.cut()
            self.connection.close()
            self.connection = None
            self.other.send(rest)
        self.waiting.clear()
        self._stop_listening()
        self._attempts, self._again_at, self._deadline = 0, 0.0, 0.0

    def _forget(self) -> None:
        if self._sides.get((self.local, self.session)) is self:
            del self._sides[self.local, self.session]

    def _take_over(self, before: MessageSide) -> None:
        """This side was one of another flow, which is about to be removed: what came of it goes on here, its port and
        its connection. Its former partner says nothing more."""
        if before.other.connection is not None:
            before.send(before.other.connection.stream.cut())
        if (before.theirs, before.connects) != (self.theirs, self.connects):
            before._replace()
            return
        self._listener, before._listener = before._listener, None
        self._strangers, before._strangers = before._strangers, {}
        self.connection, before.connection = before.connection, None
        self.waiting, before.waiting = before.waiting, bytearray()
        self._deadline, self._again_at, self._attempts = before._deadline, before._again_at, before._attempts
        before._deadline = before._again_at = 0.0
        if self._listener is not None:
            self.relay.watch(self._listener, self._accept)
        for each in (*self._strangers, self.connection):
            if each is not None:
                each.side = self
        if self.connection is not None and self.connection.is_open:
            self._latched(self.connection)
        self._keep_time()

    def begin(self) -> None:
        """Both sides are as they should be: have messages go where they should, and connect if that is up to us."""
        for each in (self.connection, *self._strangers):
            if each is not None:
                each.stream.aim(self.other.theirs, self.other.ours)
        self.look()
        if self.connects and self.connection is None and self.theirs:
            self._attempts = 0
            self._connect()

    def _listen(self) -> None:
        listener = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(self.local)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self.relay.watch(listener, self._accept)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self.relay.forget(self._listener)
            self._listener = None
        for stranger in list(self._strangers):
            self.dismiss(stranger)

    def end(self) -> None:
        """The session is over. What waits goes as far as the kernel takes it."""
        self._forget()
        self._stop_listening()
        if self.connection is not None:
            self.connection.flush()
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.waiting.clear()
        self.relay.timed.pop(self, None)

    # -- connections that come -----------------------------------------------------------------------------------------

    def _accept(self, now: float) -> None:
        assert self._listener is not None
        try:
            sock, address = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        of_host = [each for each in self._strangers if each.source[0] == address[0]]
        if len(of_host) >= MOST_OF_A_HOST:
            self.dismiss(of_host[0])
        elif len(self._strangers) >= MOST_STRANGERS:
            self.dismiss(next(iter(self._strangers)))
        connection = Connection(self, sock, address[:2], b"")
        self._strangers[connection] = now + FIRST_MESSAGE
        self._keep_time()

    def dismiss(self, stranger: Connection) -> None:
        """A connection that came is closed, without having belonged to the session."""
        self._strangers.pop(stranger, None)
        stranger.close()

    def greet(self, stranger: Connection) -> bool:
        """A connection that came has named our session: it is this side's from now on, unless there is one already."""
        if self.connection is not None:
            self.refuse(stranger, stranger.stream.refuse(506, "Session In Use"))
            return False
        del self._strangers[stranger]
        self._bind(stranger)
        return True

    def refuse(self, stranger: Connection, answer: bytes) -> None:
        """Close a connection with `answer`, and tell of it, at most once a second."""
        with suppress(OSError):
            if answer:
                stranger.sock.send(answer)
        self.dismiss(stranger)
        self._refused += 1
        self._refused_since += 1
        if self.relay.now - self._announced_at >= MISMATCH_INTERVAL:
            self._announced_at = self.relay.now
            self.relay.events.append(["m", self._flow_id, self._name, stranger.source, self._refused_since])
            self._refused_since = 0

    # -- the connection ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Begin a connection to where the side said that it takes one."""
        self._again_at = 0.0
        if self.remote is None:
            return
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            sock.bind((self.local[0], 0))
            error = sock.connect_ex(self.remote)
            if error not in (0, EINPROGRESS):
                raise OSError(error, "no connection")
        except OSError:
            sock.close()
            self._failed_to_connect()
            return
        opening = os.urandom(8).hex().encode()
        self.connection = Connection(self, sock, self.remote, opening)
        self._deadline = self.relay.now + CONNECTING
        self._keep_time()

    def connected(self, connection: Connection) -> None:
        """Our connection is there. Who opens it says at once whose it is (RFC 4975 section 5.4), with nothing in it and
        no answer wanted."""
        tid = connection.stream.answered.decode()
        self.waiting[:0] = (
            f"MSRP {tid} SEND\r\nTo-Path: {self.theirs}\r\nFrom-Path: {self.ours}\r\n"
            f"Message-ID: {os.urandom(8).hex()}\r\nByte-Range: 1-0/0\r\nFailure-Report: no\r\n-------{tid}$\r\n"
        ).encode()
        self._attempts = 0
        self._bind(connection)

    def _failed_to_connect(self) -> None:
        """Try again later, or give up: then the other end must see that nobody takes what it says."""
        if self._attempts < len(AGAIN):
            self._again_at = self.relay.now + AGAIN[self._attempts]
            self._attempts += 1
            self._keep_time()
        else:
            self.waiting.clear()
            self.other._part()

    def _bind(self, connection: Connection) -> None:
        self.connection = connection
        self._deadline = 0.0
        self._latched(connection)
        connection.flush()
        other = self.other
        if other.connects and other.connection is None and other.theirs:
            other._attempts = 0
            other._connect()

    def _latched(self, connection: Connection) -> None:
        self.source = connection.source
        self.relay.events.append(["l", self._flow_id, self._name, connection.source])

    def send(self, data: bytes) -> None:
        """Octets for this side; they wait if they must."""
        if data:
            self.waiting += data
            if self.connection is not None:
                self.connection.flush()

    def lost(self, connection: Connection) -> None:
        """A connection has ended, or must: the session has failed. What waits for the other side is still sent."""
        connection.close()
        if connection is not self.connection:
            self._strangers.pop(connection, None)
            return
        self.connection = None
        self._deadline = 0.0
        if connection.is_connecting:
            self._failed_to_connect()
            return
        self.waiting.clear()
        if not connection.is_finishing:
            self.other._part()
        self.other.look()

    def look(self) -> None:
        """There may be room on the other side."""
        for each in (self.connection, *self._strangers):
            if each is not None:
                each.watch()

    def _part(self) -> None:
        """The other side is gone: say what waits, and close."""
        if self.connection is not None and not self.connection.is_connecting:
            self._deadline = self.relay.now + LAST_WORDS
            self._keep_time()
            self.connection.finish()

    def _keep_time(self) -> None:
        """There is something new to wait for, maybe sooner than what was."""
        self.relay.keep_time(self)
        self.relay.due = True

    def tick(self, now: float) -> float | None:
        for stranger, until in list(self._strangers.items()):
            if until <= now:
                self.dismiss(stranger)
        connection = self.connection
        if self._deadline and self._deadline <= now and connection is not None:
            self.lost(connection)
        if self._again_at and self._again_at <= now and self.connection is None:
            self._connect()
        times = [at for at in (self._deadline, self._again_at, *self._strangers.values()) if at]
        return min(times, default=None)

    def report(self) -> list[Any]:
        """As of a side of packets (`sbc.dataplane.side`)."""
        return [self.messages, self.octets, 0, 0, 0.0, 0, self._refused, self.source]


class Connection:
    """One TCP connection of a side."""

    __slots__ = ("_mask", "is_connecting", "is_finishing", "side", "sock", "source", "stream")

    def __init__(self, side: MessageSide, sock: socket.socket, source: Place, opening: bytes) -> None:
        """`opening`: transaction id of our first request, where the connection is ours and not there yet."""
        self.side = side
        self.sock = sock
        self.source = source
        self.stream = MessageStream(side.session, opening)
        self.stream.aim(side.other.theirs, side.other.ours)
        self.is_connecting = bool(opening)
        self.is_finishing = False
        for option in _OPTIONS:
            sock.setsockopt(*option)
        self._mask = _OUT if self.is_connecting else _IN
        side.relay.watch(sock, self._ready, self._mask)
        self.watch()

    @property
    def is_bound(self) -> bool:
        return self.side.connection is self

    @property
    def is_open(self) -> bool:
        """It is there, and is to stay."""
        return not (self.is_connecting or self.is_finishing)

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.side.relay.forget(self.sock)

    def watch(self) -> None:
        """Wait for what there is to do: to read, as long as there is room for it; to write, as long as there is
        something."""
        if self.sock.fileno() < 0 or self.is_connecting:
            return
        other = self.side.other
        ends = self.is_finishing or (other.connection is not None and other.connection.is_finishing)
        mask = _IN if not ends and other.theirs and len(other.waiting) < MOST_WAITING else 0
        if self.is_bound and self.side.waiting:
            mask |= _OUT
        if mask != self._mask:
            self._mask = mask
            self.side.relay.watch(self.sock, self._ready, mask)

    def flush(self) -> None:
        """Write what waits, as far as it goes."""
        side = self.side
        if self.is_connecting or not self.is_bound:
            return
        if side.waiting:
            try:
                sent = self.sock.send(side.waiting)
            except BlockingIOError:
                sent = 0
            except OSError:
                side.lost(self)
                return
            del side.waiting[:sent]
        if self.is_finishing and not side.waiting:
            side.lost(self)  # the last words are said
            return
        self.watch()
        side.other.look()

    def finish(self) -> None:
        """Close when everything that waits is written."""
        self.is_finishing = True
        self.flush()

    def _ready(self, _now: float) -> None:
        if self.is_connecting:
            self._connected()
            return
        mask = self._mask
        if self.side.waiting and self.is_bound:
            self.flush()
        if mask & _IN:
            self._read()
        elif not mask and self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # it has broken while we wait
            self.side.lost(self)

    def _connected(self) -> None:
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.side.lost(self)
            return
        try:
            self.sock.getpeername()
        except OSError:  # the event was of another socket with this number, that was closed just now
            return
        self.is_connecting = False
        self.side.connected(self)

    def _read(self) -> None:
        if self.sock.fileno() < 0 or self.is_finishing:
            return
        side, stream = self.side, self.stream
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            side.lost(self)
            return
        before = stream.messages
        out = stream.feed(data)
        if not self.is_bound and stream.messages and not side.greet(self):
            return
        if self.is_bound:
            side.octets += len(data)
            side.messages += stream.messages - before
            side.other.send(out)
            self.watch()
        if stream.fault and self.sock.fileno() >= 0:
            self._fail()

    def _fail(self) -> None:
        """What came is against the protocol, or for no session of ours."""
        side = self.side
        if not self.is_bound:
            side.refuse(self, self.stream.answer)
            return
        if self.stream.answer:
            side.send(self.stream.answer)
        if self.is_bound:
            side.lost(self)
