"""Header values with a shape: one parsing function for each shape, RFC 3261 section 20 unless said otherwise.

What they return is shared between messages that carry the same text: take it as immutable. All raise
RemoteProtocolError(400) for what does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from sbc.sip.errors import LocalProtocolError, RemoteProtocolError
from sbc.sip.grammar import (
    PARAMETER_VALUE,
    QUOTED,
    TOKEN,
    bracketed,
    host_of,
    is_digits,
    is_token,
    parse_parameters,
    port_of,
    quote,
    unquote,
    write_parameters,
)
from sbc.sip.uri import Uri, parse_uri

MAX_CSEQ = 2**31 - 1
"""8.1.1.5: less than 2**31."""

MAGIC_COOKIE = "z9hG4bK"


class Via(NamedTuple):
    """One Via value. `transport` is upper case, `host` lower case and without brackets, parameters as written."""

    protocol: str
    transport: str
    host: str
    port: int | None
    params: Mapping[str, str | None]

    @property
    def branch(self) -> str | None:
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The address in `received`, IPv6 without the brackets that some put around it (RFC 5118 section 4.5)."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The port in `rport` (RFC 3581); None also where it stands without a value: see `params`."""
        value = self.params.get("rport")
        return int(value) if value and is_digits(value) and len(value) <= 5 else None

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.protocol}/{self.transport} {bracketed(self.host)}{port}{write_parameters(self.params)}"


_new_tuple = tuple.__new__


class CSeq(NamedTuple):
    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class RAck(NamedTuple):
    """RFC 3262 section 7.2."""

    response_number: int
    cseq_number: int
    method: str


class Reason(NamedTuple):
    """One value of Reason (RFC 3326). `cause` is None where there is none; `text` is without its quotes."""

    protocol: str
    cause: int | None
    text: str


class NameAddress:
    """name-addr or addr-spec, with the header parameters behind it: From, To, Contact, Route, P-Asserted-Identity ...

    `display_name` is as it must be written, quotes included, or ""; `uri_text` is the URI as written; "*" is the
    Contact of 10.2.2. Raises LocalProtocolError for parts that would not be read back as they are.
    """

    __slots__ = ("_uri", "display_name", "params", "uri_text")

    display_name: str
    uri_text: str
    params: Mapping[str, str | None]
    _uri: Uri | None

    def __init__(self, display_name: str, uri_text: str, params: Mapping[str, str | None] | None = None) -> None:
        if display_name and not _is_display_name(display_name):
            raise LocalProtocolError("display name is neither tokens nor a quoted string")
        if not _is_uri_text(uri_text):
            raise LocalProtocolError("URI cannot stand between angle brackets")
        self.display_name = display_name
        self.uri_text = uri_text
        self.params = params or {}
        self._uri = None

    @property
    def uri(self) -> Uri:
        """The URI, parsed when first asked for. Raises RemoteProtocolError(400)."""
        uri = self._uri
        if uri is None:
            uri = self._uri = parse_uri(self.uri_text)
        return uri

    @property
    def tag(self) -> str | None:
        return self.params.get("tag")

    def __str__(self) -> str:
        space = " " if self.display_name else ""
        return f"{self.display_name}{space}<{self.uri_text}>{write_parameters(self.params)}"

    def __eq__(self, other: object) -> bool:
        """Equal as written, not as RFC 3261 compares URIs (that is `uri_equal`)."""
        if not isinstance(other, NameAddress):
            return NotImplemented
        return (self.display_name, self.uri_text, self.params) == (other.display_name, other.uri_text, other.params)

    def __hash__(self) -> int:
        return hash((self.display_name, self.uri_text))

    def __repr__(self) -> str:
        return f"NameAddress({self.display_name!r}, {self.uri_text!r}, {self.params!r})"


_TOKENS = rf"{TOKEN}(?:[ \t]+{TOKEN})*"
_is_tokens = re.compile(_TOKENS).fullmatch
_is_display_name = re.compile(rf"{QUOTED}|{_TOKENS}").fullmatch
_is_uri_text = re.compile(r"[!#-;=?-~]+").fullmatch
_name_addr = re.compile(
    rf'(?:({QUOTED})[ \t]*|([^"<>,;\\\x00-\x08\x0a-\x1f\x7f]*))<([!#-;=?-~]+)>[ \t]*(;.*)?', re.DOTALL
).fullmatch
_addr_spec = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*:[!#-+\--:=@-~]+)[ \t]*(;.*)?", re.DOTALL).fullmatch
_via = re.compile(
    rf"({TOKEN})[ \t]*/[ \t]*({TOKEN})[ \t]*/[ \t]*({TOKEN})[ \t]+"
    r"(\[[^\] \t]+\]|[A-Za-z0-9_.\-]+)(?:[ \t]*:[ \t]*([0-9]+))?[ \t]*(;.*)?",
    re.DOTALL,
).fullmatch
# As nearly everybody writes them: read in one step, with the same outcome as by the expressions above.
_usual_address = re.compile(rf"((?:{QUOTED}|{_TOKENS})?)[ \t]*<([!#-;=?-~]+)>(?:;tag=({PARAMETER_VALUE}))?").fullmatch
_usual_via = re.compile(
    r"SIP/2\.0/([A-Z]+) ([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]+))?"
    rf";branch=({PARAMETER_VALUE})(;rport(?:=({PARAMETER_VALUE}))?)?(?:;received=({PARAMETER_VALUE}))?"
).fullmatch
_cseq = re.compile(rf"([0-9]+)[ \t]+({TOKEN})").fullmatch
_rack = re.compile(rf"([0-9]+)[ \t]+([0-9]+)[ \t]+({TOKEN})").fullmatch
_media_type = re.compile(rf"({TOKEN})[ \t]*/[ \t]*({TOKEN})[ \t]*(;.*)?", re.DOTALL).fullmatch
_call_id = re.compile(r"[!-~]+").fullmatch
_delta_seconds = re.compile(r"([0-9]+)[ \t]*(?:[(;].*)?", re.DOTALL).fullmatch


@lru_cache(maxsize=4096)
def parse_name_address(text: str) -> NameAddress:
    """One value of From, To, Contact, Route, Record-Route, P-Asserted-Identity, Refer-To and their like.

    Without angle brackets all parameters are the header's, and "," and "?" are not allowed in the URI (section 20).
    A display name that needs quotes and has none gets them, where that cannot change its meaning: no comma, semicolon
    or quote in it (RFC 4475 section 3.1.2.15 asks that such a name is not passed on as it is).
    """
    address = NameAddress.__new__(NameAddress)  # the expressions check what __init__ would
    address._uri = None
    match = _usual_address(text)
    if match is not None:
        address.display_name, address.uri_text, tag = match.groups()
        address.params = {} if tag is None else {"tag": tag}
        return address
    match = _name_addr(text)
    if match is not None:
        display_name, words, uri_text, params = match.groups()
        if display_name is None:
            display_name = words.strip(" \t")
            if display_name and not _is_tokens(display_name):
                display_name = quote(display_name)
    else:
        match = _addr_spec(text)
        if match is None:
            if text == "*":
                return NameAddress("", "*")
            raise RemoteProtocolError(400, "malformed address")
        display_name = ""
        uri_text, params = match.groups()
    address.display_name = display_name
    address.uri_text = uri_text
    address.params = parse_parameters(params) if params else {}
    return address


def parse_via(text: str) -> Via:
    """One Via value (20.42). A branch that is the magic cookie and nothing else is refused: it identifies no
    transaction (RFC 4475 section 3.2.1). Nothing is remembered, since hardly one comes twice."""
    parameters: dict[str, str | None]
    match = _usual_via(text)
    if match is not None:
        protocol = "SIP/2.0"
        transport, host, port, branch, has_rport, rport, received = match.groups()
        parameters = {"branch": branch}
        if has_rport:
            parameters["rport"] = rport
        if received:
            parameters["received"] = received
    else:
        match = _via(text)
        if match is None:
            raise RemoteProtocolError(400, "malformed Via")
        name, version, transport, host, port, params = match.groups()
        protocol = f"{name}/{version}"
        transport = transport.upper()
        parameters = parse_parameters(params) if params else {}
        branch = parameters.get("branch")
    if branch == MAGIC_COOKIE:
        raise RemoteProtocolError(400, "Via branch without a transaction identifier")
    try:
        # not `Via(...)`, which takes twice as long: one is made of every message
        return _new_tuple(Via, (protocol, transport, host_of(host), port and port_of(port), parameters))
    except ValueError as fault:
        raise RemoteProtocolError(400, f"{fault} in Via") from None


@lru_cache(maxsize=1024)
def parse_cseq(text: str) -> CSeq:
    match = _cseq(text)
    if match is None:
        raise RemoteProtocolError(400, "malformed CSeq")
    return CSeq(parse_number(match[1], MAX_CSEQ, "CSeq"), match[2])


def parse_rack(text: str) -> RAck:
    match = _rack(text)
    if match is None:
        raise RemoteProtocolError(400, "malformed RAck")
    return RAck(parse_number(match[1], 2**32 - 1, "RAck"), parse_number(match[2], MAX_CSEQ, "RAck"), match[3])


def parse_number(text: str, maximum: int, what: str) -> int:
    """1*DIGIT, at most `maximum`, which is less than 10**19. `what` is named in the error."""
    if not is_digits(text):
        raise RemoteProtocolError(400, f"malformed {what}")
    number = int(text if len(text) < 20 else text.lstrip("0")[:20] or "0")
    if number > maximum:
        raise RemoteProtocolError(400, f"{what} out of range")
    return number


def parse_max_forwards(text: str) -> int:
    """20.22: 0 to 255."""
    return parse_number(text, 255, "Max-Forwards")


def parse_seconds(text: str) -> int:
    """Retry-After, Expires, Session-Expires ...: the seconds, without comment and parameters. What is beyond the range
    of 20.19 is read as its end, 2**32 - 1."""
    match = _delta_seconds(text)
    if match is None:
        raise RemoteProtocolError(400, "malformed number of seconds")
    return min(int(match[1].lstrip("0")[:12] or "0"), 2**32 - 1)


def parse_call_id(text: str) -> str:
    """20.8. Any visible characters: nothing but the whole is ever compared."""
    if not _call_id(text):
        raise RemoteProtocolError(400, "malformed Call-ID")
    return text


@lru_cache(maxsize=256)
def parse_media_type(text: str) -> tuple[str, Mapping[str, str | None]]:
    """Content-Type (20.15): "type/subtype" in lower case, and its parameters."""
    match = _media_type(text)
    if match is None:
        raise RemoteProtocolError(400, "malformed Content-Type")
    return f"{match[1]}/{match[2]}".lower(), parse_parameters(match[3] or "")


def parse_reason(text: str) -> Reason:
    """One value of Reason."""
    protocol, semicolon, rest = text.partition(";")
    protocol = protocol.rstrip(" \t")
    if not is_token(protocol):
        raise RemoteProtocolError(400, "malformed Reason")
    params = parse_parameters(semicolon + rest)
    cause = params.get("cause")
    number = None if cause is None else parse_number(cause, 10**9, "Reason cause")
    return Reason(protocol, number, unquote(params.get("text") or ""))
