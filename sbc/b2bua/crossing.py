"""What crosses the border: the one list of header fields that are taken over from one leg to the other (default deny).

Messages of a leg are built, not edited: Via, Route, Record-Route, Contact, Call-ID, tags, CSeq, Allow, Supported,
Require and everything else that this list does not name are our own or absent (RFC 5853 section 3.1). Where the
zone that a message comes from is *hidden*, what crosses is made to name us in place of its hosts, and a value that
still contains a known name of that side does not cross at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import quote as escaped

from sbc.b2bua import privacy
from sbc.b2bua.bodies import masked_reference
from sbc.b2bua.hosts import Border, display_name, masked_uri, may_name_host, names_host
from sbc.sip import (
    Headers,
    NameAddress,
    Request,
    SipError,
    parse_name_address,
    parse_reason,
    quote,
    split_list,
    unescape,
    without_auth_int,
)


class Treatment(Enum):
    COPY = auto()
    """As it is; not at all when it names a host of a hidden zone, or holds any IP address out of one."""
    CREDENTIALS = auto()
    """As COPY; but the address of who they are for may stand in them, since a digest names what is asked for (RFC 3261
    section 22.4)."""
    TEXT = auto()
    """Words of a user: as they are; not at all where they may name any host, known or not."""
    UNHIDDEN = auto()
    """As it is, out of zones that are not hidden; otherwise not at all."""
    IDENTITY = auto()
    """Who the user is: from our trust domain only (RFC 3325), hosts replaced by ours; out of it not against the user's
    wish."""
    PREFERRED = auto()
    """Who the user wants to be called: as identity where none is asserted."""
    REDIRECTION = auto()
    """Where the call has been: hosts replaced by ours; what users withhold leaves the trust domain as anonymous."""
    REFERRER = auto()
    """Who transfers: hosts replaced by ours, without parameters, which name a signed body that the other Refer-To has
    invalidated (RFC 3892 section 5)."""
    PRIVACY = auto()
    """As it is; out of the trust domain less what we have done."""
    REFERENCE = auto()
    """URIs: those of parts of the message's own body (cid:) with our host where they name an address, others only out
    of zones that are not hidden."""
    REASON = auto()
    """Protocol and cause; the text only where it names no host."""
    WARNING = auto()
    """The code; we are the agent; the text only where it names no host."""
    SECONDS = auto()
    """The number of seconds and nothing else."""
    CHALLENGE = auto()
    """As copied, without quality of protection auth-int: bodies change on the way (RFC 7616 section 3.4.3)."""
    ENTITY_TAG = auto()
    """A token; not at all where it is an IP address or holds a name of a hidden zone."""


class Rule(NamedTuple):
    name: str
    """As written."""
    treatment: Treatment
    why: str
    """Why it crosses."""
    outside: bool = False
    """Outside calls only."""


CROSSING: tuple[Rule, ...] = (
    Rule("Accept", Treatment.COPY, "RFC 3261 20.1: which bodies the other side may send"),
    Rule("Accept-Language", Treatment.COPY, "RFC 3261 20.3: the user's languages"),
    Rule("Accept-Resource-Priority", Treatment.COPY, "RFC 4412: as Resource-Priority"),
    Rule("Alert-Info", Treatment.UNHIDDEN, "RFC 3261 20.4: a URI of a ring tone, mostly on a private server"),
    Rule("Allow-Events", Treatment.COPY, "RFC 6665 8.2.2: what may be subscribed to", outside=True),
    Rule("Authentication-Info", Treatment.COPY, "RFC 7615: as Authorization", outside=True),
    Rule(
        "Authorization", Treatment.CREDENTIALS, "RFC 3261 22: digest is between the user and the server that challenged"
    ),
    Rule("Call-Info", Treatment.REFERENCE, "RFC 3261 20.9: a page or picture; RFC 7852: data of an emergency call"),
    Rule("Content-Disposition", Treatment.COPY, "RFC 3261 20.11: says what the body is for"),
    Rule("Content-Language", Treatment.COPY, "RFC 3261 20.13: says what the body is"),
    Rule("Date", Treatment.COPY, "RFC 3261 20.17: phones set their clock by it"),
    Rule("Diversion", Treatment.REDIRECTION, "RFC 5806: voice mail needs to know who was called first"),
    Rule("Error-Info", Treatment.UNHIDDEN, "RFC 3261 20.18: a URI of an announcement, mostly on a private server"),
    Rule("Event", Treatment.COPY, "RFC 6665 8.2.1: what a subscription or publication is about", outside=True),
    Rule("Expires", Treatment.SECONDS, "RFC 3261 20.19: how long the invitation is valid"),
    Rule("Geolocation", Treatment.REFERENCE, "RFC 6442: where the caller is, for emergency calls above all"),
    Rule("Geolocation-Error", Treatment.TEXT, "RFC 6442: why a location was of no use"),
    Rule("Geolocation-Routing", Treatment.COPY, "RFC 6442: whether the call may be routed by it"),
    Rule("History-Info", Treatment.REDIRECTION, "RFC 7044: as Diversion"),
    Rule("Info-Package", Treatment.COPY, "RFC 6086: names what an INFO body is"),
    Rule("Min-Expires", Treatment.SECONDS, "RFC 3261 20.23: how long a subscription has to be at least", outside=True),
    Rule("MIME-Version", Treatment.COPY, "RFC 3261 20.24: says what the body is"),
    Rule("Organization", Treatment.UNHIDDEN, "RFC 3261 20.25: names who runs the other side"),
    Rule("P-Asserted-Identity", Treatment.IDENTITY, "RFC 3325: the caller's number as the network vouches for it"),
    Rule("P-Early-Media", Treatment.COPY, "RFC 5009: authorises early media"),
    Rule("P-Preferred-Identity", Treatment.PREFERRED, "RFC 3325: which of its numbers a trusted caller shows"),
    Rule("Priority", Treatment.COPY, "RFC 3261 20.26: urgency as the caller sees it"),
    Rule("Privacy", Treatment.PRIVACY, "RFC 3323: the caller's wish must arrive"),
    Rule("Proxy-Authenticate", Treatment.CHALLENGE, "RFC 3261 22: as Authorization"),
    Rule("Proxy-Authorization", Treatment.CREDENTIALS, "RFC 3261 22: as Authorization"),
    Rule("Reason", Treatment.REASON, "RFC 3326: why a call ends; Q.850 causes for gateways"),
    Rule("Recv-Info", Treatment.COPY, "RFC 6086: which INFO packages are welcome"),
    Rule("Referred-By", Treatment.REFERRER, "RFC 3892: who has transferred the caller"),
    Rule("Refer-Sub", Treatment.COPY, "RFC 4488: whether a REFER makes a subscription"),
    Rule("Remote-Party-ID", Treatment.IDENTITY, "draft-ietf-sip-privacy: older form of P-Asserted-Identity"),
    Rule("Reply-To", Treatment.UNHIDDEN, "RFC 3261 20.31: names a host"),
    Rule("Resource-Priority", Treatment.COPY, "RFC 4412: emergency services depend on it"),
    Rule("Retry-After", Treatment.SECONDS, "RFC 3261 20.33: when to try again"),
    Rule("Server", Treatment.UNHIDDEN, "RFC 3261 20.35: names a product, and with it its weaknesses"),
    Rule("SIP-ETag", Treatment.ENTITY_TAG, "RFC 3903 11.3.1: names a publication at its server", outside=True),
    Rule("SIP-If-Match", Treatment.ENTITY_TAG, "RFC 3903 11.3.2: as SIP-ETag", outside=True),
    Rule("Subject", Treatment.TEXT, "RFC 3261 20.36: the user's words"),
    Rule("Subscription-State", Treatment.COPY, "RFC 6665 8.2.3: how a subscription stands", outside=True),
    Rule("Suppress-If-Match", Treatment.ENTITY_TAG, "RFC 5839 5.2: as SIP-ETag", outside=True),
    Rule("User-Agent", Treatment.UNHIDDEN, "RFC 3261 20.41: as Server"),
    Rule("User-to-User", Treatment.COPY, "RFC 7433: call centres carry their call data in it"),
    Rule("Warning", Treatment.WARNING, "RFC 3261 20.43: why a request was refused"),
    Rule("WWW-Authenticate", Treatment.CHALLENGE, "RFC 3261 22: as Authorization"),
)


def cross_headers(received: Headers, built: Headers, border: Border, *, outside: bool = False) -> None:
    """Add to `built` the header fields of `received` that cross, treated as `CROSSING` says. `outside`: it is of no
    call."""
    if not border.to_trusted and "Privacy" in received:
        border = _as_wished(border, privacy.wishes(received))
    wished = border.wished
    for rule, value in received.select(_OUTSIDE_RULES if outside else _RULES):
        if wished and not wished.isdisjoint(privacy.WITHHELD.get(rule.name, privacy.NOTHING)):
            continue
        crossed = _TREATMENTS[rule.treatment](value, border)
        if crossed:
            built.add(rule.name, crossed)
    if "P-Preferred-Identity" in built:
        _prefer(received, built)


def _as_wished(border: Border, wished: frozenset[str]) -> Border:
    """`header`: nothing that names a host, whatever zone it is of (RFC 3323 section 5.1)."""
    return border._replace(wished=wished, hidden=border.hidden or "header" in wished)


def _prefer(received: Headers, built: Headers) -> None:
    """RFC 3325 section 9.2: the preferred identity of a user whom we believe becomes the asserted one where there is
    none; it goes no further itself."""
    if "P-Asserted-Identity" not in received:
        for value in built.get_all("P-Preferred-Identity"):
            built.add("P-Asserted-Identity", value)
    built.remove("P-Preferred-Identity")


def originator(request: Request, border: Border) -> str:
    """The From of `request` for the other leg, without tag."""
    if not border.to_trusted and "user" in privacy.wishes(request.headers):
        return privacy.ANONYMOUS
    return crossed_identity(request.from_, border)


def crossed_identity(address: NameAddress, border: Border) -> str:
    """A From or To value for the other leg, without tag: who it is stays, where it is becomes us."""
    if not border.hidden:
        return _name_addr(address.display_name, address.uri_text)
    return _name_addr(display_name(address, border), masked_uri(address, border))


def addressed(to: NameAddress, uri: str, border: Border) -> str:
    """A To value for a target: the display name as dialled, the target's own URI."""
    return _name_addr(display_name(to, border), uri)


def _name_addr(name: str, uri: str) -> str:
    return f"{name} <{uri}>" if name else f"<{uri}>"


def _copied(value: str, border: Border) -> str:
    return "" if border.hidden and names_host(value, border) else value


def _credentials(value: str, border: Border) -> str:
    if not border.hidden or not names_host(value, border):
        return value
    if not border.there or border.there in border.names:
        return ""
    rest = re.sub(rf"(?<![\w.]){re.escape(border.there)}(?![\w.])", "", value)
    return "" if names_host(rest, border) else value


def _text(value: str, border: Border) -> str:
    return "" if border.hidden and may_name_host(value, border) else value


def _unhidden(value: str, border: Border) -> str:
    return "" if border.hidden else value


def _identity(value: str, border: Border) -> str:
    if not border.trusted:
        return ""
    if not border.to_trusted and _PRIVATE_PARTY.search(value):
        return ""
    return _addresses(value, border, withheld=False)


_PRIVATE_PARTY = re.compile(r";\s*privacy\s*=\s*\"?(?!off\b)\w", re.IGNORECASE)
"""Of a Remote-Party-ID or Diversion; it is told to nobody who is not trusted, as P-Asserted-Identity with Privacy."""
_PRIVATE_ENTRY = re.compile(r"[?&]privacy=(?!none\b)\w[^>]*>", re.IGNORECASE)
"""Of a History-Info."""


def _redirection(value: str, border: Border) -> str:
    withheld = not border.wished.isdisjoint(privacy.REDIRECTIONS_WITHHELD)
    return _addresses(value, border, withheld)


def _addresses(value: str, border: Border, withheld: bool) -> str:
    """A list of addresses. `withheld`: none of them leaves the trust domain."""
    if not border.hidden and (border.to_trusted or not (withheld or "privacy" in value.lower())):
        return value
    crossed = []
    for part in split_list(value):
        try:
            address = parse_name_address(part)
        except SipError:
            continue
        params = "".join(
            f";{name}" if text is None else f";{name}={text}"
            for name, text in address.params.items()
            if name != "tag" and (text is None or _is_harmless(name, text, border))
        )
        if not border.to_trusted and (withheld or _PRIVATE_PARTY.search(part) or _PRIVATE_ENTRY.search(part)):
            crossed.append(f"<{privacy.ANONYMOUS_URI}>{params}")
        elif border.hidden:
            uri = masked_uri(address, border)
            uri += _uri_headers(address, border) if uri.startswith("sip") else ""
            crossed.append(_name_addr(display_name(address, border), uri) + params)
        else:
            crossed.append(part)
    return ", ".join(crossed)


def _uri_headers(address: NameAddress, border: Border) -> str:
    """Reason and Privacy in the URI of a History-Info entry (RFC 7044 sections 5 and 10.1): why the call went on from
    there, and what may be told of it."""
    uri_text = address.uri_text
    if "?" not in uri_text:
        return ""
    kept = []
    for field in uri_text.partition("?")[2].split("&"):
        name, _, value = field.partition("=")
        treatment = {"reason": _reason, "privacy": _copied}.get(name.lower())
        text = treatment(unescape(value), border) if treatment is not None else ""
        if text:
            kept.append(f"{name}={escaped(text, safe=_UNRESERVED)}")
    return "?" + "&".join(kept) if kept else ""


_UNRESERVED = "-_.!~*'()"


_is_index = re.compile(r"\d+(?:\.\d+)*").fullmatch


def _is_harmless(name: str, text: str, border: Border) -> bool:
    """A parameter's value. The indices of History-Info (RFC 7044 section 5) are no addresses, though they look like
    some."""
    if name in ("index", "rc", "mp", "np"):
        return _is_index(text) is not None
    return not may_name_host(text, border)


def _reason(value: str, border: Border) -> str:
    if not border.hidden:
        return value
    kept = []
    for part in split_list(value):
        try:
            reason = parse_reason(part)
        except SipError:
            continue
        if may_name_host(reason.protocol, border):
            continue
        cause = "" if reason.cause is None else f";cause={reason.cause}"
        text = f";text={quote(reason.text)}" if reason.text and not may_name_host(reason.text, border) else ""
        kept.append(f"{reason.protocol}{cause}{text}")
    return ", ".join(kept)


def _referrer(value: str, border: Border) -> str:
    try:
        return crossed_identity(parse_name_address(value), border)
    except SipError:  # it is optional (RFC 3892 section 2.1)
        return ""


EMPTY = '""'
_WARNING = re.compile(r'(\d{3})\s+[^\s"]+\s+("(?:[^"\\]|\\.)*")')


def _warning(value: str, border: Border) -> str:
    if not border.hidden:
        return value
    return ", ".join(
        f"{code} {border.our_host} {EMPTY if may_name_host(text, border) else text}"
        for code, text in _WARNING.findall(value)
    )


def _preferred(value: str, border: Border) -> str:
    return _identity(value, border)


def _privacy(value: str, border: Border) -> str:
    crossed = _copied(value, border)
    return crossed if border.to_trusted else privacy.left(crossed)


def _reference(value: str, border: Border) -> str:
    if not border.hidden and not ("cid:" in value.lower() and names_host(value, border)):
        return value
    kept = []
    for part in split_list(value):
        if part.lower().startswith("<cid:"):
            kept.append(masked_reference(part, border) if border.hidden or names_host(part, border) else part)
        elif not border.hidden:
            kept.append(part)
    return ", ".join(filter(None, kept))


def _seconds(value: str, border: Border) -> str:
    digits = re.match(r"\d{1,10}", value)
    return digits[0] if digits else ""


def _challenge(value: str, border: Border) -> str:
    return _copied(without_auth_int(value), border)


_is_entity_tag = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+").fullmatch
_LONE_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")


def _entity_tag(value: str, border: Border) -> str:
    if not border.hidden:
        return value
    known = any(name in value.lower() for name in border.names if "." in name)
    return "" if known or not _is_entity_tag(value) or _LONE_IPV4.search(value) else value


_TREATMENTS: dict[Treatment, Callable[[str, Border], str]] = {
    Treatment.COPY: _copied,
    Treatment.CREDENTIALS: _credentials,
    Treatment.TEXT: _text,
    Treatment.UNHIDDEN: _unhidden,
    Treatment.IDENTITY: _identity,
    Treatment.PREFERRED: _preferred,
    Treatment.REDIRECTION: _redirection,
    Treatment.REFERRER: _referrer,
    Treatment.PRIVACY: _privacy,
    Treatment.REFERENCE: _reference,
    Treatment.REASON: _reason,
    Treatment.WARNING: _warning,
    Treatment.SECONDS: _seconds,
    Treatment.CHALLENGE: _challenge,
    Treatment.ENTITY_TAG: _entity_tag,
}
_OUTSIDE_RULES = {rule.name.lower(): rule for rule in CROSSING}
_RULES = {name: rule for name, rule in _OUTSIDE_RULES.items() if not rule.outside}
