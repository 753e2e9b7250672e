"""MSRP sessions in descriptions (RFC 4975 section 8, RFC 6135): what a side says of itself, who opens the connection,
and what it is told of us.

Each side has a session of its own with us, on a TCP port of its own: nothing of one side's path is known on the other.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import NamedTuple

from sbc.msrp import MsrpUri, parse_path, uri_text
from sbc.sip import Address

_LOWEST_PORT = 1024
"""We open no connection to a port below: services live there, and no MSRP."""
_INNER = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
        "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",  # RFC 6598, 1122, 3927
        "fc00::/7", "fe80::/10", "::1/128",  # RFC 4193, 4291
        "::ffff:0:0/96", "64:ff9b::/96",  # IPv4 in IPv6: RFC 4291, 6052
    )
)  # fmt: skip
_ROLES = frozenset({"active", "passive", "actpass"})


class MessageEnd(NamedTuple):
    """One side of an MSRP session, as a stream keeps it."""

    session: str
    """Our session-id towards this side, which it cannot guess."""
    path: str = ""
    """As its a=path says; "" while unknown."""
    connects: bool = False
    """We open the connection to it."""


class MessageReading(NamedTuple):
    """What one m-line says."""

    path: str
    setup: str
    """"active", "passive", "actpass", or "" for everything else (RFC 6135 section 4.2.1)."""
    host: str
    """Where it takes connections: an IP address out of the nearest URI; "" where that is a name."""
    port: int


def read_messages(lines: list[str]) -> MessageReading | None:
    """What the lines after an m-line say of an MSRP session over TCP; None where they name none that can be served."""
    path = setup = ""
    for line in lines:
        if line.startswith("a=path:"):
            path = path or line[7:].strip()
        elif line.startswith("a=setup:"):
            setup = line[8:].strip()
    hops = parse_path(path)
    if not hops or (hops[0].scheme, hops[0].transport) != ("msrp", "tcp") or not hops[-1].session:
        return None
    return MessageReading(path, setup if setup in _ROLES else "", _literal(hops[0]), hops[0].port)


def _literal(uri: MsrpUri) -> str:
    try:
        return str(ip_address(uri.host))
    except ValueError:
        return ""


def place(reading: MessageReading, host: str) -> Address | None:
    """Where we would connect to; `host` is that of the c= line, for URIs with a name (section 8.1: they are the
    same)."""
    host = reading.host or host
    return Address(host, reading.port) if host and reading.port >= _LOWEST_PORT else None


def is_inner(host: str) -> bool:
    """Whether this IP address is of a network that cannot be reached from everywhere."""
    address = ip_address(host)
    return any(address in network for network in _INNER)


def heard_end(end: MessageEnd, reading: MessageReading, offers: bool) -> MessageEnd:
    """`end` after its side said `reading` in an offer, or in an answer to an offer of "actpass".

    What it does not say is decided by RFC 4975 section 5.4: the offerer connects. Where it leaves it to us it
    connects, since it may be behind a NAT. A path that it had already keeps its connection, if what it says allows
    that.
    """
    if reading.path == end.path and reading.setup != ("active" if end.connects else "passive"):
        return end
    connects = reading.setup == "passive" or (not offers and reading.setup != "active")
    return MessageEnd(end.session, reading.path, connects)


def told_lines(end: MessageEnd, host: str, port: int, offering: bool) -> tuple[str, ...]:
    """What a side is told of us, at `host` and `port`."""
    role = "actpass" if offering else "active" if end.connects else "passive"
    return f"a=path:{uri_text(host, port, end.session)}", f"a=setup:{role}"
