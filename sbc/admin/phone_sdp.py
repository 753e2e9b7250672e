"""Offers and answers of the built-in phones: one audio stream, PCMU. Pure."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from sbc.sdp import SdpError, SessionDescription, parse_sdp
from sbc.sip import Address

_REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


class PeerAudio(NamedTuple):
    """What the other side wants of the first audio stream that we can serve."""

    stream: int
    """Index of its m-line."""
    rtp: Address | None
    """None: on hold, send nothing."""
    rtcp: Address | None
    direction: str
    """Ours, in answer to theirs."""


def peer_audio(data: bytes) -> tuple[SessionDescription, PeerAudio | None]:
    """Read the other side's description; None where it has no audio in PCMU over RTP/AVP. Raises SdpError."""
    sdp = parse_sdp(data)
    session_connection = _connection(sdp.lines)
    session_direction = _direction([name for name, _ in sdp.attributes()]) or "sendrecv"
    for index, media in enumerate(sdp.media):
        if media.media != "audio" or not media.port or media.protocol != "RTP/AVP" or "0" not in media.formats:
            continue
        host = _connection(media.lines) or session_connection
        theirs = _direction([name for name, _ in media.attributes()]) or session_direction
        ours = _REVERSED.get(theirs, "sendrecv")
        if host is None or host in ("0.0.0.0", "::") or ours in ("recvonly", "inactive"):
            return sdp, PeerAudio(index, None, None, ours)
        rtcp = (media.attribute("rtcp") or "").partition(" ")[0]
        rtcp_port = int(rtcp) if rtcp.isdigit() and 0 < int(rtcp) < 65536 else media.port + 1
        return sdp, PeerAudio(index, Address(host, media.port), Address(host, rtcp_port), ours)
    return sdp, None


def description(
    host: str,
    port: int,
    version: int,
    session: int,
    username: str,
    offer: SessionDescription | None,
    audio: PeerAudio | None,
) -> bytes:
    """Our description: an offer, or with `offer` and `audio` the answer to it (RFC 3264 section 6: every m-line of
    the offer in its place, those not served with port 0).
    """
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o={username} {session} {version} IN {family} {host}",
        f"s={username}",
        f"c=IN {family} {host}",
        "t=0 0",
    ]
    ours = [f"m=audio {port} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=ptime:20"]
    if offer is None or audio is None:
        lines += [*ours, "a=sendrecv"]
    else:
        for index, media in enumerate(offer.media):
            if index == audio.stream:
                lines += [*ours, f"a={audio.direction}"]
            else:
                lines.append(f"m={media.media} 0 {media.protocol} {' '.join(media.formats)}")
    return ("\r\n".join(lines) + "\r\n").encode()


def _connection(lines: list[str]) -> str | None:
    """The address of c=, or None. Raises SdpError where it is no IP address."""
    for line in lines:
        if line.startswith("c="):
            host = line.split(" ")[-1].partition("/")[0]
            try:
                return str(ipaddress.ip_address(host))
            except ValueError:
                raise SdpError(0, "c= without an IP address") from None
    return None


def _direction(names: list[str]) -> str | None:
    return next((name for name in names if name in ("sendrecv", "sendonly", "recvonly", "inactive")), None)
