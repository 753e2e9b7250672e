"""The one interface between the control of media and what forwards packets: `Flow`, `FlowEvent`, `DataPlane`.

A flow is one media stream (one m-line) relayed between two sides. Flows are immutable: a change is a new value with the
same id, applied again. Everything here is plain data and can be written down, so that another process can pick a call
up.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from sbc.sip import Address

FlowId = str
"""Call id and stream index, "CALL/0"."""


class Latching(Enum):
    """Which first packet may fix a side's source (RFC 7362 section 4; the `latching` setting of a peer)."""

    STRICT = "strict"
    """Only the address and port that the SDP named."""
    SIGNALLING = "signalling"
    """The SDP's address, or the address that the signalling came from, at any port. After it: locked to address and
    port."""
    ANY = "any"
    """Whoever comes first."""


class FlowSide(NamedTuple):
    """One side of a flow, as the signalling left it."""

    local: Address
    """Our bound RTP (or opaque UDP) address; RTCP is at port + 1, bound as well even where `rtcp_mux` leaves it
    idle."""
    remote: Address | None
    """Where the peer's SDP wants its packets; None while unknown or nowhere (c=0.0.0.0, port 0)."""
    remote_rtcp: Address | None
    """Where it wants RTCP (a=rtcp, RFC 3605, else port + 1, or `remote` with rtcp-mux); None as above."""
    rtcp_mux: bool
    """This side agreed on RTP and RTCP on one port (RFC 5761)."""
    signalling: str | None
    """Host that the peer's signalling comes from, for `Latching.SIGNALLING`."""
    latching: Latching
    generation: int
    """Grows by one with each completed offer/answer exchange that changed this side: the latch may be set anew,
    once."""
    cname: str
    """What RTCP sent to this side says as CNAME in place of the other side's (RFC 3550 section 6.5.1); "" where the
    other side is not hidden and its source descriptions pass as they are."""
    moves: int = 0
    """Grows by one each time that the peer's signalling has gone over to another place, for which it was believed: its
    media may follow, to what `signalling` and `latching` allow, for a while, once."""


PayloadMap = tuple[tuple[int, int], ...]
"""RTP payload numbers to be changed: (as it comes, as it goes on)."""


class FlowEvents(NamedTuple):
    """The telephone-events (RFC 4733) of one side of a flow, and what becomes of them."""

    heard: tuple[tuple[int, int], ...] = ()
    """(payload number, clock rate in Hz) of events in what comes from this side."""
    sent: tuple[int, int] | None = None
    """The same of events that we send to this side; None: it takes none."""
    report: bool = False
    """Each event that comes from this side is told as `DtmfReceived`, once."""
    swallow: bool = False
    """Events from this side do not go on to the other one; its other packets follow each other without a gap."""


class MessagePath(NamedTuple):
    """One side of an MSRP session (RFC 4975)."""

    ours: str
    """Our URI, as this side was told it: what it names in To-Path."""
    theirs: str
    """What this side said of itself, URIs separated by spaces, the nearest first; "" while unknown."""
    connects: bool
    """We open the connection, to `FlowSide.remote`; else it comes to `FlowSide.local`."""


class Flow(NamedTuple):
    """One stream relayed between side a (of the A leg) and side b (of the B leg)."""

    id: FlowId
    kind: str
    """"rtp": RTP with its RTCP; "udp": opaque datagrams (udptl), no RTCP; "msrp": messages over TCP, no datagrams."""
    clock_rate: int
    """RTP clock rate of the first format in Hz, for jitter; 8000 where unknown."""
    a: FlowSide
    b: FlowSide
    silence: float
    """Seconds without any packet from either side after which `Silent` comes, once; 0: not watched (hold). Of MSRP:
    seconds in which the two are not connected."""
    latched_a: Address | None = None
    latched_b: Address | None = None
    """Sources known already (a flow handed over to another plane or process); None: to be learned."""
    treatments: frozenset[str] = frozenset()
    """What must be done to packets beyond forwarding; a plane must offer all of them: "payload-map", "dtmf",
    "msrp" (with `paths`)."""
    map_a: PayloadMap = ()
    """Payload numbers of packets that come from side a, where side b knows the format by another one."""
    map_b: PayloadMap = ()
    events_a: FlowEvents = FlowEvents()
    """With "dtmf"; without it digits can neither be reported nor sent."""
    events_b: FlowEvents = FlowEvents()
    paths: tuple[MessagePath, MessagePath] | None = None
    """Of an MSRP session; None for everything else."""


class StreamStats(NamedTuple):
    """Figures of what was received from one side of a flow (RFC 3550 section 6.4.1, appendix A)."""

    packets: int = 0
    """Of MSRP: requests and responses."""
    octets: int = 0
    """Of UDP or TCP payload."""
    lost: int = 0
    """Expected minus received, over the life of the flow, summed over SSRCs; never negative."""
    reordered: int = 0
    jitter: float = 0.0
    """Interarrival jitter in milliseconds, of the last SSRC."""
    rtcp_packets: int = 0
    mismatched: int = 0
    """Packets dropped because their source was not the latched one; of MSRP: connections refused."""
    source: Address | None = None
    """The latched source."""


class PortsReady(NamedTuple):
    """The plane has bound these even ports (and each one's odd neighbour) on `host`; nobody uses them yet."""

    host: str
    ports: tuple[int, ...]


class Latched(NamedTuple):
    flow_id: FlowId
    side: str  # "a" or "b"
    source: Address


class SourceMismatch(NamedTuple):
    """Packets came from elsewhere than the latched source and were dropped, or connections for no session of the flow;
    told at most once a second and side."""

    flow_id: FlowId
    side: str
    source: Address
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here


class Silent(NamedTuple):
    flow_id: FlowId


class DtmfReceived(NamedTuple):
    """A telephone-event of `side` has ended (RFC 4733). Told once, however often its end was sent, or when its packets
    cease."""

    flow_id: FlowId
    side: str
    digit: str
    """0 to 9, *, #, A to D, or "!" for a flash."""
    duration: int
    """Milliseconds."""


class StatsReport(NamedTuple):
    """`final` reports follow a `remove`, exactly one for each flow removed."""

    flow_id: FlowId
    a: StreamStats
    b: StreamStats
    final: bool


class PlaneLost(NamedTuple):
    """The plane lost all its flows and ports (its process died). It is being started again; apply every flow again:
    `apply` binds the ports that a flow names if they are not bound."""

    reason: str


FlowEvent = PortsReady | Latched | SourceMismatch | Silent | DtmfReceived | StatsReport | PlaneLost


class DataPlane(Protocol):
    """What forwards packets. Calls never block and never fail for reasons of the network; news comes as `FlowEvent`."""

    treatments: frozenset[str]

    def bind(self, host: str, count: int) -> None:
        """Bind `count` more port pairs on `host`, from the range that the plane was configured with; `PortsReady`
        follows (with fewer, or none, when the range is used up)."""

    def apply(self, flow: Flow) -> None:
        """Make `flow` so. Idempotent: repeat it and nothing changes."""

    def remove(self, flow_id: FlowId) -> None:
        """Stop relaying; a final `StatsReport` follows. Its ports stay bound and drop what arrives (they drain) until a
        flow uses them again."""

    def send_dtmf(self, flow_id: FlowId, side: str, digit: str, duration: int) -> None:
        """Send a telephone-event to `side`, `duration` milliseconds long, after those that are on their way to it. The
        relayed stream makes room for it. Nothing happens for a flow without treatment "dtmf", for a side that takes no
        events, or for what is no digit."""

    def subscribe(self, listener: Callable[[FlowEvent], None]) -> None: ...
