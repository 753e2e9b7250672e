"""Who is where: zones, our listeners in them, and the peers, as the configuration left them. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from sbc.media import ANY_MEDIA, Latching, MediaAddress, MediaProfile
from sbc.sip import ALGORITHMS, Address, Timers


@dataclass(frozen=True, slots=True)
class Listener:
    """One socket of ours in a zone. `advertised` is what messages say: it differs from `local` behind a 1:1 NAT."""

    transport: str
    local: Address
    advertised: Address


class Mode(Enum):
    """How far we go with an extension on a leg; what the element itself says comes first, but for NEVER."""

    NEVER = "never"
    AUTO = "auto"
    ALWAYS = "always"


class Redirection(Enum):
    FOLLOW = "follow"
    """A 3xx is followed for the caller."""
    PASS = "pass"
    """It is passed on, its Contacts made to mean the same users at us."""


class Refer(Enum):
    """What becomes of a REFER for this side."""

    AUTO = "auto"
    """It is passed on where the element allows REFER and can reach whom it is about; else the transfer is done here."""
    PASS = "pass"
    END = "end"
    """The transfer is done here."""


class DigitsBy(Enum):
    """How digits (DTMF) go to an element, and come from it."""

    AUTO = "auto"
    """As telephone-events (RFC 4733) where its SDP has them, else by INFO where it allows or uses that."""
    INFO = "info"
    """By SIP INFO; it is neither offered telephone-events, nor are its own taken."""
    RTP = "rtp"
    """As telephone-events; it gets no INFO with digits."""


@dataclass(frozen=True, slots=True)
class Interworking:
    """What is forced on the legs of a peer, or of a zone's elements that are no peer, whatever they advertise."""

    reliable: Mode = Mode.AUTO
    """100rel (RFC 3262). auto: where the element says so; always: asked of it, too; never: not spoken."""
    redirect: Redirection = Redirection.FOLLOW
    session_timer: Mode = Mode.AUTO
    """RFC 4028. auto: with elements that understand it; always: with others, too, and we refresh; never: not spoken."""
    refer: Refer = Refer.AUTO
    """RFC 3515, and likewise an INVITE with Replaces (RFC 3891)."""
    dtmf: DigitsBy = DigitsBy.AUTO


@dataclass(frozen=True, slots=True)
class Zone:
    """A side of the network with its sockets and rules."""

    name: str
    listeners: tuple[Listener, ...]
    media_v4: MediaAddress | None = None
    media_v6: MediaAddress | None = None
    hidden: bool = True
    """Nothing that names a host of this zone leaves it (RFC 5853 section 3.1)."""
    open: bool = False
    """Requests of elements that are no configured peer are served as well."""
    latching: Latching = Latching.SIGNALLING
    """For elements that are no configured peer."""
    trusted: bool = False
    """Elements that are no configured peer belong to our trust domain: identities that they assert are believed, and
    they learn those that users withhold from others (RFC 3325)."""
    domains: frozenset[str] = frozenset()
    """Lower-case hosts of a Request-URI that mean this SBC itself, beyond its own addresses."""
    how: Interworking = Interworking()
    """For elements that are no configured peer."""
    media: MediaProfile = ANY_MEDIA
    """The same."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A SIP element in a zone that the configuration names: a PBX, a trunk, a phone network."""

    name: str
    zone: str
    host: str
    """IP address or host name; also what the Request-URI, From and To of requests to it say as host."""
    port: int | None = None
    """None: 5060, or what DNS says."""
    transports: tuple[str, ...] = ("UDP",)
    """In order of preference. With UDP first and TCP too, requests over the path's safe size go over TCP (18.1.1)."""
    latching: Latching = Latching.SIGNALLING
    trusted: bool = True
    """It belongs to our trust domain (RFC 3325)."""
    sources: tuple[str, ...] = ()
    """Further IP addresses or networks (CIDR) that requests of this peer come from."""
    how: Interworking = Interworking()
    media: MediaProfile = ANY_MEDIA
    """The codecs that it may speak."""


class KeepAlive(Enum):
    """Whose flows over UDP we keep alive."""

    NAT = "nat"
    """Those of phones that are seen to be behind a NAT."""
    ALL = "all"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Access:
    """Phones that register here. Times in seconds."""

    zone: str
    """Where they are."""
    domains: tuple[str, ...]
    """Hosts of their addresses of record, in lower case. The first one stands for our own addresses, too."""
    registrar: str
    """Name of the peer that registrations go to; "": this SBC is the registrar."""
    expires_udp: int = 90
    """What a phone is granted at most over UDP, so that its NAT keeps the flow."""
    expires_stream: int = 600
    """The same over streams."""
    expires_least: int = 30
    """Less is refused with 423 (RFC 3261 section 10.2.8)."""
    expires_inside: int = 3600
    """What is asked of the registrar."""
    recheck: int = 0
    """After so long credentials must pass the registrar again, though it has granted more; 0: when that is over."""
    watch: float = 0.0
    """How often the registrar is asked whether it is there; 0: never, it is taken to be."""
    survive: int = 86400
    """How much longer than the registrar has granted phones stay registered while it is not there; 0: no longer."""
    rate: int = 100
    """REGISTERs a second that the registrar gets at most."""
    max_contacts: int = 10
    """Devices of one user, and flows of one device."""
    max_registrations: int = 100_000
    keepalive: KeepAlive = KeepAlive.NAT
    keepalive_interval: float = 25.0
    """Seconds between two packets over a flow, until more is known about its NAT."""
    algorithms: tuple[str, ...] = ALGORITHMS
    """Of digest, for users of our own registrar; in the order in which they are offered."""
    without_qop: bool = False
    """Credentials as old phones make them (RFC 2069) are accepted."""
    wrong_passwords: int = 5
    """Of one user from one source, until a pause in which nothing from there is looked at; 0: there is none."""
    strangers: bool = False
    """Who is no user may call those of our own registrar's users who are registered."""
    redirects: bool = False
    """Callers are told where our users are, as far as they may know and can use it, instead of being connected."""
    key: bytes = b""
    """Secret of this site: makes the user parts of our contacts inside, the same ones after a restart."""


class Account(NamedTuple):
    """One user of our own registrar. The password is not known: `secrets` are the `sbc.sip.ha1` for each algorithm,
    with the domain as realm."""

    name: str
    """As written before the "@", without escapes."""
    domain: str
    secrets: Mapping[str, str]
    """Algorithm -> H(name ":" domain ":" password)."""
    display_name: str = ""


Users = Mapping[str, Account]
"""Address of record ("name@domain") -> who that is. A snapshot, replaced as a whole when it changes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the session layer is told by the configuration. Times in seconds."""

    user_agent: str = ""
    """Server and User-Agent of our own messages; "" says nothing."""
    no_answer: float = 180.0
    """From the INVITE received until its final response (RFC 3261 section 16.6 step 11 calls it timer C)."""
    target_timeout: float = 4.0
    """How long a target may stay wholly silent before the next one is tried; not used for the last one."""
    longest_call: float = 43200.0
    """A call in progress is ended after this time; 0: never."""
    failover_statuses: frozenset[int] = field(default_factory=lambda: frozenset({408, 500, 502, 503, 504}))
    session_expires: int = 1800
    """Seconds that a session lasts without refresh, where the element does not say (RFC 4028)."""
    min_session_expires: int = 90
    """Seconds that an element may ask for at least; less gets 422."""
    max_passages: int = 10000
    """Requests outside calls that may be on their way at the same time; past it new ones get 503."""
    max_subscriptions: int = 50000
    """Subscriptions at the same time; past it new ones get 503."""
    timers: Timers = field(default_factory=Timers)
    final_stats_wait: float = 2.0
    """How long an ended call waits for the last media figures."""
    access: Access | None = None
    """None: nobody registers here."""
    key: bytes = b""
    """A secret of this site that outlives the process: names that mean nothing to others are made with it (see
    `sbc.b2bua.sealing`); without one they mean nothing to the next process either."""


@dataclass(frozen=True, slots=True)
class Network:
    zones: dict[str, Zone]
    peers: dict[str, Peer]


def own_hosts(network: Network) -> frozenset[str]:
    """What the host of a Request-URI says when it means us: our addresses in every zone, and what they are called."""
    hosts: set[str] = set()
    for zone in network.zones.values():
        hosts |= zone.domains
        for listener in zone.listeners:
            hosts |= {listener.local.host, listener.advertised.host}
    return frozenset(hosts)
