"""Which transaction a message belongs to (17.1.3, 17.2.3), and where a response goes (18.2.1, 18.2.2, RFC 3581)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from sbc.sip.grammar import bracketed, write_parameters
from sbc.sip.header_values import MAGIC_COOKIE, Via, parse_via
from sbc.sip.message import Request
from sbc.sip.wire import Address, Hop

_STREAM_PORTS = {"TCP": 5060, "TLS": 5061}
"""Transports on which the responding side may open a connection, with their default ports."""


class SentBy(NamedTuple):
    """What our Via says of one of our sockets."""

    host: str
    port: int | None
    """Both as they are read back."""
    head: str
    """The Via's value up to its branch."""
    tail: str
    """What follows the branch: over UDP, `rport` is asked for (RFC 3581 section 3)."""

    @classmethod
    def of(cls, transport: str, written: str) -> SentBy:
        """`written` is "host:port". Raises RemoteProtocolError if it is not."""
        head = f"SIP/2.0/{transport} {written}"
        read = parse_via(head)
        return cls(read.host, read.port, f"{head};branch=", ";rport" if transport == "UDP" else "")


def server_key(request: Request, via: Via, zone: str, method: str, to_tag: str) -> str:
    """What identifies the server transaction of `method` that `request` belongs to.

    `via` is the topmost one as it was received. With the magic cookie: branch, sent-by, method (17.2.3). Without it
    (RFC 2543): Request-URI, tags, Call-ID, CSeq number and the whole Via. `method` is the request's, but INVITE for ACK
    and for the target of a CANCEL; `to_tag` is what the To of the transaction's request had. The zone is part of the
    key, so that nobody in one zone can touch a transaction of another.
    """
    branch = via.params.get("branch")
    if branch is not None and branch.startswith(MAGIC_COOKIE):
        return usual_key(via, zone, method)
    return f"{request.uri} {request.from_.tag} {to_tag} {request.call_id} {request.cseq.number} {via} {method} {zone}"


def usual_key(via: Via, zone: str, method: str) -> str:
    """`server_key` where the branch has the magic cookie."""
    return f"{via.params['branch']} {via.host}:{via.port} {method} {zone}"


def is_rfc2543(via: Via) -> bool:
    """Whether a Via's branch identifies no transaction by itself."""
    branch = via.params.get("branch")
    return branch is None or not branch.startswith(MAGIC_COOKIE)


def note_source(request: Request, via: Via, source: Address) -> None:
    """Write where a request came from into its topmost Via, if that is to be written there."""
    value = noted(via, source)
    if value is not None:
        request.headers.replace_first("Via", value)


def noted(via: Via, source: Address) -> str | None:
    """The value of a request's topmost Via with where the request came from: `received` where the sent-by says
    otherwise (18.2.1), and `rport` with `received` where `rport` was asked for (RFC 3581 section 4). What a sender
    forged there is replaced. None: it stays as it is."""
    params = via.params
    if "rport" in params:
        changed = {**params, "received": source.host, "rport": str(source.port)}
    elif via.host != source.host:
        changed = {**params, "received": source.host}
    elif "received" in params:
        changed = {name: value for name, value in params.items() if name != "received"}
    else:
        return None
    port = "" if via.port is None else f":{via.port}"
    return f"{via.protocol}/{via.transport} {bracketed(via.host)}{port}{write_parameters(changed)}"


def response_hop(hop: Hop, via: Via) -> Hop:
    """Where responses go to a request that came by `hop` with the topmost Via `via`.

    On a stream: back on its connection. In datagrams: to the source host, at the source port if `rport` was asked for,
    else at the port of sent-by (18.2.2, RFC 3581 section 4). A `maddr` is ignored, though 18.2.2 would send there: it
    would let anybody have our answers sent to whomever he names, and the source is where the request was sent from.
    """
    remote = hop.remote
    if hop.transport != "UDP" or "rport" in via.params:
        return hop
    port = via.port or 5060
    if port == remote.port:
        return hop
    return Hop(hop.zone, hop.transport, hop.local, Address(remote.host, port))


def fallback_address(hop: Hop, via: Via) -> Address | None:
    """Where to open a connection for responses if the request's own is gone (18.2.2); None: nowhere."""
    default = _STREAM_PORTS.get(hop.transport)
    return None if default is None else Address(hop.remote.host, via.port or default)


@lru_cache(maxsize=1024)
def is_unicast(address: Address) -> bool:
    """Whether something can be sent to this address alone: neither multicast, broadcast, unspecified nor port 0."""
    host = address.host
    if address.port == 0:
        return False
    if ":" in host:
        if host.startswith("ff") or host == "::":
            return False
        if "." not in host:
            return True
        host = host.rpartition(":")[2]  # an IPv4 address mapped into IPv6
    first = host.partition(".")[0]
    return not first.isdigit() or 0 < int(first) < 224
