"""One side's session description, made into what the other side may see.

What crosses is decided per line: the address lines are written anew, attributes of things that this leg does not speak
are left out, and whatever could name a host of a hidden side stays behind (RFC 5853 section 3.1). Attributes that are
not known cross, unless they hold an address: nothing may lead media past us, hidden or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sbc.media.reading import StreamReading, read_host
from sbc.sdp import MediaDescription, SessionDescription

_KEEP, _DROP, _HIDE, _LOOK, _GROUP, _MUX, _SSRC, _CONNECTION, _NAME = range(9)
"""What to do with a line: keep, drop, drop if hidden, look into it, a=group, a=rtcp-mux, a=ssrc, c=, s=."""

_ATTRIBUTE_LISTS = {
    # values that cannot name a host; they cross unseen
    "rtpmap sendrecv sendonly recvonly inactive ptime maxptime maxrate framerate quality mid rid simulcast": _KEEP,
    "silenceSupp rtcp-fb rtcp-rsize rtcp-xr extmap-allow-mixed ssrc-group curr des conf lang hilang": _KEEP,
    "imageattr content label": _KEEP,
    "T38FaxVersion T38MaxBitRate T38FaxFillBitRemoval T38FaxTranscodingMMR T38FaxTranscodingJBIG T38FaxUdpEC": _KEEP,
    "T38FaxRateManagement T38FaxMaxBuffer T38FaxMaxDatagram T38FaxMaxIFP T38FaxUdpFECMaxSpan": _KEEP,
    # ICE (RFC 8839, 8840) and its alternatives (RFC 6947, TS 24.229): lists of addresses that would lead media past us
    "candidate ice-ufrag ice-pwd ice-options ice-lite ice-mismatch ice-pacing end-of-candidates": _DROP,
    "remote-candidates altc alt x-candidates visited-realm secondary-realm": _DROP,
    # keys, and who holds them: none of ours (RFC 4567, 4568, 8122, 8842, 8827, 4145)
    "crypto key-mgmt fingerprint setup tls-id dtls-id identity connection": _DROP,
    # transports and addresses to choose instead: what we do not speak, or where we are not (RFC 5939, 6871, 7006)
    "tcap pcfg acap acfg csup creq rmcap omcap mfcap mscap lcfg sescap icap bcap ccap": _DROP,
    # where RTP and RTCP come from and go to is our own affair (RFC 3605, 4570, 8858, 9143, 4975)
    "rtcp rtcp-mux-only source-filter bundle-only path": _DROP,
    # software, and free text about the session (RFC 8866 sections 6.1 to 6.3)
    "tool cat keywds": _HIDE,
    "group": _GROUP,
    "rtcp-mux": _MUX,
    "ssrc": _SSRC,
}
_ATTRIBUTES = {name: what for names, what in _ATTRIBUTE_LISTS.items() for name in names.split()}
"""What to do with each attribute; those that are not here: look into it."""

_TYPES = {"c": _CONNECTION, "s": _NAME}
_TYPES |= dict.fromkeys("trzb", _KEEP) | dict.fromkeys("iuep", _HIDE) | dict.fromkeys("vok", _DROP)
"""What to do with the other lines by type; k= (keys in the clear) is obsolete (RFC 8866 section 5.12)."""

_ADDRESS = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"  # IPv4
    r"|(?<![\w:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F.]{0,15}(?![\w:])"  # IPv6
)
_ZERO = {4: "c=IN IP4 0.0.0.0", 6: "c=IN IP6 ::"}


def _treatment(line: str) -> int:
    if line[0] == "a":
        return _ATTRIBUTES.get(line[2:].partition(":")[0], _LOOK)
    return _TYPES.get(line[0], _LOOK)


class OurEnd(NamedTuple):
    """Where the reader of a description finds us for one stream."""

    host: str
    """Advertised address."""
    family: int
    port: int
    """0: the stream is refused or disabled."""
    mux: bool
    """Say a=rtcp-mux."""


class Disguise(NamedTuple):
    """What must not be seen of the writer of a description."""

    hidden: bool
    hosts: frozenset[str]
    """Names and addresses known to be the writer's."""
    cname: str
    """Stands for its RTCP CNAMEs (RFC 5576 section 6.1)."""


def known_hosts(description: SessionDescription, streams: Iterable[StreamReading]) -> set[str]:
    """Hosts that a description names as its writer's own: in o=, c= and ICE candidates."""
    hosts = {stream.host.text for stream in streams if stream.host is not None and not stream.host.unspecified}
    for line in description.lines:
        if line[0] in "oc":
            hosts.add(line.rpartition(" ")[2].partition("/")[0])
    for media in description.media:
        for line in media.lines:
            if line.startswith("a=candidate:"):
                hosts.update(line.split(" ")[4:5] + _related(line))
    return {host.lower() for host in hosts} - {"", "0.0.0.0", "::"}


def _related(line: str) -> list[str]:
    parts = line.split(" ")
    return parts[parts.index("raddr") + 1 :][:1] if "raddr" in parts else []


def rewrite(
    description: SessionDescription,
    streams: list[StreamReading],
    ends: list[OurEnd],
    default: OurEnd,
    disguise: Disguise,
) -> str:
    """The description as the other side may see it, without v= and o=, lines ended by CRLF.

    `streams` and `ends` go with the m-lines; `default` is the end that session-level c= names.
    """
    connection = ""
    lines: list[str] = []
    has_name = has_time = False
    for line in description.lines[1:]:
        do = _treatment(line)
        if do == _CONNECTION:
            host = read_host(line[2:])
            held = host is not None and host.unspecified
            line = connection = _ZERO[default.family] if held else _connection(default)
        elif do == _NAME:
            has_name = True
            line = "s=-" if disguise.hidden or len(line) == 2 else line
        elif do and not _crosses(do, line, disguise):
            continue
        elif line[0] == "t":
            has_time = True
        lines.append(line)
    if not has_name:
        lines.insert(0, "s=-")
    if not has_time:
        at = next((number for number, line in enumerate(lines) if line[0] in "rzka"), len(lines))
        lines.insert(at, "t=0 0")
    for media, stream, end in zip(description.media, streams, ends, strict=True):
        _rewrite_media(lines, media, stream, end, connection, disguise)
    lines.append("")
    return "\r\n".join(lines)


def _rewrite_media(
    lines: list[str], media: MediaDescription, stream: StreamReading, end: OurEnd, session: str, disguise: Disguise
) -> None:
    """Append one m-line and its lines to `lines`; `session` is the session-level c= line, or ""."""
    formats = media.line.split(" ", 3)[3:]
    lines.append(f"m={media.media} {end.port} {media.protocol} {formats[0] if formats else '0'}")
    at = len(lines)
    if stream.bare:
        lines += [line for line in media.lines if line.startswith("a=mid:")]
        if not session:
            lines.insert(at, _connection(end))
        return
    held = stream.host is not None and stream.host.unspecified
    connection = _ZERO[end.family] if held else _connection(end)
    named = False
    mux = end.mux
    for line in media.lines:
        do = _treatment(line)
        if do:
            if do == _CONNECTION:
                line = connection
                named = True
            elif do == _MUX:
                if not mux:
                    continue
                mux = False
            elif do == _SSRC:
                line = _disguise_ssrc(line, disguise)
            elif not _crosses(do, line, disguise):
                continue
        lines.append(line)
    if mux:
        lines.append("a=rtcp-mux")
    if not named and connection != session and (end.port or not session):
        lines.insert(at + (at < len(lines) and lines[at][0] == "i"), connection)


def _connection(end: OurEnd) -> str:
    return f"c=IN IP{end.family} {end.host}"


def _crosses(do: int, line: str, disguise: Disguise) -> bool:
    """Whether a line that does not simply cross may cross."""
    if do == _HIDE:
        return not disguise.hidden
    if do == _GROUP:  # RFC 9143: the bundled streams would share one transport, but each has ports of its own here
        return not line.startswith("a=group:BUNDLE")
    return do == _LOOK and not _ADDRESS.search(line) and not (disguise.hidden and _names(line, disguise.hosts))


def _names(line: str, hosts: frozenset[str]) -> bool:
    """Whether `line` holds one of `hosts` as a word."""
    text = line.lower()
    return any(host in text and re.search(rf"(?<![\w-]){re.escape(host)}(?![\w-])", text) for host in hosts)


def _disguise_ssrc(line: str, disguise: Disguise) -> str:
    if not disguise.hidden:
        return line
    head, separator, _ = line.partition(" cname:")
    return f"{head} cname:{disguise.cname}" if separator else line
