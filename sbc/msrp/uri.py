"""MSRP URIs and paths (RFC 4975 sections 6 and 8.2), as far as a relay needs to know them."""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_HOPS = 8
"""URIs of one path: the endpoint, and relays before it (RFC 4976)."""
LONGEST_PATH = 2048
"""Characters of a path."""

_URI = re.compile(
    r"(?P<scheme>msrps?)://(?:[^@/;\[\] ]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/(?P<session>[!-:<-~]*))?;(?P<transport>[A-Za-z0-9]+)(?:;[!-:<-~]+)*",
    re.ASCII | re.IGNORECASE,
)


class MsrpUri(NamedTuple):
    """One hop of a path."""

    scheme: str
    """"msrp", or "msrps" over TLS."""
    host: str
    """An IP address without brackets, or a name."""
    port: int
    """0 where the URI has none: a path in SDP must."""
    session: str
    """Compared as it is (section 6.1); "" names a host and no session."""
    transport: str
    """"tcp" is the only one there is."""


def parse_uri(text: str) -> MsrpUri | None:
    """None if `text` is no MSRP URI."""
    match = _URI.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"] or 0)
    if port > 65535:
        return None
    host = match["host"].strip("[]")
    return MsrpUri(match["scheme"].lower(), host, port, match["session"] or "", match["transport"].lower())


def parse_path(text: str) -> tuple[MsrpUri, ...]:
    """The hops of the value of a path in SDP, the nearest one first; () if it is malformed or too long."""
    parts = text.split(" ")
    if len(text) > LONGEST_PATH or len(parts) > MOST_HOPS:
        return ()
    hops = tuple([uri for uri in map(parse_uri, parts) if uri is not None])
    return hops if len(hops) == len(parts) and all(hop.port for hop in hops) else ()


def uri_text(host: str, port: int, session: str) -> str:
    """The URI of one of our sessions, over TCP without TLS."""
    return f"msrp://[{host}]:{port}/{session};tcp" if ":" in host else f"msrp://{host}:{port}/{session};tcp"
