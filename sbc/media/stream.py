"""What a session keeps of its streams and of its two legs: plain data, and how descriptions change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sbc.media.facts import Dtmf, MediaAddress, MediaError, SideFacts
from sbc.media.formats import Formats, have_common
from sbc.media.messages import MessageEnd, heard_end
from sbc.media.reading import StreamReading, rtcp_address
from sbc.sdp import Negotiation
from sbc.sip import Address

_tuple = tuple.__new__
"""`_tuple(StreamSide, (...))` is `StreamSide(...)` in half the time."""


SETTLED = Negotiation.STABLE
OPEN = (Negotiation.OFFER_RECEIVED, Negotiation.OFFER_SENT)
"""An offer of one of the two is not answered."""

NO_ENCODINGS: Mapping[str, str] = {}


class StreamSide(NamedTuple):
    """One side of a stream."""

    local: Address
    """Our bound port."""
    family: int
    remote: Address | None = None
    remote_rtcp: Address | None = None
    mux: bool = False
    flowing: bool = False
    """It wants media both ways: sendrecv, an address, bandwidth."""
    direction: str = ""
    """As it said last."""
    generation: int = 0
    formats: Formats = ()
    """As it said them, without those that must not pass; for anything but RTP empty."""
    willing: str = ""
    """The direction that it would take by itself: an answer says less where the offer allowed less."""
    told: Formats = ()
    """What we told it of the other side."""
    told_direction: str = ""
    messages: MessageEnd | None = None
    """Of an MSRP session."""


class Stream(NamedTuple):
    """One m-line. A disabled one has neither side nor kind; one that only one leg has yet, or still, one side."""

    media: str
    kind: str
    a: StreamSide | None
    b: StreamSide | None
    clock_rate: int = 8000
    formats: tuple[str, ...] = ()
    """As the last answer lists them."""
    encodings: Mapping[str, str] = NO_ENCODINGS
    apart: bool = False
    """The two sides do not speak the same yet (after a transfer): nothing flows until the next exchange."""


class Words(NamedTuple):
    """What a leg's parties said to each other in the last exchange that succeeded."""

    said: bytes = b""
    """By the element, as it came."""
    told: str = ""
    """To it, but v= and o=."""
    where: str = ""
    """What our o= ended with: "IN IP4 192.0.2.1"."""
    lines: int = 0
    """Number of m-lines; it never shrinks (RFC 3264 section 8)."""


NOTHING = Words()


@dataclass(slots=True)
class Leg:
    """What a session knows of one of its sides besides streams."""

    facts: SideFacts
    session_id: int
    """Of our o= lines towards this side."""
    cname: str
    """Stands for the RTCP CNAME of the other side, where that is hidden; else ""."""
    version: int = 0
    sent: str = ""
    """The last description sent to this side but its v= and o= lines."""
    where: str = ""
    sent_lines: int = 0
    heard: bytes = b""
    """The last description that came from it."""
    agreed: Words = NOTHING
    before: Words = NOTHING
    """What was agreed before the open exchange."""
    family: int = 0
    """4 or 6, as its own SDP used; 0 while unknown."""
    state: Negotiation = Negotiation.STABLE
    asked_again: bool = False
    """It was offered what it has already (`MediaSession.standing`); an answer may come."""
    dtmf: Dtmf = Dtmf.PASS
    signals: bool = False
    """Digits can reach it otherwise than as telephone-events (SIP INFO)."""
    moves: int = 0
    """How often its signalling has gone over to another place; as in `FlowSide`."""

    def address(self, family: int) -> MediaAddress | None:
        """Our address of that family on this side."""
        return self.facts.v4 if family == 4 else self.facts.v6

    def choose_family(self, wanted: int) -> int:
        """`wanted` if we have it here, else what we have; 0 wants what the side used before, or prefers."""
        wanted = wanted or self.family or (6 if self.facts.prefer_v6 else 4)
        if self.address(wanted) is not None:
            return wanted
        other = 10 - wanted
        if self.address(other) is None:
            raise MediaError(488, "no media address on this side")
        return other

    def send(self, text: str, where: str, lines: int) -> bytes:
        """The description `text` (without v= and o=) as it goes to this side. RFC 3264 section 8: the version grows by
        one when, and only when, it differs from the last one."""
        if text != self.sent or where != self.where:
            self.version += 1
            self.sent = text
            self.where = where
        self.sent_lines = lines
        origin = f"v=0\r\no=- {self.session_id} {self.version} {where}\r\n"
        return (origin + text).encode("utf-8", "surrogateescape")

    def agree(self) -> None:
        """What was said and sent last holds."""
        self.agreed = _tuple(Words, (self.heard, self.sent, self.where, self.sent_lines))


def heard(
    side: StreamSide, reading: StreamReading, mux: bool, now: StreamSide | None, formats: Formats, willing: str
) -> StreamSide:
    """`side` with what its SDP said, where `now` is what flows. An address of the other family cannot be reached from
    our port: it is learned from its packets."""
    host = reading.host
    remote = reading.remote if host is not None and host.family == side.family else None
    rtcp = None if remote is None else remote if mux else rtcp_address(reading)
    held = host is not None and host.unspecified
    direction = reading.direction
    flowing = direction == "sendrecv" and not reading.section.starved and not held
    local = side[0]
    generation = side[7] if now is None else now[7]
    if not (now and generation and now[2] == remote and now[3] == rtcp and now[0] == local):
        generation += 1
    values = (local, side[1], remote, rtcp, mux, flowing, direction, generation, formats, willing, *side[10:])
    return _tuple(StreamSide, values)


def heard_path(side: StreamSide, reading: StreamReading, offers: bool) -> StreamSide:
    """`side` of an MSRP session with what its SDP said of its path, in an offer or an answer."""
    if side.messages is None or reading.messages is None:
        return side
    return side._replace(messages=heard_end(side.messages, reading.messages, offers))


def informed(side: StreamSide, told: Formats, direction: str) -> StreamSide:
    """`side` after we told it of the other one."""
    return _tuple(StreamSide, (*side[:10], told, direction, side[12]))


def ports_of(generations: Iterable[tuple[Stream, ...]]) -> set[Address]:
    ports = set()
    for streams in generations:
        for stream in streams:
            if stream.a is not None:
                ports.add(stream.a.local)
            if stream.b is not None:
                ports.add(stream.b.local)
    return ports


def renewed(streams: tuple[Stream, ...]) -> tuple[Stream, ...]:
    """The latches of side b are to be set anew, where they were set."""
    return tuple(
        s._replace(b=s.b._replace(generation=s.b.generation + 1)) if s.b is not None and s.b.generation else s
        for s in streams
    )


def only_a(proposed: Stream, streams: tuple[Stream, ...], index: int) -> Stream:
    """A stream that has lost its side b; of side a, what it was told last is known if its port is still the same."""
    a = proposed.a
    known = streams[index].a if index < len(streams) else None
    if a is not None and known is not None and known.local == a.local:
        a = known
    return proposed._replace(a=a, b=None)


# -- directions --------------------------------------------------------------------------------------------------------

_WAYS = {"sendrecv": (True, True), "sendonly": (True, False), "recvonly": (False, True), "inactive": (False, False)}
_DIRECTIONS = {ways: direction for direction, ways in _WAYS.items()}


def willing_in_answer(told: str, answered: str) -> str:
    """What an answerer would say to an offer that allows everything, when it answers `answered` to `told` (RFC 3264
    section 6.1: an answer can only restrict further)."""
    if told == "sendrecv" or told not in _WAYS or answered not in _WAYS:
        return answered
    other_sends, other_receives = _WAYS[told]
    sends, receives = _WAYS[answered]
    return _DIRECTIONS[sends or not other_receives, receives or not other_sends]


def understand(one: StreamSide, other: StreamSide) -> bool:
    """Whether some media can pass between two sides of RTP streams."""
    return have_common(one.formats, other.formats)


def fits(side: StreamSide | None, other: StreamSide | None, ends_events: bool = False) -> bool:
    """Whether what `side` was told of `other` is still true enough: it sends nothing that `other` cannot read, and the
    directions are those that it knows of. `ends_events`: its telephone-events end here, whatever the other knows."""
    if side is None or other is None:
        return side is other
    known = {f.name for f in other.formats}
    said = {f.name for f in side.formats}
    if any(f.name in said and f.name not in known and f.matters(ends_events) for f in side.told):
        return False
    if side.formats and not have_common(side.formats, other.formats):
        return False
    if side.told_direction not in _WAYS or other.willing not in _WAYS or side.willing not in _WAYS:
        return False
    sends, receives = _WAYS[side.willing]
    (told_sends, told_receives), (other_sends, other_receives) = _WAYS[side.told_direction], _WAYS[other.willing]
    return not (receives and told_sends != other_sends) and not (sends and told_receives != other_receives)
