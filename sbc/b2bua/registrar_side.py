"""Registrations as the registrar inside sees them: each REGISTER that is passed to it, and what its answer says.

A REGISTER is passed on as what it is, not made anew: the Call-ID, the From tag and the CSeq are made of the phone's, so
that the registrar sees them in the phone's order, and the credentials are for the challenge that it gave.
"""

from __future__ import annotations

from collections.abc import Iterator

from sbc.b2bua import capabilities, crossing, hosts, network, registrations
from sbc.b2bua.contacts import Asked, Wish
from sbc.b2bua.context import Context, border_between, own_agent, uri_host
from sbc.sip import (
    Headers,
    NameAddress,
    RemoteProtocolError,
    Request,
    Response,
    SipError,
    escape_user,
    parse_name_address,
    parse_seconds,
    parse_uri,
    quote,
    unquote,
    wants_auth_int,
    without_auth_int,
)

_OURS = frozenset({"expires", "reg-id", "received", "pub-gruu", "temp-gruu"})
"""Contact parameters that do not cross: the first two are settled on each side by itself, the others are a registrar's
to give."""
_CREDENTIALS = ("Authorization", "Proxy-Authorization")
_CHALLENGES = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}
_GRUUS = ("pub-gruu", "temp-gruu")
_MOST_ROUTES = 8


def passed(context: Context, asked: Asked, listener: network.Listener, least: int, again: bool) -> Request:
    """The REGISTER for the registrar. `listener` is where it reaches us; `least`: seconds that it grants at least;
    `again`: it has refused this one already."""
    access = context.access
    request = asked.request
    disguised = context.registrations.disguised
    domain = asked.aor.rpartition("@")[2]
    host = request.request_uri.host
    headers = Headers()
    forwards = request.max_forwards
    headers.add("Max-Forwards", "70" if forwards is None else str(max(forwards - 1, 0)))
    headers.add("From", f"{_user(context, request.from_, asked.aor)};tag={disguised(request.from_.tag or '')}")
    headers.add("To", _user(context, request.to, asked.aor))
    headers.add("Call-ID", disguised(f"{request.call_id}\n{'again' if again else ''}"))
    headers.add("CSeq", f"{request.cseq.number} REGISTER")
    wanted = max(access.expires_inside, least)
    for wish in asked.wishes:
        headers.add("Contact", _contact(wish, listener, wanted))
    if asked.everything:
        headers.add("Contact", "*")
        headers.add("Expires", "0")
    if "Allow" in request.headers:
        headers.add("Allow", capabilities.allow(request))
    if "gruu" in map(str.lower, request.headers.values("Supported")):
        headers.add("Supported", "gruu")
    kept = request.headers.copy()
    for name in ("Expires", "Content-Disposition", "Content-Language", "MIME-Version", *_CREDENTIALS):
        kept.remove(name)
    source = context.network.zones[access.zone]
    crossing.cross_headers(kept, headers, border_between(source, source.trusted, listener, True))
    for name in _CREDENTIALS:
        for value in request.headers.get_all(name):
            headers.add(name, value)
    own_agent(context, headers, "User-Agent")
    return Request("REGISTER", f"sip:{host if host in access.domains else domain}", headers)


def _user(context: Context, address: NameAddress, aor: str) -> str:
    """A From or To value: the user in our domain."""
    access = context.access
    user, _, domain = aor.rpartition("@")
    try:
        uri = address.uri
        host = uri.host if uri.host in access.domains else domain
        text = f"sip:{uri.user}@{host}" if uri.user else f"sip:{host}"
    except SipError:
        text = f"sip:{escape_user(user)}@{domain}"
    return f"{address.display_name} <{text}>" if address.display_name else f"<{text}>"


def _contact(wish: Wish, listener: network.Listener, wanted: int) -> str:
    host, port = listener.advertised
    uri = f"sip:{wish.device.token}@{uri_host(host)}:{port}"
    if listener.transport != "UDP":
        uri += f";transport={listener.transport.lower()}"
    params = {name: value for name, value in wish.address.params.items() if name not in _OURS and _says_nowhere(value)}
    # a flow of several that goes is a matter of ours: the device stays where the registrar sees it
    stays = wish.expires or wish.device.flows.keys() - {wish.reg_id}
    return str(NameAddress("", uri, {**params, "expires": str(wanted if stays else 0)}))


def _says_nowhere(value: str | None, names: tuple[str, ...] = ()) -> bool:
    """Where a phone is, is our business alone; where the registrar is, that of the inside: no address, none of these
    `names`."""
    return value is None or not hosts.names_host(value, hosts.Border(True, True, names, ""))


# -- what it answers ---------------------------------------------------------------------------------------------------


def granted(response: Response, device: registrations.Device, wanted: int) -> tuple[int, NameAddress | None]:
    """Seconds that a 2xx says `device` is registered for, and its Contact there."""
    listed = False
    for value in response.headers.values("Contact"):
        try:
            address = parse_name_address(value)
            listed = True
            if address.uri.user == device.token:
                text = address.params.get("expires") or response.headers.get("Expires")
                return (wanted if text is None else parse_seconds(unquote(text))), address
        except SipError:
            continue
    if listed:
        return 0, None
    try:  # it does not say what is registered, as it should: what we asked for, unless it says something else
        return min(wanted, parse_seconds(response.headers.get("Expires") or str(wanted))), None
    except RemoteProtocolError:
        return wanted, None


def crossed(context: Context, asked: Asked, response: Response, zone: network.Zone) -> list[tuple[str, str]]:
    """The header fields of the registrar's answer that the phone gets. Challenges without `auth-int`, which protects
    bodies that we change; one that offers nothing else crosses where there is no body."""
    headers = Headers()
    listener = context.places.listener_of(asked.hop)
    assert listener is not None
    kept = response.headers.copy()
    kept.remove("Expires")
    trusted = context.network.zones[asked.hop.zone].trusted
    crossing.cross_headers(
        kept, headers, border_between(zone, True, listener, trusted)._replace(names=context.places.names(zone))
    )
    body, names = bool(asked.request.body), _CHALLENGES.values()
    challenges = [(name, without_auth_int(value)) for name in names for value in headers.get_all(name)]
    others = [(name, value) for name, value in headers if name not in names]
    return others + [(name, value) for name, value in challenges if not (body and wants_auth_int(value))]


def unanswerable(response: Response, headers: list[tuple[str, str]]) -> str:
    """Why a phone cannot answer a 401 or 407 of which these `headers` cross; "" if it can, or it is none. RFC 3261
    section 21.4.2: without a challenge it says nothing."""
    name = _CHALLENGES.get(response.status)
    if name is None or any(header == name for header, _ in headers):
        return ""
    said = response.headers.get_all(name)
    if not said:
        return f"the registrar's {response.status} has no {name}"
    if any(wants_auth_int(value) for value in said):
        return "the registrar's challenge wants auth-int for a REGISTER with a body, which stays behind"
    return "the registrar's challenge names its network: give it a realm without an address, such as its domain"


def service_route(response: Response) -> tuple[str, ...]:
    """RFC 3608: what requests of the user are to pass inside. The phone is told nothing of it."""
    routes = response.headers.values("Service-Route")[:_MOST_ROUTES]
    return tuple(route for route in routes if len(route) <= 256 and _is_address(route))


def _is_address(text: str) -> bool:
    try:
        return parse_name_address(text).uri.scheme in ("sip", "sips")
    except SipError:
        return False


def associated(context: Context, response: Response, zone: network.Zone) -> tuple[str, ...]:
    """P-Associated-URI (RFC 7315 section 4.1) as the phone is told it: users of our domains."""
    found = []
    for value in response.headers.values("P-Associated-URI")[:16]:
        try:
            address = parse_name_address(value)
            found.append(f"<{_in_our_domain(context, address, zone)}>")
        except SipError:
            continue
    return tuple(text for text in found if len(text) <= 256)


def gruus(context: Context, contact: NameAddress | None, zone: network.Zone) -> Iterator[tuple[str, str]]:
    """The GRUUs (RFC 5627) that the registrar has given a device: parameters for the phone's Contact."""
    for name in _GRUUS if contact is not None else ():
        text = (contact.params.get(name) if contact is not None else None) or ""
        try:
            address = NameAddress("", unquote(text))
            uri = address.uri
            if not zone.hidden:
                yield name, quote(str(uri))
            elif uri.user and "gr" in uri.params and _says_nowhere(uri.params["gr"], context.places.names(zone)):
                masked = parse_uri(_in_our_domain(context, address, zone))
                yield name, quote(str(masked.replace(params={"gr": uri.params["gr"]})))
        except SipError:
            continue


def _in_our_domain(context: Context, address: NameAddress, zone: network.Zone) -> str:
    domains, names, uri = context.access.domains, context.places.names(zone), address.uri
    is_ours = uri.host in domains
    beside = str(uri.replace(host="x.invalid")) if is_ours and uri.scheme in ("sip", "sips") else address.uri_text
    if not zone.hidden or (is_ours and _says_nowhere(beside, names)):
        return address.uri_text
    return hosts.masked_uri(address, hosts.Border(True, True, names, uri.host if is_ours else domains[0]))
