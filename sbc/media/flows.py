"""From the streams of a session to what the plane should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbc.media.facts import Dtmf
from sbc.media.flow import Flow, FlowEvents, FlowId, FlowSide, Latching, MessagePath
from sbc.media.formats import Formats, events, has_events, media_rate, payload_map
from sbc.media.messages import is_inner
from sbc.media.stream import Leg, Stream, StreamSide
from sbc.msrp import uri_text

if TYPE_CHECKING:
    from sbc.media.session import MediaSession

_tuple = tuple.__new__
"""`_tuple(Flow, (...))` is `Flow(...)` in half the time."""

_WATCHED = frozenset({"audio", "video", "image"})
"""Media that are never silent for long while they flow both ways; text (RFC 4103) is, when nobody types."""

_UNTREATED: tuple[object, ...] = (None, None, frozenset(), (), (), FlowEvents(), FlowEvents(), None)
"""The last fields of a flow that is only forwarded: sources, treatments, maps, events, paths."""
_PASS, _END = Dtmf.PASS, Dtmf.END
_MAPPED = frozenset({"payload-map"})
_DTMF = frozenset({"dtmf"})
_MSRP = frozenset({"msrp"})


def follow(session: MediaSession) -> tuple[tuple[Flow, ...], tuple[FlowId, ...]]:
    """Flows that differ from what the plane was told, and those that are no more; from now on it is told."""
    changed = []
    removed = []
    applied = session.applied
    kept = 0
    for index, stream in enumerate(session.streams):
        told = applied.get(index)
        if stream.a is not None and stream.b is not None and not stream.apart:
            kept += 1
            flow = _flow(session, index, stream, stream.a, stream.b)
            if flow != told:
                applied[index] = flow
                changed.append(flow)
        elif told is not None:
            del applied[index]
            removed.append(told.id)
    if len(applied) > kept:  # the session has fewer streams than it had
        for index in [index for index in applied if index >= len(session.streams)]:
            removed.append(applied.pop(index).id)
    return tuple(changed), tuple(removed)


def begin(session: MediaSession) -> tuple[Flow, ...]:
    """MSRP sessions that the open offer proposes, so that our ports take connections before the answer is here."""
    begun = []
    for index, stream in enumerate(session.proposed):
        if stream.kind != "msrp" or stream.a is None or stream.b is None or index in session.applied:
            continue
        flow = session.applied[index] = _flow(session, index, stream, stream.a, stream.b)
        begun.append(flow)
    return tuple(begun)


def moved(session: MediaSession, side: str, signalling: str) -> tuple[Flow, ...]:
    """The signalling of `side` comes from the host `signalling` now, as from another place than before: its media may
    follow. Gives the flows to apply again."""
    leg = session.a if side == "a" else session.b
    leg.facts = leg.facts._replace(signalling=signalling)
    leg.moves += 1
    return follow(session)[0]


def _flow(session: MediaSession, index: int, stream: Stream, a: StreamSide, b: StreamSide) -> Flow:
    silence = session.home.settings.silence if stream.media in _WATCHED and a.flowing and b.flowing else 0.0
    flow_id = f"{session.call_id}/{index}"
    leg_a, leg_b = session.a, session.b
    sides = _flow_side(leg_a, a), _flow_side(leg_b, b)
    if stream.kind == "msrp":
        sides = _place_to_connect_to(leg_a, sides[0]), _place_to_connect_to(leg_b, sides[1])
    flow = _tuple(Flow, (flow_id, stream.kind, stream.clock_rate, *sides, silence, *_UNTREATED))
    if stream.kind == "msrp":
        paths = _path(leg_a, a), _path(leg_b, b)
        silence = session.home.settings.silence if paths[0].theirs and paths[1].theirs else 0.0
        return flow._replace(treatments=_MSRP, paths=paths, silence=silence)
    dtmf_a, dtmf_b = leg_a.dtmf, leg_b.dtmf
    if a.told != b.formats or b.told != a.formats:
        map_a, map_b = payload_map(a.told, a.formats, b.formats), payload_map(b.told, b.formats, a.formats)
        if map_a or map_b:
            flow = flow._replace(treatments=_MAPPED, map_a=map_a, map_b=map_b)
        dtmf_a = _END if leg_b.signals and _have_events_alone(a, b) else dtmf_a
        dtmf_b = _END if leg_a.signals and _have_events_alone(b, a) else dtmf_b
    if stream.media == "audio" and (dtmf_a is not _PASS or dtmf_b is not _PASS):
        flow = flow._replace(
            treatments=flow.treatments | _DTMF, events_a=_events(dtmf_a, a), events_b=_events(dtmf_b, b)
        )
    return flow


def _path(leg: Leg, side: StreamSide) -> MessagePath:
    end, address = side.messages, leg.address(side.family)
    assert end is not None
    assert address is not None
    return MessagePath(uri_text(address.advertised, side.local.port, end.session), end.path, end.connects)


def _place_to_connect_to(leg: Leg, side: FlowSide) -> FlowSide:
    """Nobody outside has us open connections into networks that only we can reach: what looks like an address there is
    no place but for who signals from it, or whose `latching` says that its media are where it says."""
    facts, remote = leg.facts, side.remote
    if remote is None or facts.hidden or facts.latching is not Latching.SIGNALLING or remote.host == facts.signalling:
        return side
    return side._replace(remote=None) if is_inner(remote.host) else side


def _have_events_alone(side: StreamSide, other: StreamSide) -> bool:
    """`side` has agreed on telephone-events with us, and the other one has none."""
    return has_events(side.formats) and has_events(side.told) and not has_events(other.formats)


def _flow_side(leg: Leg, side: StreamSide) -> FlowSide:
    local, _, remote, remote_rtcp, mux, _, _, generation, *_ = side
    facts = leg.facts
    values = (local, remote, remote_rtcp, mux, facts.signalling, facts.latching, generation, leg.cname, leg.moves)
    return _tuple(FlowSide, values)


def _events(dtmf: Dtmf, side: StreamSide) -> FlowEvents:
    """A side sends events by the numbers that it was told, or by its own; it gets them by its own."""
    meant = {f.number for f in side.told}
    own = tuple(f for f in side.formats if f.number not in meant)  # what it was told comes first
    heard = events((*side.told, *own))
    return FlowEvents(heard, _best(side.formats), dtmf is not _PASS, dtmf is _END)


def _best(formats: Formats) -> tuple[int, int] | None:
    """Of several, the one with the clock of the media (RFC 4733 section 2.1)."""
    rate = media_rate(formats)
    kinds = events(formats)
    return next((kind for kind in kinds if kind[1] == rate), kinds[0] if kinds else None)
