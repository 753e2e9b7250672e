"""What a REGISTER asks for (RFC 3261 section 10.3, RFC 5626 section 6): each Contact as the wish of one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Reject
from sbc.b2bua.locating import address_of_record, domain_of
from sbc.b2bua.network import Access
from sbc.b2bua.registrations import Device
from sbc.sip import (
    Hop,
    NameAddress,
    RemoteProtocolError,
    Request,
    TransactionId,
    parse_name_address,
    parse_seconds,
    unquote,
    uri_equal,
)

DEFAULT_EXPIRES = 3600
"""10.2.1.1: where the phone leaves it to us, and (10.3 step 6) where it cannot be read."""
_KNOWN_EXTENSIONS = frozenset({"path", "outbound", "gruu"})
_LONGEST = {"Call-ID": 256, "To": 256, "From": 512, "Contact": 512, "Path": 1024}
"""Characters of what is kept, or passed on, of one value."""
_MOST_PATHS = 8
_MAX_REG_ID = 2**31 - 1


class Wish(NamedTuple):
    """One Contact."""

    address: NameAddress
    written: str
    expires: int
    """Seconds; 0: it is to go."""
    device: Device
    """Perhaps one that is not in the table yet."""
    reg_id: int


@dataclass(slots=True)
class Asked:
    """A REGISTER, read."""

    request: Request
    transaction: TransactionId
    hop: Hop
    aor: str
    wishes: tuple[Wish, ...] = ()
    """Empty: the phone asks what is registered, or for `everything` to go."""
    everything: bool = False
    """Contact: * (10.2.2)."""
    path: tuple[str, ...] = ()


def read(context: Context, request: Request, transaction: TransactionId, hop: Hop) -> Asked | Reject:
    """What `request` asks for, or why it is refused whoever asks. Nothing is changed."""
    access = context.access
    try:
        return _read(context, access, request, transaction, hop)
    except RemoteProtocolError as fault:
        return Reject("registrations", 400, fault.reason)


def _read(context: Context, access: Access, request: Request, transaction: TransactionId, hop: Hop) -> Asked | Reject:
    headers = request.headers
    unknown = ", ".join(_unknown_extensions(request))
    if unknown:
        return _refused(420, f"requires {unknown}", ("Unsupported", unknown))
    for name, longest in _LONGEST.items():
        if any(len(value) > longest for value in headers.values(name)):
            return _refused(400, f"{name} is longer than {longest} characters")
    aor = address_of_record(context, request.to.uri)
    # 10.3 step 5: "If the address-of-record is not valid for the domain in the Request-URI, the registrar MUST send a
    # 404"
    if aor is None or domain_of(context, request.request_uri) is None:
        if aor is None and domain_of(context, request.to.uri) is not None:
            return _refused(404, "To names no user")
        return _refused(404, f"{(request.request_uri if aor else request.to.uri).host} is no domain of ours")
    path = tuple(headers.values("Path"))
    contacts = [(value, parse_name_address(value)) for value in headers.values("Contact")]
    if len(contacts) > access.max_contacts or len(path) > _MOST_PATHS:
        return _refused(403, f"{len(contacts)} contacts and {len(path)} hops at once")
    asked = Asked(request, transaction, hop, aor, path=path)
    if any(address.uri_text == "*" for _, address in contacts):
        # 10.3 step 6: "If the request has additional Contact fields or an expiration time other than zero, the request
        # is invalid"
        if len(contacts) > 1 or expires_of(request, contacts[0][1]):
            return _refused(400, "Contact: * beside others, or without Expires: 0")
        asked.everything = True
        return asked
    flows = _flows(request, contacts)
    if isinstance(flows, Reject):
        return flows
    wishes: dict[tuple[str, int], Wish] = {}
    for (written, address), reg_id in zip(contacts, flows, strict=True):
        wish = _wish(context, asked, written, address, reg_id)
        if 0 < wish.expires < access.expires_least:
            least = str(access.expires_least)
            return _refused(423, f"wants {wish.expires} s only", ("Min-Expires", least))
        former = wishes.get((wish.device.id, reg_id))
        if former is None or (wish.expires and not former.expires):
            # who takes one contact of a device back and brings another one wants it moved
            wishes[wish.device.id, reg_id] = wish
    asked.wishes = tuple(wishes.values())
    return asked


def is_usual(context: Context, request: Request, path: tuple[str, ...]) -> bool:
    """Whether there is nothing in a REGISTER for which it might be refused though one like it, with this Path, was
    accepted before."""
    headers = request.headers
    if len(request.call_id) > _LONGEST["Call-ID"] or any(_unknown_extensions(request)):
        return False
    if ("Path" in headers or path) and tuple(headers.values("Path")) != path:
        return False
    try:
        return domain_of(context, request.request_uri) is not None
    except RemoteProtocolError:
        return False


def _unknown_extensions(request: Request) -> list[str]:
    headers = request.headers
    extensions = [tag for name in ("Require", "Proxy-Require") if name in headers for tag in headers.values(name)]
    return [tag for tag in extensions if tag.lower() not in _KNOWN_EXTENSIONS]


def _refused(status: int, reason: str, *headers: tuple[str, str]) -> Reject:
    return Reject("registrations", status, reason, headers=headers)


def _flows(request: Request, contacts: list[tuple[str, NameAddress]]) -> list[int] | Reject:
    """The reg-id of each contact; 0 where there is none, or it does not count (RFC 5626 section 6)."""
    if "Supported" not in request.headers or "outbound" not in map(str.lower, request.headers.values("Supported")):
        return [0] * len(contacts)
    found = []
    for _, address in contacts:
        text = address.params.get("reg-id") or ""
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
        found.append(number if number <= _MAX_REG_ID and address.params.get("+sip.instance") else 0)
    numbered = sum(map(bool, found))
    if numbered > 1:
        return _refused(400, "several contacts with a reg-id")
    # "If the ... first hop ... does not have the ob parameter ... the registrar MUST send a 439"
    path = request.headers.values("Path")
    if numbered and len(request.headers.values("Via")) > 1:
        first_hop = parse_name_address(path[-1]).uri.params if path else {}
        if "ob" not in first_hop:
            return _refused(439, "a reg-id, and a proxy before us that does not know it")
    return found


def expires_of(request: Request, address: NameAddress) -> int:
    """Seconds that a Contact is to be registered for (10.2.1.1)."""
    text = address.params.get("expires") or request.headers.get("Expires")
    if text is None:
        return DEFAULT_EXPIRES
    try:
        return parse_seconds(unquote(text))
    except RemoteProtocolError:
        return DEFAULT_EXPIRES


def _wish(context: Context, asked: Asked, written: str, address: NameAddress, reg_id: int) -> Wish:
    uri = address.uri
    if uri.scheme != "sip":
        raise RemoteProtocolError(400, f"a contact of scheme {uri.scheme}")
    device = _device(context, asked, address)
    return Wish(address, written, expires_of(asked.request, address), device, reg_id)


def _device(context: Context, asked: Asked, address: NameAddress) -> Device:
    """The device that a contact belongs to. One without `+sip.instance` is known by its contact; when that changes, as
    it does behind a NAT that the phone has noticed, by the Call-ID that it goes on with (10.2: "A UA SHOULD use the
    same Call-ID ... during one boot cycle")."""
    registrations = context.registrations
    instance = address.params.get("+sip.instance")
    if instance:
        name = instance
    else:
        uri, call_id = address.uri, asked.request.call_id
        for device in registrations.by_aor(asked.aor):
            for flow in device.flows.values():
                known = parse_name_address(flow.written)
                if "+sip.instance" in known.params:
                    break
                if uri_equal(known.uri, uri) or (flow.call_id == call_id and known.uri.user == uri.user):
                    return device
        name = address.uri_text
    return registrations.device(asked.aor, name)
