"""What one side's session description says about its streams, as far as relaying them needs to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from sbc.media.messages import MessageReading, place, read_messages
from sbc.sdp import MediaDescription, SdpError, SessionDescription, split_lines
from sbc.sip import Address

ANCHORED_PROTOCOLS = {
    "RTP/AVP": "rtp",
    "RTP/AVPF": "rtp",
    "UDPTL": "udp",
    "UDP/BFCP": "udp",
    "UDP": "udp",
    "TCP/MSRP": "msrp",
}
"""What can be relayed, by protocol in upper case, and as which kind of flow: RTP (RFC 3551, 4585), T.38 over UDPTL,
BFCP (RFC 8856), plain datagrams, and MSRP (RFC 4975). Everything else (other TCP, MSRP over TLS, data channels, SRTP,
unknown) is offered and answered with port 0."""

MEMORABLE = 4096
"""Only sections shorter than this many characters are remembered: what a peer sends must not fill our memory."""

DIRECTIONS = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})

_STATIC_CLOCKS = {6: 16000, 10: 44100, 11: 44100, 14: 90000, 16: 11025, 17: 22050}
_STATIC_CLOCKS |= dict.fromkeys((25, 26, 28, 31, 32, 33, 34), 90000)
"""RTP clock rates of the static payload types of RFC 3551 section 6 that are not 8000 Hz."""

_STATIC_NAMES = (
    "0 PCMU/8000,3 GSM/8000,4 G723/8000,5 DVI4/8000,6 DVI4/16000,7 LPC/8000,8 PCMA/8000,9 G722/8000,10 L16/44100/2,"
    "11 L16/44100,12 QCELP/8000,13 CN/8000,14 MPA/90000,15 G728/8000,16 DVI4/11025,17 DVI4/22050,18 G729/8000,"
    "25 CelB/90000,26 JPEG/90000,28 nv/90000,31 H261/90000,32 MPV/90000,33 MP2T/90000,34 H263/90000"
)
_tuple = tuple.__new__
"""`_tuple(Address, (...))` is `Address(...)` in half the time."""

STATIC_CODECS = dict(entry.split(" ") for entry in _STATIC_NAMES.split(","))


class Host(NamedTuple):
    """An address out of a c=, o= or a=rtcp line."""

    text: str
    """IP address in its shortest form, or the host name as written."""
    family: int
    """4 or 6; what the line says, where `text` is a name."""
    unspecified: bool
    """0.0.0.0 or ::, an old way to hold (RFC 3264 section 8.4)."""
    reachable: bool
    """A unicast IP address. Names are not looked up: such a side is learned by latching."""
    refused: bool
    """Multicast or broadcast: never sent to."""


def read_host(text: str) -> Host | None:
    """Read "<nettype> <addrtype> <address>" (RFC 8866 section 5.7); None if it is malformed."""
    return _read_host(text) if len(text) < 300 else None


@lru_cache(maxsize=4096)
def _read_host(text: str) -> Host | None:
    parts = text.split()
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        return None
    family = 4 if parts[1] == "IP4" else 6
    bare = parts[2].partition("/")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return Host(bare, family, False, False, False) if _is_name(bare) else None
    if "%" in bare:
        return None
    refused = address.is_multicast or bare == "255.255.255.255"
    unspecified = address.is_unspecified
    return Host(str(address), address.version, unspecified, not (refused or unspecified), refused)


def _is_name(text: str) -> bool:
    return 0 < len(text) < 256 and text.isascii() and text.replace("-", "").replace(".", "").replace("_", "").isalnum()


class Section(NamedTuple):
    """What the lines after an m-line say."""

    mux: bool
    direction: str
    """"" if they do not say it."""
    starved: bool
    """A bandwidth of zero: no media."""
    rtcp: str
    """Value of a=rtcp, or ""."""
    connections: tuple[Host | None, ...]
    encodings: Mapping[str, str]
    """What a=rtpmap says of each payload type (RFC 8866 section 6.6): "PCMU/8000"."""
    hosts: tuple[str, ...]
    """Addresses out of ICE candidates (RFC 8839 section 5.1)."""


class StreamReading(NamedTuple):
    """One m-line."""

    kind: str
    """"rtp", "udp", "msrp", or "" for a stream that is disabled or cannot be relayed."""
    bare: bool
    """Cannot be relayed at all: nothing of it crosses but the m-line with port 0."""
    host: Host | None
    """Where it wants its packets; None only if nothing says it and nothing is sent."""
    remote: Address | None
    """None for a name, or on hold by address."""
    mux: bool
    direction: str
    section: Section
    messages: MessageReading | None = None
    """Of an MSRP session."""


class SessionPart(NamedTuple):
    """What the session-level lines say for all streams."""

    host: Host | None
    direction: str
    fault: str
    """A c= line that cannot be read, or ""."""
    hosts: tuple[str, ...]
    """Addresses out of c=, as written."""


def read_session(text: str) -> SessionPart:
    """Read the session-level lines but v= and o=. What is said there is remembered, as of sections."""
    return _read_session(text) if len(text) < MEMORABLE else _read_session.__wrapped__(text)


@lru_cache(maxsize=512)
def _read_session(text: str) -> SessionPart:
    host: Host | None = None
    direction = "sendrecv"
    fault = ""
    hosts = []
    for line in split_lines(text):
        if line[0] == "c":
            host = read_host(line[2:])
            hosts.append(line.rpartition(" ")[2])
            if host is None:
                fault = fault or line
        elif line[0] == "a" and line[2:] in DIRECTIONS:
            direction = line[2:]
    return SessionPart(host, direction, fault, tuple(hosts))


def read_streams(description: SessionDescription) -> list[StreamReading]:
    """What each m-line says. Raises `SdpError`."""
    host, direction, fault, _ = read_session(description.session)
    if fault:
        raise SdpError(description.lines.index(fault) + 1, "c= is not <nettype> <addrtype> <address>")
    return [_read_stream(description, media, host, direction) for media in description.media]


def _read_stream(
    description: SessionDescription, media: MediaDescription, host: Host | None, direction: str
) -> StreamReading:
    kind = ANCHORED_PROTOCOLS.get(media.protocol.upper(), "")
    section = read_section(media.body) if kind != "msrp" else _read_section.__wrapped__(media.body)
    messages = read_messages(media.lines) if kind == "msrp" and media.media == "message" and media.port else None
    bare = not kind or media.port_count > 1 or (kind == "msrp" and messages is None and media.port > 0)
    if section.connections:
        host = section.connections[0]
        if None in section.connections:
            raise SdpError(_number(description, media), "c= of this stream is not <nettype> <addrtype> <address>")
        bare = bare or len(section.connections) > 1
    if host is not None and host.refused:
        bare = True
    direction = section.direction or direction
    port = media.port
    if bare or not port:
        return StreamReading("", bare, host, None, False, direction, section)
    if host is None:
        raise SdpError(_number(description, media), "no c= for this stream")
    if messages is not None:
        host = (messages.host and read_host(f"IN IP{6 if ':' in messages.host else 4} {messages.host}")) or host
        remote = place(messages, host.text if host.reachable else "")
        if host.refused:
            return StreamReading("", True, host, None, False, direction, section)
        return StreamReading(kind, False, host, remote, False, direction, section, messages)
    remote = _tuple(Address, (host.text, port)) if host.reachable else None
    return _tuple(StreamReading, (kind, False, host, remote, section.mux and kind == "rtp", direction, section, None))


def read_section(body: str) -> Section:
    """Read the lines after an m-line. Most calls of a peer say the same there, so that it is remembered."""
    return _read_section(body) if len(body) < MEMORABLE else _read_section.__wrapped__(body)


@lru_cache(maxsize=512)
def _read_section(body: str) -> Section:
    mux = starved = False
    direction = rtcp = ""
    connections: list[Host | None] = []
    encodings: dict[str, str] = {}
    hosts: list[str] = []
    for line in split_lines(body):
        kind, value = line[0], line[2:]
        if kind == "c":
            connections.append(read_host(value))
        elif kind == "b":
            starved = starved or value in ("AS:0", "TIAS:0", "CT:0")
        elif kind == "a":
            name, _, rest = value.partition(":")
            if value in DIRECTIONS:
                direction = value
            elif value == "rtcp-mux":
                mux = True
            elif name == "rtcp":
                rtcp = rest
            elif name == "rtpmap":
                number, _, encoding = rest.partition(" ")
                encodings.setdefault(number, encoding.strip())
            elif name == "candidate":
                parts = rest.split(" ")
                hosts += parts[4:5]
                hosts += parts[parts.index("raddr") + 1 :][:1] if "raddr" in parts else []
    return Section(mux, direction, starved, rtcp, tuple(connections), encodings, tuple(hosts))


def rtcp_address(reading: StreamReading) -> Address | None:
    """Where RTCP goes without rtcp-mux: by a=rtcp (RFC 3605 section 2.1), else the next port (RFC 3550 section 11)."""
    rtp = reading.remote
    if rtp is None or reading.kind != "rtp":
        return None
    value = reading.section.rtcp
    if value:
        return _rtcp_address(value, rtp)
    return _tuple(Address, (rtp.host, rtp.port + 1)) if rtp.port < 65535 else None


def _rtcp_address(value: str, rtp: Address) -> Address | None:
    """What a=rtcp says; the next port where it is malformed or names no address that can be sent to."""
    port = rtp.port + 1
    host = rtp.host
    number, _, where = value.partition(" ")
    if number.isascii() and number.isdigit() and len(number) <= 5:
        named = read_host(where) if where else None
        if not where:
            port = int(number)
        elif named is not None and named.reachable and named.family == (6 if ":" in host else 4):
            port, host = int(number), named.text
    return Address(host, port) if 0 < port < 65536 else None


def _number(description: SessionDescription, media: MediaDescription) -> int:
    """The line number of a stream's m-line."""
    number = len(description.lines) + 1
    for other in description.media:
        if other is media:
            break
        number += len(other.lines) + 1
    return number


def clock_rate(payload_type: str, encodings: Mapping[str, str]) -> int:
    """RTP clock rate of a payload type in Hz; 8000 where nothing says it."""
    encoding = encodings.get(payload_type)
    if encoding is not None:
        rate = encoding.split("/")[1] if "/" in encoding else ""
        return int(rate) if rate.isascii() and rate.isdigit() and 0 < len(rate) < 8 and int(rate) else 8000
    return _STATIC_CLOCKS.get(int(payload_type), 8000) if payload_type.isascii() and payload_type.isdigit() else 8000


def codec_names(formats: Iterable[str], encodings: Mapping[str, str]) -> tuple[str, ...]:
    """Names of RTP payload types in the order of the format list; the number where nothing names it."""
    return tuple([encodings.get(number) or STATIC_CODECS.get(number, number) for number in formats])
