"""The six fixed points at which policies are asked, and what they may answer (house plan, section 4).

A hook sees frozen views, never the `Call`; it never blocks. The chain of policies is passed in, so that this room never
imports them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sbc.b2bua.network import Peer, Zone
from sbc.sip import Address, Hop, Request, Response

# -- verdicts ----------------------------------------------------------------------------------------------------------


class Pass(NamedTuple):
    emergency: bool = False
    """It is an emergency call: limits do not hold for it."""


class Drop(NamedTuple):
    """Say nothing at all."""

    policy: str
    reason: str


class Reject(NamedTuple):
    """Answer with a final response. `reason` is for the record; the wire gets `phrase`, or the status's own phrase."""

    policy: str
    status: int
    reason: str
    phrase: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Target(NamedTuple):
    """One place to try. `uri` is the Request-URI; `host`, `port`, `transports` say where it is sent."""

    zone: str
    uri: str
    host: str
    port: int | None
    transports: tuple[str, ...]
    peer: str | None
    """Name of the configured peer, for what is set for it."""
    together: bool = False
    """Tried at the same time as the target before it (parallel forking), instead of after it."""
    ring: float = 0.0
    """Seconds from its INVITE until the target is given up unless it has answered; 0: as long as the caller waits."""
    search: bool = False
    """It is one of several phones of a user: its refusal is not the user's, but for a 6xx; the next one is tried."""
    hop: Hop | None = None
    """The flow that the target opened to us, the only way to it (RFC 5626); its leg keeps to that. None: see `host`."""
    others: tuple[tuple[str, Hop], ...] = ()
    """Further flows of the same device, with the Request-URI for each: tried in turn when this one fails."""
    route: tuple[str, ...] = ()
    """Route values of the first request (RFC 3327, RFC 3608)."""
    device: str = ""
    """Token of the registered device behind it (`sbc.b2bua.registrations`)."""


class Targets(NamedTuple):
    """Tried in order, the next when one fails."""

    policy: str
    targets: tuple[Target, ...]
    reason: str


class Resolve(NamedTuple):
    """A query: the addresses of `host` (RFC 3263; A/AAAA now), best first, as `Hop`s out of `zone`."""

    zone: str
    host: str
    port: int | None
    transports: tuple[str, ...]


class Suspend(NamedTuple):
    """The answer needs something from outside; the hook is asked again when it is there."""

    policy: str
    query: Resolve


PASS = Pass()

AdmitVerdict = Pass | Drop | Reject
RouteVerdict = Targets | Reject


# -- views -------------------------------------------------------------------------------------------------------------


class CallView(NamedTuple):
    """A new call as `admit` and `route` see it."""

    request: Request
    hop: Hop
    zone: Zone
    peer: Peer | None
    """The configured peer whose address the request came from."""
    calls: int
    """Calls in progress now."""
    draining: bool


class LegView(NamedTuple):
    """One leg, as `rewrite` sees it: where the message goes and where its contents came from."""

    zone: Zone
    """The zone that the message goes to."""
    peer: Peer | None
    source: Zone
    """The zone that the contents came from."""
    advertised: Address
    """Our address in the zone that the message goes to."""
    remote_host: str
    """Host of the element that it goes to, as URIs name it."""


class Hooks(Protocol):
    """The chain of policies, as the session layer calls it."""

    rewrites: bool
    """Some policy has `rewrite`; while none has, nothing is prepared for it."""

    def admit(self, call: CallView) -> AdmitVerdict: ...

    def route(self, call: CallView) -> RouteVerdict: ...

    def rewrite(self, message: Request | Response, leg: LegView, received: Request | Response | None) -> None:
        """Change `message`, which we are about to send, in place; `received` is what it passes on, None where it is all
        our own. Not asked of what the transaction layer says itself: 100, CANCEL, the ACK of a refusal, responses to
        what cannot be read."""
