"""The media of one call: offers and answers of one side in, descriptions for the other side and flows out.

A stream is one m-line; it keeps its place, and while it is enabled one port for each side, for the life of the call.
State is three generations of the same plain tuple: what flows now (`streams`), what the open offer proposes
(`proposed`), and what to go back to if the offer is refused (`before`). Ports that none of them names are given back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sbc.media.facts import Exchange, MediaAddress, MediaError, SideFacts, StreamFacts
from sbc.media.flow import Flow, FlowId, FlowSide
from sbc.media.reading import StreamReading, clock_rate, codec_names, read_streams, rtcp_address
from sbc.media.rewriting import Disguise, OurEnd, host_names, rewrite
from sbc.sdp import (
    MediaDescription,
    Move,
    Negotiation,
    OfferAnswerError,
    SdpError,
    SessionDescription,
    advance,
    parse_sdp,
)
from sbc.sip import Address

if TYPE_CHECKING:
    from sbc.media.media import Media

_OPEN = Disguise(False, frozenset(), "")

_tuple = tuple.__new__
"""`_tuple(StreamSide, (...))` is `StreamSide(...)` in half the time."""

_WATCHED = frozenset({"audio", "video", "image"})
"""Media that are never silent for long while they flow both ways; text (RFC 4103) is, when nobody types."""


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
    generation: int = 0


class Stream(NamedTuple):
    """One m-line. A disabled one has neither side nor kind."""

    media: str
    kind: str
    a: StreamSide | None
    b: StreamSide | None
    clock_rate: int = 8000
    formats: tuple[str, ...] = ()
    encodings: Mapping[str, str] = NO_ENCODINGS


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
    sent_host: str = ""
    family: int = 0
    """4 or 6, as its own SDP used; 0 while unknown."""
    state: Negotiation = Negotiation.STABLE

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


@dataclass(slots=True)
class MediaSession:
    """Offer/answer and ports of one call between sides "a" and "b". Plain data, but for `home`.

    Every method takes `now` (seconds, monotonic). `MediaError` leaves the session as it was.
    """

    call_id: str
    a: Leg
    b: Leg
    home: Media = field(repr=False, compare=False)
    """Where ports come from; whoever picks a session up in another process sets its own."""
    streams: tuple[Stream, ...] = ()
    proposed: tuple[Stream, ...] = ()
    before: tuple[Stream, ...] | None = None
    """None: nothing to go back to."""
    applied: dict[int, Flow] = field(default_factory=dict)
    """By stream index: flows that the plane was told of."""
    offered_mux: tuple[bool, ...] = ()
    closed: bool = False

    # -- offers and answers --------------------------------------------------------------------------------------------

    def offer(self, side: str, sdp: bytes, now: float) -> Exchange:
        """`side` offers `sdp`: gives the offer for the other side. Nothing flows otherwise until the answer.

        Raises `MediaError`: 400 malformed; 488 nothing to relay, or m-lines are missing that were there (RFC 3264
        section 8); 491 or 500 another offer is open; 503 no ports.
        """
        from_leg, to_leg = self._legs(side)
        after = self._moves(from_leg, to_leg, Move.RECEIVE_OFFER, Move.SEND_OFFER)
        description, readings = self._read(sdp)
        if len(readings) < len(self.streams):
            raise MediaError(488, "fewer m-lines than before")
        relayed = [reading for reading in readings if reading.kind]
        if not relayed and any(
            reading.bare and media.port for reading, media in zip(readings, description.media, strict=True)
        ):
            raise MediaError(488, "no stream that can be relayed")
        proposed = self._propose(side, description, readings, now)
        if self.proposed:  # of the last exchange; a preview that nobody revoked stands
            self._give_back(now, (self.before or (), self.proposed), (self.streams, proposed))
        self.before = self.streams
        self.proposed = proposed
        self.offered_mux = tuple([reading.mux for reading in readings])
        from_leg.state, to_leg.state = after
        self._remember_family(from_leg, readings)
        return Exchange(self._render(side, description, readings, proposed, self.offered_mux))

    def answer(self, side: str, sdp: bytes, now: float, final: bool = True) -> Exchange:
        """`side` answers the open offer: gives the answer for the offerer, and the flows.

        `final` is False for an answer in a provisional response: the offer may still be refused (`reject` then goes
        back to what was before), or another answer may come. Of several answers to one offer the last one counts.
        Raises `MediaError`: 400 malformed, or no offer is open; 488 its m-lines are not those of the offer (section 6).
        """
        from_leg, to_leg = self._legs(side)
        after = self._moves(from_leg, to_leg, Move.RECEIVE_ANSWER, Move.SEND_ANSWER)
        description, readings = self._read(sdp)
        if len(readings) != len(self.proposed):
            raise MediaError(488, f"the answer has {len(readings)} m-lines, the offer {len(self.proposed)}")
        streams = tuple(
            [self._agree(side, index, description.media[index], reading) for index, reading in enumerate(readings)]
        )
        from_leg.state, to_leg.state = after
        self._remember_family(from_leg, readings)
        self.streams = streams
        if final:
            before, self.before = self.before, None
            if before or [stream for stream in streams if not stream.kind]:
                self._give_back(now, (before or (), self.proposed), (streams,))
                self.proposed = streams
        body = self._render(side, description, readings, streams, self.offered_mux)
        flows, removed = self._changes()
        return Exchange(body, flows, removed)

    def reject(self, now: float) -> Exchange:
        """The open offer is refused, or its previewed answer came to nothing: all is as before it (RFC 3264 section
        4)."""
        for leg in (self.a, self.b):
            leg.state = advance(leg.state, Move.REJECT)
        if self.before is None:
            return Exchange(b"")
        self._give_back(now, (self.streams, self.proposed), (self.before,))
        self.streams = self.proposed = tuple(
            _revived(stream, self.applied.get(index)) for index, stream in enumerate(self.before)
        )
        self.before = None
        flows, removed = self._changes()
        return Exchange(b"", flows, removed)

    def retarget(self, b: SideFacts, now: float) -> tuple[FlowId, ...]:
        """Side b is somebody else now (failover): offer side a's description again. Gives the flows to remove.

        The ports on side a stay, since it may have been told of them; those of b go back, and our o= for b is a new
        one.
        """
        kept = tuple(stream._replace(b=None) for stream in self.proposed or self.streams)
        self._give_back(now, (self.streams, self.proposed, self.before or ()), (kept,))
        self.streams = self.proposed = kept
        self.before = None
        self.a.state = self.b.state = Negotiation.STABLE
        self.b = Leg(b, self.b.session_id + 1, self.b.cname)
        removed = tuple(flow.id for flow in self.applied.values())
        self.applied.clear()
        return removed

    def close(self, now: float) -> tuple[FlowId, ...]:
        """The call is over: its ports go back. Gives the flows to remove; nothing the second time."""
        if self.closed:
            return ()
        self.closed = True
        self._give_back(now, (self.streams, self.proposed, self.before or ()), ())
        removed = tuple(flow.id for flow in self.applied.values())
        self.streams = self.proposed = ()
        self.before = None
        self.applied.clear()
        self.home.forget(self)
        return removed

    # -- what there is -------------------------------------------------------------------------------------------------

    def flows(self) -> tuple[Flow, ...]:
        """All flows as the plane should have them, to be applied again when it lost them."""
        return tuple(self.applied.values())

    def describe(self) -> tuple[StreamFacts, ...]:
        """What the streams are now, for the record of the call."""
        facts = []
        for index, stream in enumerate(self.streams):
            named = codec_names(stream.formats, stream.encodings) if stream.kind == "rtp" else stream.formats
            a, b = stream.a, stream.b
            facts.append(
                StreamFacts(
                    index, stream.media, stream.kind, named, a.direction if a else "", b.direction if b else "",
                    _text(a and a.remote), _text(b and b.remote), _text(a and a.local), _text(b and b.local),
                )
            )  # fmt: skip
        return tuple(facts)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _legs(self, side: str) -> tuple[Leg, Leg]:
        if self.closed:
            raise MediaError(500, "the call's media are closed")
        return (self.a, self.b) if side == "a" else (self.b, self.a)

    def _moves(self, from_leg: Leg, to_leg: Leg, got: Move, sent: Move) -> tuple[Negotiation, Negotiation]:
        try:
            return advance(from_leg.state, got), advance(to_leg.state, sent)
        except OfferAnswerError as error:
            raise MediaError(error.status, error.reason) from None

    def _read(self, sdp: bytes) -> tuple[SessionDescription, list[StreamReading]]:
        try:
            description = parse_sdp(sdp, self.home.settings.limits)
            return description, read_streams(description)
        except SdpError as error:
            raise MediaError(400, str(error)) from None

    def _remember_family(self, leg: Leg, readings: list[StreamReading]) -> None:
        for reading in readings:
            if reading.kind and reading.host and not reading.host.unspecified:
                leg.family = reading.host.family
                return

    def _propose(
        self, side: str, description: SessionDescription, readings: list[StreamReading], now: float
    ) -> tuple[Stream, ...]:
        """The streams that an offer proposes, ports taken. Raises `MediaError` with none taken."""
        from_leg, to_leg = self._legs(side)
        taken: list[Address] = []
        proposed = []
        try:
            for index, (media, reading) in enumerate(zip(description.media, readings, strict=True)):
                if not reading.kind or reading.host is None:
                    proposed.append(Stream(media.media, "", None, None))
                    continue
                old = self.streams[index] if index < len(self.streams) else None
                old_from, old_to = (None, None) if old is None else (old.a, old.b) if side == "a" else (old.b, old.a)
                family = 0 if reading.host.unspecified and old_from else reading.host.family
                mine = self._side(from_leg, old_from, family, taken, now)
                theirs = self._side(to_leg, old_to, 0, taken, now)
                mine = _heard(mine, reading, reading.mux, old_from)
                pair = (mine, theirs) if side == "a" else (theirs, mine)
                proposed.append(Stream(media.media, reading.kind, *pair))
        except MediaError:
            for port in taken:
                self.home.pool.give_back(port, now)
            raise
        return tuple(proposed)

    def _side(self, leg: Leg, old: StreamSide | None, family: int, taken: list[Address], now: float) -> StreamSide:
        """A stream's side with its port: the one it has, unless the peer went over to the other family."""
        if old is not None and (not family or old.family == leg.choose_family(family)):
            return old
        family = leg.choose_family(family)
        ours = leg.address(family)
        port = self.home.pool.take(ours.bind, now) if ours else None
        if port is None:
            raise MediaError(503, "no free media port")
        taken.append(port)
        return _tuple(StreamSide, (port, family, None, None, False, False, "", old.generation if old else 0))

    def _agree(self, side: str, index: int, media: MediaDescription, reading: StreamReading) -> Stream:
        """What offer and answer make of stream `index`; `side` is the answerer."""
        offer = self.proposed[index]
        if not reading.kind or reading.kind != offer.kind or offer.a is None or offer.b is None:
            return Stream(offer.media, "", None, None)
        mux = reading.mux and self.offered_mux[index]
        a, b = offer.a, offer.b
        now = self.streams[index] if index < len(self.streams) else None
        if side == "a":
            a = _heard(a, reading, mux, now.a if now else None)
        else:
            b = _heard(b, reading, mux, now.b if now else None)
        formats = tuple(media.formats)
        encodings = reading.section.encodings
        rate = clock_rate(formats[0], encodings) if offer.kind == "rtp" and formats else 8000
        return Stream(offer.media, offer.kind, a, b, rate, formats, encodings)

    def _render(
        self,
        side: str,
        description: SessionDescription,
        readings: list[StreamReading],
        streams: Iterable[Stream],
        mux: tuple[bool, ...],
    ) -> bytes:
        """`side`'s description, for the other side."""
        from_leg, to_leg = self._legs(side)
        ends = self._ends(to_leg, [stream.b if side == "a" else stream.a for stream in streams], mux)
        default = next((end for end in ends if end.port), ends[0] if ends else self._nowhere(to_leg))
        disguise = _OPEN
        if from_leg.facts.hidden:
            disguise = Disguise(True, host_names(description, readings), to_leg.cname)
        rest = rewrite(description, readings, ends, default, disguise)
        if rest != to_leg.sent or default.host != to_leg.sent_host:
            to_leg.version += 1
            to_leg.sent = rest
            to_leg.sent_host = default.host
        origin = f"v=0\r\no=- {to_leg.session_id} {to_leg.version} IN IP{default.family} {default.host}\r\n"
        return (origin + rest).encode("utf-8", "surrogateescape")

    def _ends(self, leg: Leg, sides: list[StreamSide | None], mux: tuple[bool, ...]) -> list[OurEnd]:
        """Where `leg` finds us for each stream; for those that are disabled, at port 0 of the address of the others."""
        ends = []
        nowhere: OurEnd | None = None
        for index, side in enumerate(sides):
            if side is None:
                if nowhere is None:
                    other = next((each for each in sides if each is not None), None)
                    nowhere = self._nowhere(leg, 0 if other is None else other.family)
                ends.append(nowhere)
                continue
            ours = leg.address(side.family)
            assert ours is not None
            ends.append(_tuple(OurEnd, (ours.advertised, side.family, side.local.port, mux[index])))
        return ends

    def _nowhere(self, leg: Leg, family: int = 0) -> OurEnd:
        family = family or leg.choose_family(0)
        ours = leg.address(family)
        assert ours is not None
        return OurEnd(ours.advertised, family, 0, False)

    def _changes(self) -> tuple[tuple[Flow, ...], tuple[FlowId, ...]]:
        """Flows that differ from what the plane was told, and those that are no more."""
        changed = []
        removed = []
        for index, stream in enumerate(self.streams):
            told = self.applied.get(index)
            if stream.a is not None and stream.b is not None:
                flow = self._flow(index, stream, stream.a, stream.b)
                if flow != told:
                    self.applied[index] = flow
                    changed.append(flow)
            elif told is not None:
                del self.applied[index]
                removed.append(told.id)
        if len(self.applied) > len(self.streams):
            for index in [index for index in self.applied if index >= len(self.streams)]:
                removed.append(self.applied.pop(index).id)
        return tuple(changed), tuple(removed)

    def _flow(self, index: int, stream: Stream, a: StreamSide, b: StreamSide) -> Flow:
        silence = self.home.settings.silence if stream.media in _WATCHED and a.flowing and b.flowing else 0.0
        flow_id = f"{self.call_id}/{index}"
        side_a, side_b = _flow_side(self.a, a, self.a.cname), _flow_side(self.b, b, self.b.cname)
        return Flow(flow_id, stream.kind, stream.clock_rate, side_a, side_b, silence)

    def _give_back(self, now: float, old: Iterable[tuple[Stream, ...]], kept: Collection[tuple[Stream, ...]]) -> None:
        """Give the ports back that are in `old` but not in `kept`."""
        gone = _ports(old)
        if kept:
            gone -= _ports(kept)
        for port in gone:
            self.home.pool.give_back(port, now)


def _ports(generations: Iterable[tuple[Stream, ...]]) -> set[Address]:
    ports = set()
    for streams in generations:
        for stream in streams:
            if stream.a is not None:
                ports.add(stream.a.local)
            if stream.b is not None:
                ports.add(stream.b.local)
    return ports


def _heard(side: StreamSide, reading: StreamReading, mux: bool, now: StreamSide | None) -> StreamSide:
    """`side` with what its SDP said, where `now` is what flows. An address of the other family cannot be reached from
    our port: it is learned from its packets."""
    host = reading.host
    remote = reading.remote if host is not None and host.family == side.family else None
    rtcp = None if remote is None else remote if mux else rtcp_address(reading)
    held = host is not None and host.unspecified
    flowing = reading.direction == "sendrecv" and not reading.section.starved and not held
    generation = side.generation if now is None else now.generation
    if not (now and generation and now.remote == remote and now.remote_rtcp == rtcp and now.local == side.local):
        generation += 1
    heard = (side.local, side.family, remote, rtcp, mux, flowing, reading.direction, generation)
    return _tuple(StreamSide, heard)


def _revived(stream: Stream, told: Flow | None) -> Stream:
    """`stream` as it was before a preview, with generations that follow what the plane was told since."""
    if told is None or stream.a is None or stream.b is None:
        return stream
    sides = []
    for side, flow_side in ((stream.a, told.a), (stream.b, told.b)):
        changed = side.generation != flow_side.generation
        sides.append(side._replace(generation=flow_side.generation + 1) if changed else side)
    return stream._replace(a=sides[0], b=sides[1])


def _flow_side(leg: Leg, side: StreamSide, cname: str) -> FlowSide:
    local, _, remote, remote_rtcp, mux, _, _, generation = side
    facts = leg.facts
    return _tuple(FlowSide, (local, remote, remote_rtcp, mux, facts.signalling, facts.latching, generation, cname))


def _text(address: Address | None) -> str:
    return "" if address is None else f"{address.host}:{address.port}"
