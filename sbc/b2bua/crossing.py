"""What crosses the border: the one list of header fields that are taken over from one leg to the other (default deny).

Messages of a leg are built, not edited: Via, Route, Record-Route, Contact, Call-ID, tags, CSeq, Allow, Supported,
Require, Server and everything else that this list does not name are our own or absent (RFC 5853 section 3.1). Where the
zone that a message comes from is *hidden*, what crosses is made to name us in place of its hosts, and a value that
still contains a known name of that side does not cross at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from sbc.sip import Headers, NameAddress, SipError, parse_name_address


class Treatment(Enum):
    COPY = auto()
    """As it is; not at all when it names a host of a hidden zone."""
    UNHIDDEN = auto()
    """As it is, out of zones that are not hidden; otherwise not at all."""
    IDENTITY = auto()
    """Who the user is: from configured peers only (RFC 3325 trust), hosts replaced by ours."""
    REDIRECTION = auto()
    """Where the call has been: hosts replaced by ours."""
    REASON = auto()
    """Protocol and cause; the text only where it names no host."""
    WARNING = auto()
    """The code; we are the agent; the text only where it names no host."""
    SECONDS = auto()
    """The number of seconds and nothing else."""


class Rule(NamedTuple):
    name: str
    """As written."""
    treatment: Treatment
    why: str
    """Why it crosses."""


CROSSING: tuple[Rule, ...] = (
    Rule(
        "Accept", Treatment.COPY, "RFC 3261 20.1: which bodies the other user agent understands; bodies pass end to end"
    ),
    Rule("Accept-Language", Treatment.COPY, "RFC 3261 20.3: the user's languages"),
    Rule("Alert-Info", Treatment.UNHIDDEN, "RFC 3261 20.4: a URI of a ring tone, mostly on a private server"),
    Rule("Authorization", Treatment.COPY, "RFC 3261 22: digest is between the user and the server that challenged"),
    Rule("Call-Info", Treatment.UNHIDDEN, "RFC 3261 20.9: a URI of a page or picture, mostly on a private server"),
    Rule("Content-Disposition", Treatment.COPY, "RFC 3261 20.11: says what the body is for"),
    Rule("Content-Language", Treatment.COPY, "RFC 3261 20.13: says what the body is"),
    Rule("Date", Treatment.COPY, "RFC 3261 20.17: phones set their clock by it"),
    Rule("Diversion", Treatment.REDIRECTION, "RFC 5806: voice mail needs to know who was called first"),
    Rule("Error-Info", Treatment.UNHIDDEN, "RFC 3261 20.18: a URI of an announcement, mostly on a private server"),
    Rule("Expires", Treatment.SECONDS, "RFC 3261 20.19: how long the invitation is valid"),
    Rule("History-Info", Treatment.REDIRECTION, "RFC 7044: as Diversion"),
    Rule("Info-Package", Treatment.COPY, "RFC 6086: names what an INFO body is"),
    Rule("MIME-Version", Treatment.COPY, "RFC 3261 20.24: says what the body is"),
    Rule("Organization", Treatment.UNHIDDEN, "RFC 3261 20.25: names who runs the other side"),
    Rule("P-Asserted-Identity", Treatment.IDENTITY, "RFC 3325: the caller's number as the network vouches for it"),
    Rule("P-Early-Media", Treatment.COPY, "RFC 5009: authorises early media"),
    Rule("Priority", Treatment.COPY, "RFC 3261 20.26: urgency as the caller sees it"),
    Rule("Privacy", Treatment.COPY, "RFC 3323: the caller's wish must arrive"),
    Rule("Proxy-Authenticate", Treatment.COPY, "RFC 3261 22: as Authorization"),
    Rule("Proxy-Authorization", Treatment.COPY, "RFC 3261 22: as Authorization"),
    Rule("Reason", Treatment.REASON, "RFC 3326: why a call ends; Q.850 causes for gateways"),
    Rule("Recv-Info", Treatment.COPY, "RFC 6086: which INFO packages are welcome"),
    Rule("Remote-Party-ID", Treatment.IDENTITY, "draft-ietf-sip-privacy: older form of P-Asserted-Identity"),
    Rule("Reply-To", Treatment.UNHIDDEN, "RFC 3261 20.31: names a host"),
    Rule("Resource-Priority", Treatment.COPY, "RFC 4412: emergency services depend on it"),
    Rule("Retry-After", Treatment.SECONDS, "RFC 3261 20.33: when to try again"),
    Rule("Server", Treatment.UNHIDDEN, "RFC 3261 20.35: names a product, and with it its weaknesses"),
    Rule("Subject", Treatment.COPY, "RFC 3261 20.36: the user's words"),
    Rule("User-Agent", Treatment.UNHIDDEN, "RFC 3261 20.41: as Server"),
    Rule("User-to-User", Treatment.COPY, "RFC 7433: call centres carry their call data in it"),
    Rule("Warning", Treatment.WARNING, "RFC 3261 20.43: why a request was refused"),
    Rule("WWW-Authenticate", Treatment.COPY, "RFC 3261 22: as Authorization"),
)


class Border(NamedTuple):
    """What decides how a message's contents cross."""

    hidden: bool
    """The zone that they come from is hidden."""
    trusted: bool
    """They come from a configured peer."""
    names: tuple[str, ...]
    """What names elements of the side that they come from: addresses and host names, in lower case."""
    our_host: str
    """Our advertised address on the side that they go to, as a URI writes it."""


_HOST = re.compile(r"\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:]*|[\w-]+(?:\.[\w-]+)*\.[A-Za-z][\w-]*|@")
"""An IP address, a dotted name or a user@host in free text. It may see one where there is none; that costs a text."""

_KEPT_URI_PARAMETERS = ("user",)
"""Of a URI whose host is replaced: all others (transport, maddr, phone-context ...) speak of the hidden network."""


def cross_headers(received: Headers, built: Headers, border: Border) -> None:
    """Add to `built` the header fields of `received` that cross, treated as `CROSSING` says."""
    for rule, value in received.select(_RULES):
        crossed = _TREATMENTS[rule.treatment](value, border)
        if crossed:
            built.add(rule.name, crossed)


def names_host(text: str, border: Border) -> bool:
    """Whether `text` contains a known name of the side that it comes from."""
    lowered = text.lower()
    return any(name in lowered for name in border.names)


def crossed_identity(address: NameAddress, border: Border) -> str:
    """A From or To value for the other leg, without tag: who it is stays, where it is becomes us."""
    if not border.hidden:
        return _name_addr(address.display_name, address.uri_text)
    return _name_addr(_display_name(address, border), _masked_uri(address, border))


def addressed(to: NameAddress, uri: str, border: Border) -> str:
    """A To value for a target: the display name as dialled, the target's own URI."""
    display_name = to.display_name
    return _name_addr("" if border.hidden and names_host(display_name, border) else display_name, uri)


def _name_addr(display_name: str, uri: str) -> str:
    return f"{display_name} <{uri}>" if display_name else f"<{uri}>"


def _display_name(address: NameAddress, border: Border) -> str:
    return "" if names_host(address.display_name, border) else address.display_name


def _masked_uri(address: NameAddress, border: Border) -> str:
    uri = address.uri
    if uri.scheme not in ("sip", "sips"):
        # tel: is a number wherever it is used, unless phone-context names a domain (RFC 3966 5.1.5)
        return f"sip:anonymous@{border.our_host}" if names_host(address.uri_text, border) else address.uri_text
    if uri.host == "anonymous.invalid":  # RFC 3323 4.1.1.3: names nobody already
        return address.uri_text
    if uri.user and not names_host(uri.user, border):
        kept = "".join(f";{name}={uri.params[name]}" for name in _KEPT_URI_PARAMETERS if uri.params.get(name))
        return f"{uri.scheme}:{uri.user}@{border.our_host}{kept}"
    return f"{uri.scheme}:{border.our_host}"


def _copied(value: str, border: Border) -> str:
    return "" if border.hidden and names_host(value, border) else value


def _unhidden(value: str, border: Border) -> str:
    return "" if border.hidden else value


def _identity(value: str, border: Border) -> str:
    return _redirection(value, border) if border.trusted else ""


def _redirection(value: str, border: Border) -> str:
    if not border.hidden:
        return value
    crossed = []
    one = Headers()
    one.add("Route", value)  # split at top-level commas as any list of name-addrs
    for part in one.values("Route"):
        try:
            address = parse_name_address(part)
            uri = _masked_uri(address, border)
        except SipError:
            continue
        params = "".join(
            f";{name}" if text is None else f";{name}={text}"
            for name, text in address.params.items()
            if name != "tag" and (text is None or not names_host(text, border))
        )
        crossed.append(_name_addr(_display_name(address, border), uri) + params)
    return ", ".join(crossed)


_REASON_TEXT = re.compile(r';\s*text\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^;,\s]*)', re.IGNORECASE)


def _reason(value: str, border: Border) -> str:
    if not border.hidden:
        return value
    without = _REASON_TEXT.sub(lambda text: "" if _HOST.search(text[0][5:]) else text[0], value)
    return "" if names_host(without, border) else without


EMPTY = '""'
_WARNING = re.compile(r'(\d{3})\s+[^\s"]+\s+("(?:[^"\\]|\\.)*")')


def _warning(value: str, border: Border) -> str:
    if not border.hidden:
        return value
    kept = []
    for code, text in _WARNING.findall(value):
        harmless = not _HOST.search(text) and not names_host(text, border)
        kept.append(f"{code} {border.our_host} {text if harmless else EMPTY}")
    return ", ".join(kept)


def _seconds(value: str, border: Border) -> str:
    digits = re.match(r"\d{1,10}", value)
    return digits[0] if digits else ""


_TREATMENTS: dict[Treatment, Callable[[str, Border], str]] = {
    Treatment.COPY: _copied,
    Treatment.UNHIDDEN: _unhidden,
    Treatment.IDENTITY: _identity,
    Treatment.REDIRECTION: _redirection,
    Treatment.REASON: _reason,
    Treatment.WARNING: _warning,
    Treatment.SECONDS: _seconds,
}
_RULES = {rule.name.lower(): rule for rule in CROSSING}
