"""Two sessions become one: what a transfer comes down to in the media.

A leg keeps its ports for its life, also when it goes over to another session. Nothing is negotiated here; what the two
legs that meet must be told of each other, `MediaSession.offer_of` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbc.media.facts import Exchange, MediaError
from sbc.media.flows import follow
from sbc.media.stream import OPEN, SETTLED, Stream, StreamSide, ports_of, understand

if TYPE_CHECKING:
    from sbc.media.session import MediaSession

_NO_STREAM = Stream("audio", "", None, None)


def bridge(session: MediaSession, side: str, other: MediaSession, its: str, now: float) -> Exchange:
    """Side `side` of `session` is replaced by side `its` of `other`; see `MediaSession.bridge`."""
    if session is other:
        raise ValueError("a session cannot be bridged with itself")
    if session.closed or other.closed:
        raise MediaError(500, "the call's media are closed")
    stays = session.b if side == "a" else session.a
    comes = other.a if its == "a" else other.b
    if stays.state in OPEN or comes.state in OPEN:
        raise MediaError(491, "an offer of a side that is to be bridged is open")
    removed = tuple(flow.id for flow in other.flows())
    old = ports_of(
        (session.streams, session.proposed, session.before or (), other.streams, other.proposed, other.before or ())
    )
    count = max(len(session.streams), len(other.streams))
    streams = []
    for index in range(count):
        mine = session.streams[index] if index < len(session.streams) else _NO_STREAM
        theirs = other.streams[index] if index < len(other.streams) else _NO_STREAM
        streams.append(_joined(side, mine, theirs.a if its == "a" else theirs.b, theirs))
    while len(streams) > max(stays.agreed.lines, comes.agreed.lines) and streams[-1].a is streams[-1].b:
        streams.pop()  # a leg that stays behind had more m-lines
    session.streams = session.proposed = tuple(streams)
    session.before = None
    session.own = False
    if side == "a":
        session.a = comes
    else:
        session.b = comes
    for leg, partner in ((stays, comes), (comes, stays)):
        leg.cname = session.home.cname(partner.facts, leg.cname)
        leg.state = SETTLED
        leg.asked_again = False
    _make_news(session, side)
    for port in old - ports_of((session.streams,)):
        session.home.pool.give_back(port, now)
    other.closed = True
    other.streams = other.proposed = ()
    other.before = None
    other.applied.clear()
    other.home.forget(other)
    flows, gone = follow(session)
    return Exchange(b"", flows, (*removed, *gone))


def _joined(side: str, mine: Stream, theirs: StreamSide | None, source: Stream) -> Stream:
    """The stream of which one side stays, and the other one was a side of `source`."""
    ours = mine.b if side == "a" else mine.a
    a, b = (theirs, ours) if side == "a" else (ours, theirs)
    if ours is None and theirs is None:
        return Stream(mine.media, "", None, None)
    named = mine if ours is not None else source
    apart = ours is not None and theirs is not None
    if ours is not None and theirs is not None and mine.kind == source.kind and mine.media == source.media:
        apart = mine.kind == "rtp" and not understand(ours, theirs)
    return named._replace(a=a, b=b, apart=apart)


def _make_news(session: MediaSession, side: str) -> None:
    """The plane knew somebody else on that side: generations grow, so that the latch is set anew."""
    streams = []
    for index, stream in enumerate(session.streams):
        new = stream.a if side == "a" else stream.b
        told = session.applied.get(index)
        if new is not None and told is not None:
            generation = max(new.generation, (told.a if side == "a" else told.b).generation) + 1
            new = new._replace(generation=generation)
            stream = stream._replace(a=new) if side == "a" else stream._replace(b=new)
        streams.append(stream)
    session.streams = session.proposed = tuple(streams)
