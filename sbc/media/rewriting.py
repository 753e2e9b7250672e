"""One side's session description, made into what the other side may see.

What crosses is decided per line: the address lines are written anew, attributes of things that this leg does not speak
are left out, and whatever could name a host of a hidden side stays behind (RFC 5853 section 3.1). Attributes that are
not known cross, unless they hold an address: nothing may lead media past us, hidden or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from sbc.media.reading import MEMORABLE, StreamReading, read_host, read_session
from sbc.sdp import SessionDescription, split_lines

_KEEP, _DROP, _HIDE, _LOOK, _GROUP = range(5)
"""What to do with a line: keep, drop, drop if hidden, look into it for addresses and names, a=group."""

_ATTRIBUTE_LISTS = {
    # values that cannot name a host; they cross unseen
    "rtpmap sendrecv sendonly recvonly inactive ptime maxptime maxrate framerate quality mid rid simulcast": _KEEP,
    "silenceSupp rtcp-fb rtcp-rsize rtcp-xr extmap-allow-mixed ssrc-group curr des conf lang hilang": _KEEP,
    "imageattr content label": _KEEP,
    # of MSRP: types of messages, files (RFC 4975, 5547: hashes look like addresses), chat rooms (RFC 7701)
    "accept-types accept-wrapped-types max-size": _KEEP,
    "file-selector file-transfer-id file-disposition file-date file-range chatroom": _KEEP,
    "T38FaxVersion T38MaxBitRate T38FaxFillBitRemoval T38FaxTranscodingMMR T38FaxTranscodingJBIG T38FaxUdpEC": _KEEP,
    "T38FaxRateManagement T38FaxMaxBuffer T38FaxMaxDatagram T38FaxMaxIFP T38FaxUdpFECMaxSpan": _KEEP,
    # ICE (RFC 8839, 8840) and its alternatives (RFC 6947, TS 24.229): lists of addresses that would lead media past us
    "candidate ice-ufrag ice-pwd ice-options ice-lite ice-mismatch ice-pacing end-of-candidates": _DROP,
    "remote-candidates altc alt x-candidates visited-realm secondary-realm": _DROP,
    # keys, and who holds them: none of ours (RFC 4567, 4568, 8122, 8842, 8827, 4145)
    "crypto key-mgmt fingerprint setup tls-id dtls-id identity connection": _DROP,
    # transports and addresses to choose instead: what we do not speak, or where we are not (RFC 5939, 6871, 7006)
    "tcap pcfg acap acfg csup creq rmcap omcap mfcap mscap lcfg sescap icap bcap ccap": _DROP,
    # where RTP and RTCP come from and go to is our own affair (RFC 3605, 4570, 8858, 9143), and MSRP's (4975, 6714)
    "rtcp rtcp-mux-only source-filter bundle-only path msrp-cema": _DROP,
    # software, and free text about the session (RFC 8866 sections 6.1 to 6.3)
    "tool cat keywds": _HIDE,
    "group": _GROUP,
    "rtcp-mux ssrc": _KEEP,  # and then treated on their own
}
_ATTRIBUTES = {name: what for names, what in _ATTRIBUTE_LISTS.items() for name in names.split()}
"""What to do with each attribute; those that are not here: look into it."""

_TYPES = dict.fromkeys("trzb", _KEEP) | dict.fromkeys("iuep", _HIDE) | dict.fromkeys("vok", _DROP)
"""What to do with the other lines by type; k= (keys in the clear) is obsolete (RFC 8866 section 5.12)."""

_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}")
"""What may be an IP address: better one attribute too few than a way around us."""

_WHO_OPENS = frozenset(
    {f"a=setup:{role}" for role in ("active", "passive", "actpass", "holdconn")}
    | {"a=connection:new", "a=connection:existing"}
)
"""Who speaks first (RFC 4145 section 4): kept for streams of plain datagrams, since BFCP over UDP is often said with it
as it is over TCP; for RTP it would speak of DTLS."""

_ZERO = {4: "c=IN IP4 0.0.0.0", 6: "c=IN IP6 ::"}


class OurEnd(NamedTuple):
    """Where the reader of a description finds us for one stream."""

    host: str
    """Advertised address."""
    family: int
    port: int
    """0: the stream is refused or disabled."""
    mux: bool
    """Say a=rtcp-mux."""
    lines: tuple[str, ...] = ()
    """What else is to be said of us."""


class Disguise(NamedTuple):
    """What must not be seen of the writer of a description."""

    hidden: bool
    names: frozenset[str]
    """Host names known to be the writer's, in lower case. (IP addresses do not cross in any attribute, whose ever.)"""
    cname: str
    """Stands for its RTCP CNAMEs (RFC 5576 section 6.1)."""


def host_names(description: SessionDescription, streams: Iterable[StreamReading]) -> frozenset[str]:
    """Host names that a description gives as its writer's own: in o=, c= and ICE candidates."""
    hosts = {description.origin.rpartition(" ")[2], *read_session(description.session).hosts}
    for stream in streams:
        hosts.update(stream.section.hosts)
        if stream.host is not None:
            hosts.add(stream.host.text)
    return frozenset(host.lower() for host in hosts if host.strip("0123456789.:/") and not _ADDRESS.match(host))


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
    text = description.session
    remembered = _session if not disguise.names and len(text) < MEMORABLE else _session.__wrapped__
    session, connection = remembered(text, default.family, default.host, disguise.hidden, disguise.names)
    lines = [session]
    for media, stream, end in zip(description.media, streams, ends, strict=True):
        lines.append(f"m={media.media} {end.port} {media.protocol} {media.format_list or '0'}")
        _rewrite_section(lines, media.body, stream, end, connection, disguise)
    lines.append("")
    return "\r\n".join(lines)


@lru_cache(maxsize=512)
def _session(text: str, family: int, host: str, hidden: bool, names: frozenset[str]) -> tuple[str, str]:
    """What the session-level lines in `text` become, and the c= line among them, or ""."""
    default = OurEnd(host, family, 0, False)
    disguise = Disguise(hidden, names, "")
    connection = ""
    lines: list[str] = []
    has_name = has_time = False
    for line in split_lines(text):
        kind = line[0]
        if kind == "t":
            has_time = True
        elif kind == "c":
            read = read_host(line[2:])
            line = connection = _connection(default, read is not None and read.unspecified)
        elif kind == "s":
            has_name = True
            line = "s=-" if hidden or len(line) == 2 else line
        elif not _crosses(line, disguise):
            continue
        lines.append(line)
    if not has_name:
        lines.insert(0, "s=-")
    if not has_time:
        at = next((number for number, line in enumerate(lines) if line[0] in "rzka"), len(lines))
        lines.insert(at, "t=0 0")
    return "\r\n".join(lines), connection


class _Crossing(NamedTuple):
    """What of a section may cross, as far as its text alone decides it."""

    lines: tuple[str, ...]
    text: str
    """The lines in one; "" if there is none, or if some of them depend on the call (c=, i=, ssrc, rtcp-mux)."""
    looked: tuple[str, ...]
    """Those that must not hold a host name."""


def _rewrite_section(
    lines: list[str], body: str, stream: StreamReading, end: OurEnd, session: str, disguise: Disguise
) -> None:
    """Append the lines after an m-line to `lines`; `session` is the session-level c= line, or ""."""
    connection = _connection(end, stream.host is not None and stream.host.unspecified)
    if stream.bare:
        lines += [line for line in split_lines(body) if line.startswith("a=mid:")]
        if not session:
            lines.insert(len(lines), connection)
        return
    remembered = _crossing if len(body) < MEMORABLE and not end.lines else _crossing.__wrapped__
    crossing = remembered(body, disguise.hidden, stream.kind == "udp")
    add_connection = connection != session and bool(end.port or not session)
    if crossing.text and not (disguise.names and _any_names(crossing.looked, disguise.names)):
        if add_connection:
            lines.append(connection)
        lines.append(crossing.text)
        if end.mux:
            lines.append("a=rtcp-mux")
        lines += end.lines
        return
    at = len(lines)
    for line in crossing.lines:
        if line[0] == "c":
            line = connection
            add_connection = False
        elif line == "a=rtcp-mux":
            continue
        elif disguise.hidden and line.startswith("a=ssrc:"):
            line = _disguise_ssrc(line, disguise.cname)
        elif disguise.names and line in crossing.looked and _any_names((line,), disguise.names):
            continue
        lines.append(line)
    if end.mux:
        lines.append("a=rtcp-mux")
    lines += end.lines
    if add_connection:
        lines.insert(at + (at < len(lines) and lines[at][0] == "i"), connection)


@lru_cache(maxsize=512)
def _crossing(body: str, hidden: bool, opaque: bool) -> _Crossing:
    nobody = Disguise(hidden, frozenset(), "")
    lines = [
        line
        for line in split_lines(body)
        if line[0] == "c" or _crosses(line, nobody) or (opaque and line in _WHO_OPENS)
    ]
    fixed = not any(line[0] in "ci" or line == "a=rtcp-mux" or line.startswith("a=ssrc:") for line in lines)
    looked = tuple(line for line in lines if hidden and _treatment(line) == _LOOK)
    return _Crossing(tuple(lines), "\r\n".join(lines) if fixed else "", looked)


def _connection(end: OurEnd, held: bool) -> str:
    if held:
        return _ZERO[end.family]
    return f"c=IN IP{end.family} {end.host}"


def _treatment(line: str) -> int:
    if line[0] == "a":
        return _ATTRIBUTES.get(line[2:].partition(":")[0], _LOOK)
    return _TYPES.get(line[0], _LOOK)


def _crosses(line: str, disguise: Disguise) -> bool:
    """Whether a line may cross, as it is or with a part replaced."""
    do = _treatment(line)
    if do == _LOOK:
        return not _ADDRESS.search(line) and not (disguise.names and _any_names((line,), disguise.names))
    if do == _HIDE:
        return not disguise.hidden
    if do == _GROUP:  # RFC 9143: bundled streams would share one transport, but each has ports of its own here
        return not line.startswith("a=group:BUNDLE")
    return do == _KEEP


def _any_names(lines: Iterable[str], names: frozenset[str]) -> bool:
    """Whether one of `lines` holds one of `names` as a word."""
    text = "\n".join(lines).lower()
    return any(name in text and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) for name in names)


def _disguise_ssrc(line: str, cname: str) -> str:
    head, separator, _ = line.partition(" cname:")
    return f"{head} cname:{cname}" if separator else line
