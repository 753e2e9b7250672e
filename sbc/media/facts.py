"""What the control of media is told (addresses, sides, settings), and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from sbc.media.flow import Flow, FlowId, Latching
from sbc.sdp import SdpLimits


class MediaAddress(NamedTuple):
    """An address of ours for media in one zone."""

    bind: str
    """IP address that ports are bound on."""
    advertised: str
    """IP address that SDP says: another one behind a 1:1 NAT."""


class MediaProfile(NamedTuple):
    """Which RTP formats a side may speak. Patterns are names as in a=rtpmap, in any case, with * and ?: "PCMU",
    "opus/48000", "G72*"; with the media type before them they mean only that: "video/*". A static payload type needs no
    rtpmap to be known. Streams that are not RTP (T.38, BFCP) are not asked."""

    allow: tuple[str, ...] = ()
    """Nothing else passes, in either direction; empty: everything."""
    deny: tuple[str, ...] = ()
    """These do not pass, in either direction."""
    order: tuple[str, ...] = ()
    """These come first, in this order, in what the side is sent; the others follow as they came."""
    offer: tuple[str, ...] = ("PCMU", "PCMA", "telephone-event")
    """Names of the formats that it is offered when the other side has made no offer."""


ANY_MEDIA = MediaProfile()
"""Every format passes."""


class Dtmf(Enum):
    """What becomes of the telephone-events (RFC 4733) that a side sends."""

    PASS = "pass"
    REPORT = "report"
    """They pass, and each one is told."""
    END = "end"
    """They end here: told, not passed. The side speaks them with us whatever the other one does."""


class SideFacts(NamedTuple):
    """One side of a call, as far as media care."""

    v4: MediaAddress | None
    v6: MediaAddress | None
    latching: Latching
    signalling: str | None
    """Host that the side's signalling comes from or goes to."""
    hidden: bool
    """Nothing that names this side may reach the other one (RFC 5853 section 3.1)."""
    prefer_v6: bool = False
    """Which family an offer to this side names while nothing is known of it and it has both."""
    profile: MediaProfile = ANY_MEDIA


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """Times in seconds."""

    drain: float = 5.0
    """A port given back rests this long: packets of the ended call still on their way must not meet the next one."""
    silence: float = 60.0
    """A stream that should flow both ways and brings no packet from either side this long is `Silent`; 0: never."""
    low_water: int = 64
    """Fewer free port pairs than this on a host: more are asked for ..."""
    high_water: int = 256
    """... so many that this number is free."""
    retry: float = 10.0
    """When a plane had fewer ports to give than asked for: ask again after this time."""
    hosts: tuple[str, ...] = ()
    """Bind addresses whose ports are wanted from the start; others are learned as calls use them."""
    limits: SdpLimits = field(default_factory=SdpLimits)


class MediaError(Exception):
    """Media cannot be served. `status` is the SIP status for whoever sent the description: 400 (malformed), 488
    (nothing in it that can be relayed, or against RFC 3264), 491 or 500 (another offer is open), 503 (no ports)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class Exchange(NamedTuple):
    """What an offer or an answer leads to."""

    sdp: bytes
    """The description for the other side; b"" if there is none to send."""
    flows: tuple[Flow, ...] = ()
    """Flows to apply: those that are new or changed."""
    removed: tuple[FlowId, ...] = ()
    """Flows to remove."""


class StreamFacts(NamedTuple):
    """One m-line of a call for its record. Directions are those that each side stated ("sendrecv", "sendonly",
    "recvonly", "inactive"); addresses are "host:port" texts, "" where there is none."""

    number: int
    """From 0, as the m-lines stand in the descriptions."""
    media: str
    kind: str
    """"rtp", "udp", or "" for a stream that is refused or disabled."""
    codecs: tuple[str, ...]
    """As the last answer lists them, "PCMU/8000", or the format for anything but RTP."""
    a_direction: str = ""
    b_direction: str = ""
    a_remote: str = ""
    b_remote: str = ""
    a_local: str = ""
    b_local: str = ""
