"""SIP, SIPS and TEL URIs (RFC 3261 section 19.1, RFC 3966); other schemes are kept, not understood."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sbc.sip.errors import LocalProtocolError, RemoteProtocolError
from sbc.sip.grammar import bracketed, canonical_host, host_of, port_of

_ESCAPED = r"%[0-9A-Fa-f]{2}"
_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
# "#" is not allowed in a user part, but phones dial service codes with it and mean nothing else.
_USER = rf"(?:[{_UNRESERVED}&=+$,;?/#]|{_ESCAPED})+"
_PASSWORD = rf"(?:[{_UNRESERVED}&=+$,]|{_ESCAPED})*"
_PARAMETER_TEXT = rf"(?:[{_UNRESERVED}\[\]/:&+$]|{_ESCAPED})+"
_HEADERS = rf"(?:[{_UNRESERVED}\[\]/?:+$&=]|{_ESCAPED})+"

_is_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*").fullmatch
_is_user = re.compile(_USER).fullmatch
_is_password = re.compile(_PASSWORD).fullmatch
_is_parameter_text = re.compile(_PARAMETER_TEXT).fullmatch
_is_headers = re.compile(_HEADERS).fullmatch
_is_opaque = re.compile(r"[!#-;=?-~]+").fullmatch
_is_telephone_number = re.compile(r"\+?[0-9A-Fa-f*#\-.()]+").fullmatch
_scheme = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*):")
# userinfo reaches to the only "@": it cannot stand unescaped in anything that follows.
_sip = re.compile(
    rf"(?:({_USER})(?::({_PASSWORD}))?@)?"
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-]+)(?::([0-9]+))?"
    rf"((?:;{_PARAMETER_TEXT}(?:={_PARAMETER_TEXT})?)*)"
    rf"(?:\?({_HEADERS}))?"
).fullmatch
_tel = re.compile(rf"([^;]+)((?:;{_PARAMETER_TEXT}(?:={_PARAMETER_TEXT})?)*)").fullmatch
_escape = re.compile(_ESCAPED)
_not_user = re.compile(rf"[^{_UNRESERVED}&=+$,;?/]")
_visual_separators = str.maketrans("", "", "-.()")


@dataclasses.dataclass(slots=True, frozen=True)
class Uri:
    """One URI, immutable; what it is made of is checked, so that `str()` of it can stand in a message.

    `user`, `password`, parameter values and `headers` are as written: escapes are kept, and never undone twice. Names
    of parameters are lower case, needless escapes undone; the value is None where there is no "=". For a tel URI,
    `user` is the number. `opaque` is all behind the colon of a URI of another scheme. Raises LocalProtocolError for
    parts that cannot be written.
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Mapping[str, str | None] = dataclasses.field(default_factory=dict, hash=False)
    headers: str = ""
    opaque: str = ""

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise LocalProtocolError(fault)

    def replace(self, **changes: Any) -> Uri:
        """This URI with these fields changed. Raises LocalProtocolError like the constructor."""
        return dataclasses.replace(self, **changes)

    def __str__(self) -> str:
        if self.opaque:
            return f"{self.scheme}:{self.opaque}"
        text = f"{self.scheme}:"
        if self.user is not None:
            text += self.user
            if self.password is not None:
                text += f":{self.password}"
            if self.host:
                text += "@"
        text += bracketed(self.host)
        if self.port is not None:
            text += f":{self.port}"
        for name, value in self.params.items():
            text += f";{name}" if value is None else f";{name}={value}"
        return f"{text}?{self.headers}" if self.headers else text


def _fault(uri: Uri) -> str | None:
    """What is wrong with the parts of a URI."""
    if uri.opaque:
        known = uri.scheme in ("sip", "sips", "tel")
        return None if _is_scheme(uri.scheme) and not known and _is_opaque(uri.opaque) else "malformed URI"
    if uri.scheme == "tel":
        if uri.user is None or not _is_telephone_number(uri.user) or uri.host or uri.port or uri.headers:
            return "malformed telephone number"
    elif uri.scheme not in ("sip", "sips"):
        return "malformed URI"
    elif not _is_host(uri.host):
        return "malformed host in URI"
    elif uri.user is not None and not _is_user(uri.user):
        return "malformed user in URI"
    if uri.password is not None and not _is_password(uri.password):
        return "malformed password in URI"
    if uri.port is not None and not 0 < uri.port < 65536:
        return "port out of range in URI"
    if any(
        not _is_parameter_text(name) or (value is not None and not _is_parameter_text(value))
        for name, value in uri.params.items()
    ):
        return "malformed parameter in URI"
    if uri.headers and not _is_headers(uri.headers):
        return "malformed headers in URI"
    return None


def _is_host(host: str) -> bool:
    try:
        return host_of(bracketed(host)) == host.lower()
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def parse_uri(text: str) -> Uri:
    """Read one URI. Raises RemoteProtocolError(400)."""
    scheme = _scheme.match(text)
    if scheme is None:
        raise RemoteProtocolError(400, "malformed URI")
    name = scheme[1].lower()
    rest = text[scheme.end() :]
    try:
        if name == "sip" or name == "sips":
            return _parse_sip(name, rest)
        if name == "tel":
            return _parse_tel(rest)
        return Uri(name, opaque=rest)
    except (ValueError, LocalProtocolError) as fault:
        raise RemoteProtocolError(400, str(fault)) from None


def _parse_sip(scheme: str, rest: str) -> Uri:
    match = _sip(rest)
    if match is None:
        raise ValueError("malformed URI")
    user, password, host, port, params, headers = match.groups()
    uri = Uri.__new__(Uri)  # the expression has checked what the constructor would
    put = object.__setattr__
    put(uri, "scheme", scheme)
    put(uri, "user", user)
    put(uri, "password", password)
    put(uri, "host", host_of(host))
    put(uri, "port", port_of(port))
    put(uri, "params", _parameters(params))
    put(uri, "headers", headers or "")
    put(uri, "opaque", "")
    return uri


def _parse_tel(rest: str) -> Uri:
    match = _tel(rest)
    if match is None:
        raise ValueError("malformed telephone number")
    return Uri("tel", match[1], params=_parameters(match[2]))


def _parameters(text: str) -> Mapping[str, str | None]:
    if not text:
        return {}
    parameters: dict[str, str | None] = {}
    for parameter in text[1:].split(";"):
        name, equals, value = parameter.partition("=")
        name = name.lower() if "%" not in name else (_comparable(name) or "").lower()
        if name in parameters:
            raise ValueError("repeated parameter in URI")  # 19.1.1
        parameters[name] = value if equals else None
    return parameters


def unescape(text: str) -> str:
    """`text` with its %HH undone, once. Octets that are no UTF-8 come out as U+FFFD: for comparing and showing only."""
    if "%" not in text:
        return text
    octets = re.sub(rb"%[0-9A-Fa-f]{2}", lambda match: bytes((int(match[0][1:], 16),)), text.encode())
    return octets.decode("utf-8", "replace")


def escape_user(text: str) -> str:
    """`text` as it may stand in the user part of a URI."""
    return _not_user.sub(lambda match: "".join(f"%{octet:02X}" for octet in match[0].encode()), text)


def _comparable(text: str | None) -> str | None:
    """Escapes of unreserved characters undone, the others in upper case (19.1.4: %HH equals the character)."""
    if text is None or "%" not in text:
        return text

    def plain(match: re.Match[str]) -> str:
        character = chr(int(match[0][1:], 16))
        return (
            character if character.isascii() and (character.isalnum() or character in "-_.!~*'()") else match[0].upper()
        )

    return _escape.sub(plain, text)


_ALWAYS_COMPARED = ("user", "ttl", "method", "maddr", "transport")
"""A URI with one of these never equals one without it, even if it says the default (19.1.4)."""


def uri_equal(a: Uri, b: Uri) -> bool:
    """RFC 3261 section 19.1.4 for sip and sips, RFC 3966 section 5 for tel; other URIs are equal as text."""
    if a.scheme != b.scheme:
        return False
    if a.opaque or b.opaque:
        return a.opaque == b.opaque
    if a.scheme == "tel":
        return _telephone_key(a) == _telephone_key(b)
    return (
        _comparable(a.user) == _comparable(b.user)
        and _comparable(a.password) == _comparable(b.password)
        and canonical_host(a.host) == canonical_host(b.host)
        and a.port == b.port
        and _parameters_equal(a.params, b.params)
        and _headers_key(a.headers) == _headers_key(b.headers)
    )


def _parameters_equal(a: Mapping[str, str | None], b: Mapping[str, str | None]) -> bool:
    for name in a.keys() | b.keys():
        if name in a and name in b:
            if (_comparable(a[name]) or "").lower() != (_comparable(b[name]) or "").lower():
                return False
        elif name in _ALWAYS_COMPARED:
            return False
    return True


def _headers_key(headers: str) -> list[tuple[str, str | None]]:
    """Headers of a URI without regard to their order; names are case-insensitive."""
    pairs = (header.partition("=") for header in headers.split("&")) if headers else ()
    return sorted(((_comparable(name) or "").lower(), _comparable(value)) for name, _, value in pairs)


def _telephone_key(uri: Uri) -> tuple[str, dict[str, str]]:
    """RFC 3966 section 5: visual separators and case do not count, nor does the order of parameters."""
    params = {name: (_comparable(value) or "").lower() for name, value in uri.params.items()}
    for name in ("ext", "phone-context"):
        if name in params and (name == "ext" or params[name].startswith("+")):
            params[name] = params[name].translate(_visual_separators)
    return (uri.user or "").lower().translate(_visual_separators), params
