"""The control of media of one process: sessions of its calls, and the ports that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbc.media.facts import MediaSettings, SideFacts
from sbc.media.flow import Flow, PlaneLost, PortsReady
from sbc.media.messages import MessageEnd
from sbc.media.port_pool import PortPool
from sbc.media.session import MediaSession
from sbc.media.stream import Leg

if TYPE_CHECKING:
    from sbc.sip import Tokens

_SESSION_ID_DIGITS = 15
"""Hexadecimal: a session id is a number that fits 63 bits (RFC 3264 section 5)."""


class Media:
    """Opens sessions, and keeps what they have in common."""

    def __init__(self, settings: MediaSettings, tokens: Tokens) -> None:
        self.settings = settings
        self.pool = PortPool(settings)
        self._tokens = tokens
        self._sessions: dict[str, MediaSession] = {}

    @property
    def session_count(self) -> int:
        """Sessions opened and not closed."""
        return len(self._sessions)

    @property
    def ports_in_use(self) -> int:
        """Port pairs taken, over all hosts."""
        return self.pool.in_use

    def open(self, call_id: str, a: SideFacts, b: SideFacts) -> MediaSession:
        """The media of a new call between `a` and `b`; takes no ports yet. Whoever opens it must `close()` it.

        `call_id` names the flows; raises ValueError if a session of that name is open.
        """
        if call_id in self._sessions:
            raise ValueError(f"a media session {call_id!r} is open already")
        for address in (a.v4, a.v6, b.v4, b.v6):
            if address is not None:
                self.pool.use_host(address.bind)
        session = self._sessions[call_id] = MediaSession(call_id, self._leg(a, b), self._leg(b, a), self)
        return session

    def handle(self, event: PortsReady | PlaneLost, now: float) -> tuple[Flow, ...]:
        """News of the plane. Gives the flows to apply again: all of them when the plane was lost, else none."""
        if isinstance(event, PortsReady):
            self.pool.ready(event, now)
            return ()
        self.pool.plane_lost(now)
        return tuple(flow for session in self._sessions.values() for flow in session.flows())

    def wanted_binds(self) -> list[tuple[str, int]]:
        """(host, count) of port pairs that the plane should bind now. Each is asked for once until `PortsReady`
        answers."""
        return self.pool.wanted()

    def forget(self, session: MediaSession) -> None:
        """`session` has closed."""
        self._sessions.pop(session.call_id, None)

    def cname(self, other: SideFacts, known: str = "") -> str:
        """What stands for the CNAME of `other` on the other leg: `known` if it is not "", a new one, or "" where the
        side is not hidden."""
        return (known or self._tokens.user()) if other.hidden else ""

    def message_end(self) -> MessageEnd:
        """A new MSRP session towards one side; RFC 4975 section 14.1 wants 80 bits that nobody can guess."""
        return MessageEnd(self._tokens.tag())

    def _leg(self, facts: SideFacts, other: SideFacts) -> Leg:
        number = int(self._tokens.tag()[-_SESSION_ID_DIGITS:], 16)
        return Leg(facts, number, self.cname(other))
