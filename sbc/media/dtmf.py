"""Telephone-events (RFC 4733) of a session: where they end here instead of crossing, and which flow takes ours."""

from __future__ import annotations

from sbc.media import flows, formats
from sbc.media.facts import Dtmf, Exchange
from sbc.media.session import MediaSession


def treat_dtmf(session: MediaSession, side: str, treatment: Dtmf) -> Exchange:
    """From now on this becomes of the events that `side` sends. Gives the flows to apply again.

    With `Dtmf.END`, decided before `offer` or `answer`, what the side is told has telephone-events, whatever the other
    one says; digits can be sent to it either way (`dtmf_flow`).
    """
    leg = session.a if side == "a" else session.b
    leg.dtmf = treatment
    return Exchange(b"", *flows.follow(session))


def signal_dtmf(session: MediaSession, side: str, possible: bool) -> None:
    """Whether digits can reach `side` otherwise than as telephone-events; holds from the next offer or answer on.

    Where it can and has no telephone-events itself, the other side is told that it has, and its events end here
    (`Dtmf.END`). Where both have them, or neither has, nothing is done to their packets.
    """
    leg = session.a if side == "a" else session.b
    leg.signals = possible


def takes_events(session: MediaSession, side: str) -> bool:
    """Whether `side` speaks telephone-events in a stream that flows, so that digits could be sent to it so."""
    for stream in session.streams:
        mine = stream.a if side == "a" else stream.b
        if (
            stream.media == "audio"
            and stream.a
            and stream.b
            and not stream.apart
            and mine
            and formats.has_events(mine.formats)
        ):
            return True
    return False


def dtmf_flow(session: MediaSession, side: str) -> str | None:
    """Id of the flow by which `DataPlane.send_dtmf` reaches `side` now; None: it takes no events, or neither side has a
    treatment."""
    for flow in session.flows():
        events = flow.events_a if side == "a" else flow.events_b
        if "dtmf" in flow.treatments and events.sent is not None:
            return flow.id
    return None
