"""Redirection (RFC 3261 sections 8.1.3.4, 21.3): followed for the caller or passed on to it, as is set for who says it.

What a Contact means depends on who says it: our own address there is a call back into our routing, a configured peer is
that peer, anything else is an element beside the one that redirects.
"""

from __future__ import annotations

from sbc.b2bua import watching
from sbc.b2bua.call import Attempt, Call, Leg
from sbc.b2bua.context import Context, uri_host
from sbc.b2bua.hooks import CallView, Reject, Target, Targets
from sbc.b2bua.hosts import user_without_hosts
from sbc.b2bua.network import Redirection
from sbc.sip import NameAddress, Request, Response, SipError, Uri, parse_name_address

_FOLLOWED = frozenset({300, 301, 302})
"""305 names a proxy, 380 no place to call."""
_MOST = 10
"""Places that one call is sent on to; more redirections than that go round in a circle."""


def follow(context: Context, call: Call, attempt: Attempt, leg: Leg, response: Response) -> bool:
    """Make the Contacts of a 3xx the next targets; False if it is not followed, or leads nowhere new.

    Only configured peers are followed: whoever else is called would decide what we call next, as ourselves.
    """
    if leg.peer is None:
        return False
    if leg.how.redirect is not Redirection.FOLLOW or response.status not in _FOLLOWED:
        return False
    targets: list[Target] = []
    call.redirected.add(attempt.target.uri)
    for contact in contacts(response):
        for target in _targets(context, call, leg, contact.uri):
            if call.replaces_in not in ("", target.zone):
                continue  # the names of the dialog that it takes over are not for everybody
            if target.uri not in call.redirected and len(call.redirected) < _MOST:
                call.redirected.add(target.uri)
                targets.append(target if target.ring else target._replace(ring=attempt.target.ring))
    if not targets:
        context.decided(call, "call", "redirect", "not followed", f"{response.status} leads nowhere new")
        return False
    found = watching.without_silent(context, Targets("redirect", tuple(targets), ""), call.emergency)
    if isinstance(found, Reject):
        context.decided(call, "call", "redirect", "not followed", found.reason)
        return False
    targets = list(found.targets)
    where = ", ".join(target.uri for target in targets)
    context.decided(
        call, "call", "redirect", f"followed to {where}", f"{leg.hop.remote.host} answered {response.status}"
    )
    call.targets[:0] = targets
    return True


def contacts(response: Response) -> list[NameAddress]:
    """The Contacts of a 3xx that are SIP URIs, best q first (20.10)."""
    found: list[tuple[float, NameAddress]] = []
    for value in response.headers.values("Contact")[:_MOST]:
        try:
            address = parse_name_address(value)
            if address.uri.scheme in ("sip", "tel"):
                found.append((_q(address), address))
        except SipError:
            continue
    return [address for _, address in sorted(found, key=lambda each: -each[0])]


def _q(address: NameAddress) -> float:
    try:
        return min(max(float(address.params.get("q") or "1"), 0.0), 1.0)
    except ValueError:
        return 1.0


def _targets(context: Context, call: Call, leg: Leg, uri: Uri) -> tuple[Target, ...]:
    if uri.scheme == "tel" or uri.host in context.places.own_hosts:
        dialled = Request("INVITE", str(uri), call.a.invite.headers)
        view = CallView(dialled, leg.hop, leg.zone, leg.peer, len(context.calls), context.draining)
        route = watching.route(context, view, call.emergency)
        return route.targets if isinstance(route, Targets) else ()
    peer = next((peer for peer in context.network.peers.values() if peer.host.lower() == uri.host), None)
    if peer is not None:
        port = uri.port or peer.port
        return (Target(peer.zone, _uri(uri, uri.host, port), peer.host, port, peer.transports, peer.name),)
    transport = uri.params.get("transport")
    transports = (transport.upper(),) if transport else (leg.hop.transport,)
    return (Target(leg.zone.name, _uri(uri, uri.host, uri.port), uri.host, uri.port, transports, None),)


def _uri(uri: Uri, host: str, port: int | None) -> str:
    where = uri_host(host) if port is None else f"{uri_host(host)}:{port}"
    kind = ";user=phone" if uri.params.get("user") == "phone" else ""
    return f"sip:{uri.user}@{where}{kind}" if uri.user else f"sip:{where}"


def passed_contacts(leg: Leg, response: Response, our_place: str) -> list[str]:
    """The Contacts of a 3xx on `leg` as the caller's side can use them, the same users at us; none where it is not to
    be passed on."""
    passed: list[str] = []
    if leg.how.redirect is not Redirection.PASS:
        return passed
    for address in contacts(response):
        user = user_without_hosts(address.uri.user or "")
        if user:
            q = address.params.get("q")
            rest = f";q={q}" if q and q.replace(".", "", 1).isdigit() else ""
            is_number = address.uri.scheme == "tel" or address.uri.params.get("user") == "phone"
            passed.append(f"<sip:{user}@{our_place}{';user=phone' if is_number else ''}>{rest}")
    return passed
