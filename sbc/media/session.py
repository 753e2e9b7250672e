"""The media of one call: offers and answers of one side in, descriptions for the other side and flows out.

A stream is one m-line; it keeps its place, and while it is enabled one port for each side, for the life of the call.
State is three generations of the same plain tuple: what flows now (`streams`), what the open offer proposes
(`proposed`), and what to go back to if the offer is refused (`before`). Ports that none of them names are given back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sbc.media import bridging
from sbc.media.adapting import Crossing, adapt, cut, direct, pad
from sbc.media.facts import Dtmf, Exchange, MediaError, SideFacts, StreamFacts
from sbc.media.flow import Flow, FlowId
from sbc.media.flows import begin, follow
from sbc.media.formats import Formats, have_common, named_formats, permitted, recast
from sbc.media.messages import told_lines
from sbc.media.reading import StreamReading, codec_names, read_streams
from sbc.media.rewriting import Disguise, OurEnd, host_names, rewrite
from sbc.media.stream import (
    OPEN,
    Leg,
    Stream,
    StreamSide,
    fits,
    heard,
    heard_path,
    informed,
    only_a,
    ports_of,
    renewed,
    willing_in_answer,
)
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


@dataclass(slots=True)
class MediaSession:
    """Offer/answer and ports of one call between sides "a" and "b". Plain data, but for `home`.

    Mostly what one side says goes to the other. Besides, each side can be asked on our own account: `standing` (the
    same again), `early_offer` (out of nothing) and `offer_of` (what the other side said last); the answer to such an
    offer comes to `answer` as well, and gives no description for anybody.

    `now` is seconds, monotonic. `MediaError` leaves the session as it was.
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
    offered_lines: int = 0
    """m-lines that the offerer's description has; its answer gets as many."""
    own: bool = False
    """The open offer is ours."""
    closed: bool = False

    # -- offers and answers --------------------------------------------------------------------------------------------

    def offer(self, side: str, sdp: bytes, now: float) -> Exchange:
        """`side` offers `sdp`: gives the offer for the other side. Nothing flows otherwise until the answer; but flows
        of MSRP sessions are to be applied before the offer goes out, since who answers may connect at once.

        Raises `MediaError`: 400 malformed; 488 nothing to relay, or m-lines are missing that were there (RFC 3264
        section 8); 491 or 500 another offer is open; 503 no ports.
        """
        from_leg, to_leg = self._legs(side)
        after = self._moves(from_leg, to_leg, Move.RECEIVE_OFFER, Move.SEND_OFFER)
        description, readings = self._read(sdp)
        if len(readings) < from_leg.agreed.lines:
            raise MediaError(488, "fewer m-lines than before")
        lines = len(readings)
        crossing = adapt(description, readings, from_leg, to_leg, side, self.streams, False)
        relayed = [reading for reading in readings if reading.kind]
        if not relayed and any(
            reading.bare and media.port for reading, media in zip(readings, description.media, strict=True)
        ):
            raise MediaError(488, "no stream that can be relayed")
        if lines < to_leg.agreed.lines:
            pad(description, readings, self.streams, to_leg.agreed.lines)
        proposed = self._propose(side, description, readings, crossing, now)
        self._begin(proposed, [reading.mux for reading in readings], lines, False, now)
        from_leg.heard = sdp
        from_leg.state, to_leg.state = after
        self._remember_family(from_leg, readings)
        return Exchange(self._render(side, description, readings, proposed), begin(self))

    def answer(self, side: str, sdp: bytes, now: float, final: bool = True) -> Exchange:
        """`side` answers the open offer: gives the answer for the offerer, and the flows. Where the offer was ours,
        there is no answer to give; whether the other side must be told something is for `offer_of` to say.

        `final` is False for an answer in a provisional response: the offer may still be refused (`reject` then goes
        back to what was before), or another answer may come. Of several answers to one offer the last one counts.
        Raises `MediaError`: 400 malformed, or no offer is open; 488 its m-lines are not those of the offer (section 6).
        """
        from_leg, to_leg = self._legs(side)
        own = self.own or from_leg.asked_again
        if from_leg.asked_again:  # nothing is negotiated: whoever offered last, it is settled
            after = from_leg.state, to_leg.state
        elif own:
            after = self._move(from_leg, Move.RECEIVE_ANSWER), to_leg.state
        else:
            after = self._moves(from_leg, to_leg, Move.RECEIVE_ANSWER, Move.SEND_ANSWER)
        description, readings = self._read(sdp)
        if len(readings) != from_leg.sent_lines:
            raise MediaError(488, f"the answer has {len(readings)} m-lines, the offer {from_leg.sent_lines}")
        offered = self.streams if from_leg.asked_again else self.proposed
        crossing = adapt(description, readings, from_leg, to_leg, side, offered, True)
        from_leg.state, to_leg.state = after
        from_leg.heard = sdp
        from_leg.agree()
        self._remember_family(from_leg, readings)
        if own:
            self._hear(side, offered, description, readings, crossing, final, now)
            return Exchange(b"", *follow(self))
        self.streams = tuple(
            [
                self._agree(side, index, description.media[index], reading, crossing[index])
                for index, reading in enumerate(readings)
            ]
        )
        if final:
            self._settle(now)
        streams = self.streams
        if len(readings) > self.offered_lines:
            del description.media[self.offered_lines :], readings[self.offered_lines :]
            streams = streams[: self.offered_lines]
        body = self._render(side, description, readings, streams)
        to_leg.agree()
        return Exchange(body, *follow(self))

    def reject(self, now: float) -> Exchange:
        """The open offer is refused, or its previewed answer came to nothing: all is as before it (RFC 3264 section
        4)."""
        legs = self.a, self.b
        if self.a.asked_again or self.b.asked_again:
            self.a.asked_again = self.b.asked_again = False
            return Exchange(b"")
        for leg in legs:
            leg.state = advance(leg.state, Move.REJECT)
        self.own = False
        if self.before is None:
            return Exchange(b"")
        self._give_back(now, (self.streams, self.proposed), (self.before,))
        self.streams = self.proposed = tuple(
            _revived(stream, self.applied.get(index)) for index, stream in enumerate(self.before)
        )
        self.before = None
        for leg in legs:
            leg.agreed = leg.before
        return Exchange(b"", *follow(self))

    def retarget(self, b: SideFacts, now: float) -> tuple[FlowId, ...]:
        """Side b is somebody else now (failover): offer side a's description again. Gives the flows to remove.

        The ports on side a stay, since it may have been told of them; those of b go back, and our o= for b is a new
        one.
        """
        kept = tuple(only_a(stream, self.streams, index) for index, stream in enumerate(self.proposed or self.streams))
        self._give_back(now, (self.streams, self.proposed, self.before or ()), (kept,))
        self.streams = self.proposed = kept
        self.before = None
        self.own = False
        self.a.state, self.a.asked_again = Negotiation.STABLE, False
        self.b = Leg(b, self.b.session_id + 1, self.b.cname, dtmf=self.b.dtmf)
        removed = tuple(flow.id for flow in self.applied.values())
        self.applied.clear()
        return removed

    def now_facing(self, b: SideFacts) -> tuple[Flow, ...]:
        """Of several elements that were sent the same offer, all in one zone, the one that speaks now is `b`: no port
        changes, but who may send to it. Gives the flows to apply again."""
        known, self.b.facts = self.b.facts, b
        if known == b:
            return ()
        self.a.cname = self.home.cname(b, self.a.cname)
        if (known.signalling, known.latching) != (b.signalling, b.latching):
            self.streams, self.proposed = renewed(self.streams), renewed(self.proposed)
        return follow(self)[0]

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

    # -- offers of our own ---------------------------------------------------------------------------------------------

    def standing(self, side: str) -> bytes:
        """The description that `side` has of the other one, to be offered again, or to answer an `unchanged` one with;
        its version is the same, unless an offer that was refused came between. b"" if it has none yet."""
        leg, _ = self._legs(side)
        words = leg.agreed
        if not words.told:
            return b""
        leg.asked_again = True
        return leg.send(words.told, words.where, words.lines)

    def unchanged(self, side: str, sdp: bytes) -> bool:
        """Whether `side` says in `sdp` what it said last. RFC 3264 section 8 has the version in o= tell; not everybody
        counts it, so the rest is compared."""
        said = self._legs(side)[0].agreed.said
        return bool(said) and (sdp == said or _without_origin(sdp) == _without_origin(said))

    def early_offer(self, side: str, now: float) -> bytes:
        """An offer of audio to `side` by its profile, on a port of ours, where the other side has made none (RFC 3261
        section 13.2.1). When it is answered, `offer_of(side)` is the offer for the other one.

        Raises `MediaError`: 488 the profiles leave no format; 491 or 500 another offer is open; 503 no ports.
        """
        leg, other = self._legs(side)
        after = self._move(leg, Move.SEND_OFFER)
        profile = leg.facts.profile
        told = permitted("audio", named_formats(profile.offer), profile, other.facts.profile)
        if not told:
            raise MediaError(488, "no format is left to be offered")
        format_list, body = recast("", told, told, (), "sendrecv")
        media = MediaDescription("", "audio", 9, 1, "RTP/AVP", format_list, body)
        description = SessionDescription("v=0", "", "s=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0", [media])
        readings = read_streams(description)
        mine = self._side(leg, None, 0, [], now, told, "sendrecv")
        pair = (mine, None) if side == "a" else (None, mine)
        proposed = (Stream("audio", "rtp", *pair),)
        self._begin(proposed, [False], 1, True, now)
        leg.state = after
        return self._render("b" if side == "a" else "a", description, readings, proposed)

    def offer_of(self, side: str, now: float) -> bytes:
        """What `side` said last, as an offer for the other one; b"" if it said nothing, or if what the other one was
        told still fits. Ports that the other one does not have yet are taken.

        Raises `MediaError`: 491 or 500 another offer is open; 503 no ports.
        """
        from_leg, to_leg = self._legs(side)
        pairs = self._pairs(side, self.streams)
        ends = to_leg.dtmf is Dtmf.END or from_leg.signals
        if not from_leg.agreed.said or (to_leg.agreed.told and all(fits(other, mine, ends) for mine, other in pairs)):
            return b""
        if from_leg.state in OPEN:
            raise MediaError(491, "an offer of the other side is open")
        after = self._move(to_leg, Move.SEND_OFFER)
        description, readings = self._read(from_leg.agreed.said)
        lines = len(readings)
        direct(description, readings, [mine for mine, _ in pairs])
        crossing = adapt(description, readings, from_leg, to_leg, side, self.streams, False)
        cut(description, readings, to_leg.agreed.lines)
        pad(description, readings, self.streams, to_leg.agreed.lines)
        proposed = self._propose(side, description, readings, crossing, now, own=True)
        theirs = [other for _, other in pairs] + [None] * len(readings)
        mux = [reading.mux or bool(other and other.mux) for reading, other in zip(readings, theirs, strict=False)]
        self._begin(proposed + self.streams[len(proposed) :], mux, lines, True, now)
        to_leg.state = after
        return self._render(side, description, readings, proposed)

    def bridge(self, side: str, other: MediaSession, its: str, now: float) -> Exchange:
        """`side` is replaced by side `its` of `other`, with its ports and all that was agreed with it; `other` is over,
        and the two legs that are left behind have no media any more. Flows go on under this session's ids, where the
        two speak the same already; else as of the exchange after which they do (`offer_of` either way).

        Raises `MediaError` 491 while an offer of one of the two that meet is open (and nothing has happened then).
        """
        return bridging.bridge(self, side, other, its, now)

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

    def _pairs(self, side: str, streams: tuple[Stream, ...]) -> list[tuple[StreamSide | None, StreamSide | None]]:
        return [(s.a, s.b) for s in streams] if side == "a" else [(s.b, s.a) for s in streams]

    def _move(self, leg: Leg, move: Move) -> Negotiation:
        try:
            return advance(leg.state, move)
        except OfferAnswerError as error:
            raise MediaError(error.status, error.reason) from None

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

    def _begin(self, proposed: tuple[Stream, ...], mux: list[bool], lines: int, own: bool, now: float) -> None:
        """An offer is open that proposes these streams."""
        if self.proposed or self.before:  # of the last exchange; a preview that nobody revoked stands
            self._give_back(now, (self.before or (), self.proposed), (self.streams, proposed))
        self.before = self.streams
        self.proposed = proposed
        self.offered_mux = tuple(mux)
        self.offered_lines = lines
        self.own = own
        a, b = self.a, self.b
        if own:  # the last exchange is over on both legs: nobody answers it again
            for leg in (a, b):
                leg.state = leg.state if leg.state in OPEN else Negotiation.STABLE
        a.before, b.before = a.agreed, b.agreed
        a.asked_again = b.asked_again = False

    def _settle(self, now: float) -> None:
        """The answer is final: nothing to go back to, and what it refused is free."""
        before, self.before = self.before, None
        if before or self.own or [stream for stream in self.streams if not stream.kind]:
            self._give_back(now, (before or (), self.proposed), (self.streams,))
            self.proposed = self.streams

    def _propose(
        self,
        side: str,
        description: SessionDescription,
        readings: list[StreamReading],
        crossing: Sequence[Crossing],
        now: float,
        own: bool = False,
    ) -> tuple[Stream, ...]:
        """The streams that `side`'s description proposes, ports taken. With `own` it has said it before, and nothing of
        it is news. Raises `MediaError` with none taken."""
        from_leg, to_leg = self._legs(side)
        taken: list[Address] = []
        proposed = []
        try:
            for index, (media, reading) in enumerate(zip(description.media, readings, strict=True)):
                if not reading.kind or reading.host is None:
                    proposed.append(Stream(media.media, "", None, None))
                    continue
                said, told = crossing[index]
                old = self.streams[index] if index < len(self.streams) else None
                old_from, old_to = (None, None) if old is None else (old.a, old.b) if side == "a" else (old.b, old.a)
                if own and old_from is not None:
                    mine = old_from
                else:
                    family = 0 if reading.host.unspecified and old_from else reading.host.family
                    mine = self._side(from_leg, old_from, family, taken, now)
                    mine = heard(mine, reading, reading.mux, old_from, said, reading.direction)
                    mine = self._with_messages(mine, reading, True)
                theirs = self._side(to_leg, old_to, 0, taken, now, told, reading.direction)
                if theirs is old_to:
                    theirs = informed(theirs, told, reading.direction)
                if reading.kind == "msrp" and theirs.messages is None:
                    theirs = theirs._replace(messages=self.home.message_end())
                pair = (mine, theirs) if side == "a" else (theirs, mine)
                proposed.append(Stream(media.media, reading.kind, *pair))
        except MediaError:
            for port in taken:
                self.home.pool.give_back(port, now)
            raise
        return tuple(proposed)

    def _with_messages(self, side: StreamSide, reading: StreamReading, offers: bool) -> StreamSide:
        """`side` with what it said of its MSRP session, if that is what the stream is."""
        if reading.messages is None:
            return side
        if side.messages is None:
            side = side._replace(messages=self.home.message_end())
        return heard_path(side, reading, offers)

    def _side(
        self,
        leg: Leg,
        old: StreamSide | None,
        family: int,
        taken: list[Address],
        now: float,
        told: Formats = (),
        direction: str = "",
    ) -> StreamSide:
        """A stream's side with its port: the one it has, unless the peer went over to the other family."""
        if old is not None and (not family or old.family == leg.choose_family(family)):
            return old
        family = leg.choose_family(family)
        ours = leg.address(family)
        port = self.home.pool.take(ours.bind, now) if ours else None
        if port is None:
            raise MediaError(503, "no free media port")
        taken.append(port)
        if old is not None:
            return informed(old._replace(local=port, family=family, remote=None, remote_rtcp=None), told, direction)
        return _tuple(StreamSide, (port, family, None, None, False, False, "", 0, (), "", told, direction, None))

    def _agree(
        self, side: str, index: int, media: MediaDescription, reading: StreamReading, crossing: Crossing
    ) -> Stream:
        """What offer and answer make of stream `index`; `side` is the answerer."""
        offer = self.proposed[index]
        if not reading.kind or reading.kind != offer.kind or offer.a is None or offer.b is None:
            return Stream(offer.media, "", None, None)
        mux = reading.mux and self.offered_mux[index]
        a, b = offer.a, offer.b
        now = self.streams[index] if index < len(self.streams) else None
        said, told = crossing
        direction = reading.direction
        if side == "a":
            a = heard(a, reading, mux, now.a if now else None, said, willing_in_answer(a.told_direction, direction))
            a = self._with_messages(a, reading, False)
            b = informed(b, told, direction)
        else:
            b = heard(b, reading, mux, now.b if now else None, said, willing_in_answer(b.told_direction, direction))
            b = self._with_messages(b, reading, False)
            a = informed(a, told, direction)
        return _named(offer.media, offer.kind, a, b, media, reading, said)

    def _hear(
        self,
        side: str,
        offered: tuple[Stream, ...],
        description: SessionDescription,
        readings: list[StreamReading],
        crossing: Sequence[Crossing],
        final: bool,
        now: float,
    ) -> None:
        """`side` answers an offer of ours. The other side keeps what it has: it is told later."""
        again = self._legs(side)[0].asked_again
        streams = []
        for index, (stream, (mine, theirs)) in enumerate(zip(offered, self._pairs(side, offered), strict=True)):
            if index >= len(readings):
                streams.append(stream)
                continue
            reading, (said, _) = readings[index], crossing[index]
            if mine is None or not reading.kind or reading.kind != stream.kind:
                pair = (None, theirs) if side == "a" else (theirs, None)
                streams.append(
                    stream._replace(a=pair[0], b=pair[1]) if theirs else Stream(stream.media, "", None, None)
                )
                continue
            flowing = self.streams[index] if index < len(self.streams) else None
            known = None if flowing is None else flowing.a if side == "a" else flowing.b
            mux = reading.mux and (mine.mux if again else self.offered_mux[index])
            willing = willing_in_answer(mine.told_direction, reading.direction)
            mine = self._with_messages(heard(mine, reading, mux, known, said, willing), reading, False)
            a, b = (mine, theirs) if side == "a" else (theirs, mine)
            named = _named(stream.media, stream.kind, a, b, description.media[index], reading, said)
            apart = stream.apart and (again or not (theirs and have_common(said, theirs.formats)))
            streams.append(named._replace(apart=apart) if apart else named)
        self.streams = tuple(streams)
        if final:
            self._settle(now)

    def _render(
        self,
        side: str,
        description: SessionDescription,
        readings: list[StreamReading],
        streams: Iterable[Stream],
    ) -> bytes:
        """`side`'s description, for the other side."""
        from_leg, to_leg = self._legs(side)
        streams = tuple(streams)
        ends = self._ends(to_leg, streams, [stream.b if side == "a" else stream.a for stream in streams])
        default = next((end for end in ends if end.port), ends[0] if ends else self._nowhere(to_leg))
        disguise = _OPEN
        if from_leg.facts.hidden:
            disguise = Disguise(True, host_names(description, readings), to_leg.cname)
        text = rewrite(description, readings, ends, default, disguise)
        return to_leg.send(text, f"IN IP{default.family} {default.host}", len(readings))

    def _ends(self, leg: Leg, streams: Sequence[Stream], sides: list[StreamSide | None]) -> list[OurEnd]:
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
            lines: tuple[str, ...] = ()
            if side.messages is not None and streams[index].kind == "msrp":
                offering = leg.state is Negotiation.OFFER_SENT
                lines = told_lines(side.messages, ours.advertised, side.local.port, offering)
            ends.append(_tuple(OurEnd, (ours.advertised, side.family, side.local.port, self.offered_mux[index], lines)))
        return ends

    def _nowhere(self, leg: Leg, family: int = 0) -> OurEnd:
        family = family or leg.choose_family(0)
        ours = leg.address(family)
        assert ours is not None
        return OurEnd(ours.advertised, family, 0, False)

    def _give_back(self, now: float, old: Iterable[tuple[Stream, ...]], kept: Collection[tuple[Stream, ...]]) -> None:
        """Give the ports back that are in `old` but not in `kept`."""
        gone = ports_of(old)
        if kept:
            gone -= ports_of(kept)
        for port in gone:
            self.home.pool.give_back(port, now)


def _named(
    kind_of_media: str,
    kind: str,
    a: StreamSide | None,
    b: StreamSide | None,
    media: MediaDescription,
    reading: StreamReading,
    said: Formats,
) -> Stream:
    """A stream, and what the answer names as its formats."""
    if kind != "rtp":
        return Stream(kind_of_media, kind, a, b, 8000, tuple(media.formats))
    rate = said[0].rate if said else 8000
    numbers = tuple([f[0] for f in said])
    return _tuple(Stream, (kind_of_media, kind, a, b, rate, numbers, reading.section.encodings, False))


def _revived(stream: Stream, told: Flow | None) -> Stream:
    """`stream` as it was before a preview, with generations that follow what the plane was told since."""
    if told is None or stream.a is None or stream.b is None:
        return stream
    sides = []
    for side, flow_side in ((stream.a, told.a), (stream.b, told.b)):
        changed = side.generation != flow_side.generation
        sides.append(side._replace(generation=flow_side.generation + 1) if changed else side)
    return stream._replace(a=sides[0], b=sides[1])


def _without_origin(sdp: bytes) -> bytes:
    head, _, rest = sdp.partition(b"\no=")
    return head + b"\n" + rest.partition(b"\n")[2]


def _text(address: Address | None) -> str:
    return "" if address is None else f"{address.host}:{address.port}"
