"""Kinds of values in the configuration: times, sizes, addresses, ranges, patterns. Errors say what was expected."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.I)
_TARGET_URI = re.compile(r"sip:(?:[^@\s<>;?]+@)?([^@\s<>;?]+)(?:;transport=(udp|tcp))?", re.IGNORECASE)
_CODEC = re.compile(
    r"((audio|video|text|application)/)?[A-Za-z0-9*?._+-]{1,60}(/[0-9*?]{1,6}(/[0-9]{1,2})?)?", re.IGNORECASE
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


class Endpoint(NamedTuple):
    """Host and port as they stand in the configuration."""

    host: str
    """An IP address in its shortest form, else a name as written."""
    port: int | None
    version: int
    """4, 6, or 0 for a name."""


def canonical(host: str) -> tuple[str, int]:
    """An IP address in its shortest form and its version; a name as it is, and 0."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host, 0
    return str(address), address.version


def endpoint(text: str) -> Endpoint:
    """host, host:port, [v6], [v6]:port or v6. Raises ValueError."""
    host, port_text = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("expected [address] or [address]:port")
        port_text = rest[1:] if rest else ""
        if rest == ":" or canonical(host)[1] != 6:
            raise ValueError("expected an IPv6 address between the brackets, and a port after a colon")
    elif text.count(":") == 1:
        host, _, port_text = text.partition(":")
        if not port_text:
            raise ValueError("expected a port after the colon")
    if port_text and not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65536):
        raise ValueError("expected a port from 1 to 65535 after the colon")
    if "%" in host:
        raise ValueError("addresses with a scope (link-local ones) cannot be served")
    shortest, version = canonical(host)
    if not version and (not _HOST_NAME.fullmatch(host) or re.fullmatch(r"[0-9.]+", host)):
        raise ValueError("expected an IP address or a name, with :port if need be")
    return Endpoint(shortest, int(port_text) if port_text else None, version)


def _checked_endpoint(text: str) -> str:
    endpoint(text)
    return text


def _ip(text: str) -> str:
    host, version = canonical(text)
    if not version:
        raise ValueError("expected an IP address")
    return host


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"expected an IP address or a network such as 10.0.0.0/24 ({error})") from None


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)", value.strip())
    if not match:
        raise ValueError('expected seconds, or a text such as "30s", "5m", "12h", "7d"')
    return float(match[1]) * _DURATION_UNITS[match[2]]


def _whole(value: Any) -> Any:
    """SIP writes seconds without a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+)\s*([kmgt]?)(?:i?b)?", value.strip(), re.IGNORECASE)
    if not match:
        raise ValueError('expected bytes, or a text such as "512k", "32M", "4G"')
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def port_range(text: str) -> tuple[int, int]:
    """ "20000-29999": first and last port. RTP takes even ports, RTCP the odd one above (RFC 3550 section 11)."""
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*-\s*([0-9]{1,5})\s*", text)
    if not match:
        raise ValueError('expected a range such as "20000-29999"')
    low, high = int(match[1]), int(match[2])
    if not 1024 <= low <= high <= 65535:
        raise ValueError("expected ports from 1024 to 65535, the lower one first")
    if low % 2:
        raise ValueError(
            f"a range begins with an even port (RTP, with RTCP on the odd one above): {low + 1} or {low - 1}"
        )
    if not high % 2:
        raise ValueError(f"a range ends with an odd port (RTCP of the last pair): {high + 1} or {high - 1}")
    if high - low < 15:
        raise ValueError("too small: a call with audio takes two pairs of ports, and ports rest after use; 16 at least")
    return low, high


def _checked_range(text: str) -> str:
    low, high = port_range(text)
    return f"{low}-{high}"


def _pattern(text: str) -> str:
    if not text:
        raise ValueError("an empty pattern matches nothing")
    if text.startswith("/"):
        if len(text) < 3 or not text.endswith("/"):
            raise ValueError("a regular expression stands between two slashes: /^00[0-9]+$/")
        try:
            re.compile(text[1:-1])
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
    return text


def _target(text: str) -> str:
    if ":" in text:
        target_endpoint(text)
    return text


def target_endpoint(uri: str) -> tuple[Endpoint, str]:
    """Where a target that is a URI is, and its transport ("udp", "tcp", or "" for any). Raises ValueError."""
    match = _TARGET_URI.fullmatch(uri)
    if not match:
        raise ValueError('expected the name of a peer, or a URI such as "sip:10.0.0.9:5070;transport=tcp"')
    return endpoint(match[1]), (match[2] or "").lower()


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a name begins with a letter and has letters, digits, - and _ only, 63 at most")
    return text


def _host_name(text: str) -> str:
    if canonical(text)[1] == 0 and not _HOST_NAME.fullmatch(text):
        raise ValueError("expected a host name or an IP address")
    return text.lower()


def _codec(text: str) -> str:
    if not _CODEC.fullmatch(text):
        raise ValueError('expected the name of a codec such as "PCMU", "opus/48000", "G72*" or "video/*"')
    return text


def _exact_codec(text: str) -> str:
    if _codec(text).startswith(("audio/", "video/")) or not set("*?").isdisjoint(text):
        raise ValueError('expected the name of one codec such as "PCMU" or "opus/48000/2"')
    return text


def _listed(value: Any) -> Any:
    """One value stands for a list of one; a list becomes immutable."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("the same value stands here twice")
    return values


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=315360000, allow_inf_nan=False)]
"""0 or more; what 0 means is said where it is used."""
SomeSeconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=315360000, allow_inf_nan=False)]
WholeSeconds = Annotated[int, BeforeValidator(lambda value: _whole(_seconds(value))), Field(ge=1, le=86400)]
WholeSecondsOrNone = Annotated[int, BeforeValidator(lambda value: _whole(_seconds(value))), Field(ge=0, le=86400)]
"""0: never."""
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=0, le=1 << 50)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, AfterValidator(_name)]
Host = Annotated[str, AfterValidator(_host_name)]
IpAddress = Annotated[str, AfterValidator(_ip)]
IpNetwork = Annotated[str, AfterValidator(_network)]
EndpointText = Annotated[str, AfterValidator(_checked_endpoint)]
PortRange = Annotated[str, AfterValidator(_checked_range)]
Pattern = Annotated[str, AfterValidator(_pattern)]
CodecName = Annotated[str, AfterValidator(_codec)]
"""A pattern that `sbc.media.MediaProfile` understands."""
ExactCodecName = Annotated[str, AfterValidator(_exact_codec)]
RouteTarget = Annotated[str, AfterValidator(_target)]
ONE_OR_MORE = (BeforeValidator(_listed), AfterValidator(_unique))
"""Validators of a field that takes one value or a list of them."""
Together = Annotated[tuple[RouteTarget, ...], *ONE_OR_MORE, Field(min_length=1)]
RouteTargets = Annotated[
    Annotated[RouteTarget, Tag("one")] | Annotated[Together, Tag("together")],
    Discriminator(lambda value: "together" if isinstance(value, list | tuple) else "one"),
]
"""Where a call goes: one target, or several that are tried together."""
