"""New calls as policies see them, in a small network with a public and a private side."""

from __future__ import annotations

from sbc.b2bua import CallView, Listener, Network, Peer, Zone
from sbc.sip import Address, Hop, Limits, Request, parse

PUBLIC = Address("192.0.2.1", 5060)
PRIVATE = Address("10.0.0.1", 5060)
PBX = Peer("pbx", "private", "10.0.0.5")
TRUNK = Peer("trunk", "public", "sip.carrier.example", 5080, ("TCP",))


def zone(name: str, local: Address, *, hidden: bool = True, open: bool = False, domains: tuple[str, ...] = ()) -> Zone:
    listener = Listener("UDP", local, local)
    return Zone(name, (listener,), hidden=hidden, open=open, domains=frozenset(domains))


def network(*peers: Peer, open: bool = True) -> Network:
    zones = {
        "public": zone("public", PUBLIC, hidden=False, open=open, domains=("example.com",)),
        "private": zone("private", PRIVATE),
    }
    return Network(zones, {peer.name: peer for peer in peers})


def view(
    where: Network,
    uri: str = "sip:1001@192.0.2.1",
    *,
    zone: str = "public",
    peer: Peer | None = None,
    method: str = "INVITE",
    calls: int = 0,
    draining: bool = False,
) -> CallView:
    """A call that comes into `zone`, from `peer` or from a stranger."""
    data = (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <{uri}>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\nContact: <sip:a@b>\r\n\r\n"
    )
    request = parse(data.encode(), Limits())
    assert isinstance(request, Request)
    local = where.zones[zone].listeners[0].local
    hop = Hop(zone, "UDP", local, Address("198.51.100.7", 5070))
    return CallView(request, hop, where.zones[zone], peer, calls, draining)
