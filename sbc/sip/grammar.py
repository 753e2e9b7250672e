"""Words of the grammar of RFC 3261 section 25.1 that more than one header shares.

Every expression here is linear in the length of what it is given, whatever a peer sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

from sbc.sip.errors import LocalProtocolError, RemoteProtocolError

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
QUOTED = r'"[^"\\\x00-\x08\x0a-\x1f\x7f]*(?:\\[\x00-\x09\x0b\x0c\x0e-\x7f][^"\\\x00-\x08\x0a-\x1f\x7f]*)*"'
"""quoted-string: any octet but CR and LF may stand behind a backslash, NUL included (RFC 4475 section 3.1.1.2)."""

is_token = re.compile(TOKEN).fullmatch
is_digits = re.compile(r"[0-9]+").fullmatch
is_host = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\]").fullmatch
"""hostname (underscores let pass, as they are common) or IPv6reference; see `host_of` for what else must hold."""

_is_ipv4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}").fullmatch
_quoted = re.compile(QUOTED)
_list_mark = re.compile(r'[",<]')

# A parameter's value: token, host or quoted-string, and, because phones and exchanges send them in tags and branches
# (base64 of all kinds), the other visible characters that have no meaning between parameters.
PARAMETER_VALUE = r"[!#-'*-+\-.-:=?-\[\]-~]+"
_plain_parameters = re.compile(rf"(?:;{TOKEN}(?:={PARAMETER_VALUE})?)*").fullmatch
_parameter = re.compile(rf"[ \t]*;[ \t]*({TOKEN})(?:[ \t]*=[ \t]*({PARAMETER_VALUE}|{QUOTED}))?")
is_parameter_value = re.compile(rf"{PARAMETER_VALUE}|{QUOTED}").fullmatch

COMPACT_NAMES = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""IANA's registry of compact header field names."""


class _CanonicalNames(dict[str, str]):
    """From a header name as written to its long form in lower case; also remembers that the name is a token.

    A name in other spellings is looked at once and then found here; the number and the length of those kept is limited,
    because peers choose them.
    """

    def __missing__(self, written: str) -> str:
        name = written.rstrip(" \t")
        if not is_token(name):
            raise LocalProtocolError("header name is not a token")
        key = COMPACT_NAMES.get(name.lower()) or name.lower()
        if len(self) < 2048 and len(written) <= 64:
            self[written] = key
        return key


canonical_names = _CanonicalNames()
"""canonical_names["Via"] == canonical_names["v"] == "via". LocalProtocolError for what is not a token."""


def split_list(text: str) -> list[str]:
    """The elements of a comma-separated header value (section 7.3.1), stripped, empty ones left out.

    Commas inside quoted strings and angle brackets do not separate. An unterminated one of those holds all that
    follows.
    """
    if "," not in text:
        element = text.strip(" \t")
        return [element] if element else []
    elements = []
    start = position = 0
    while mark := _list_mark.search(text, position):
        at = mark.start()
        if text[at] == ",":
            elements.append(text[start:at])
            start = position = at + 1
        else:
            position = _end_of_group(text, at)
    elements.append(text[start:])
    return [element for element in (raw.strip(" \t") for raw in elements) if element]


def _end_of_group(text: str, at: int) -> int:
    """Where the quoted string or angle bracket that opens at `at` has ended; the end of the text if it never does."""
    if text[at] == '"':
        quoted = _quoted.match(text, at)
        return quoted.end() if quoted else len(text)
    return text.find(">", at) + 1 or len(text)


def parse_parameters(text: str) -> dict[str, str | None]:
    """*( SEMI generic-param ), names in lower case, values as written (quotes kept); None: a parameter without "=".

    Raises RemoteProtocolError(400) for empty or malformed parameters and for one that stands twice.
    """
    parameters: dict[str, str | None] = {}
    if not text:
        return parameters
    count = 0  # of parameters, to find repeated ones
    if _plain_parameters(text):
        for parameter in text[1:].split(";"):
            name, equals, value = parameter.partition("=")
            parameters[name.lower()] = value if equals else None
            count += 1
    else:
        end = len(text.rstrip(" \t"))
        position = 0
        while position < end:
            match = _parameter.match(text, position)
            if match is None:
                raise RemoteProtocolError(400, "malformed parameters")
            parameters[match[1].lower()] = match[2]
            position = match.end()
            count += 1
    if count != len(parameters):
        raise RemoteProtocolError(400, "repeated parameter")
    return parameters


def write_parameters(parameters: Mapping[str, str | None]) -> str:
    """What `parse_parameters` reads. Raises LocalProtocolError for what it would not read back."""
    written = []
    for name, value in parameters.items():
        if not is_token(name) or (value is not None and not is_parameter_value(value)):
            raise LocalProtocolError(f"parameter {name!r} cannot be written")
        written.append(f";{name}" if value is None else f";{name}={value}")
    return "".join(written)


@lru_cache(maxsize=4096)
def host_of(written: str) -> str:
    """A host as it stands in a URI or a Via: in lower case, IPv6 without its brackets. ValueError if it is none.

    The three colons that RFC 3261's grammar asked for before an IPv4 suffix are read as two (RFC 5118 section 4.10).
    """
    if not is_host(written):
        raise ValueError("malformed host")
    host = written.lower()
    if host[0] == "[":
        host = host[1:-1].replace(":::", "::", 1)
        try:
            IPv6Address(host)
        except AddressValueError:
            raise ValueError("malformed IPv6 address") from None
    elif host.rpartition(".")[2].isdigit() and not _is_ipv4(host):
        raise ValueError("malformed IPv4 address")
    return host


def canonical_host(host: str) -> str:
    """One text for each host, for comparing: lower case, no brackets, no final dot, IPv6 in its shortest form."""
    host = host.strip("[]").lower()
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except AddressValueError:
            return host
    return host.removesuffix(".")


def port_of(digits: str | None) -> int | None:
    """A port, or None for None. ValueError outside 1 to 65535 (nothing can be sent to port 0)."""
    if digits is None:
        return None
    port = int(digits) if len(digits) <= 5 else 0
    if 0 < port < 65536:
        return port
    raise ValueError("port out of range")


def bracketed(host: str) -> str:
    """`host` as it stands before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def quote(text: str) -> str:
    """`text` as a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """What a quoted-string stands for; any other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


_run_of_text = re.compile(r'[^"]+|"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def has_stray_control(value: str) -> bool:
    """Whether a control character (CR, LF, NUL ...; not tab) stands in `value` elsewhere than behind a backslash in a
    quoted string, the one place where the grammar has them (quoted-pair; never CR and LF)."""
    if not _control.search(value):
        return False
    return any(_control.search(run[0]) and not _quoted.fullmatch(run[0]) for run in _run_of_text.finditer(value))
