"""SIP requests as bytes, for tests that speak without a stack."""

from __future__ import annotations

import itertools
import os
import re

_numbers = itertools.count(1)


def request(
    method: str,
    uri: str,
    local: tuple[str, int],
    *,
    transport: str = "UDP",
    headers: tuple[str, ...] = (),
    body: bytes = b"",
    max_forwards: int = 70,
    to_tag: str = "",
) -> bytes:
    """The first request of a new dialog (or, with `to_tag`, one as if in a dialog), with identifiers of its own."""
    number = f"{os.getpid()}x{next(_numbers)}"
    host = f"[{local[0]}]" if ":" in local[0] else local[0]
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{transport} {host}:{local[1]};branch=z9hG4bKraw{number};rport",
        f"From: <sip:raw@{host}>;tag=raw{number}",
        f"To: <{uri}>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: raw-{number}@{host}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:raw@{host}:{local[1]}>",
        f"Max-Forwards: {max_forwards}",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def offer(address: str, port: int) -> bytes:
    """A small SDP offer of PCMU."""
    family = "IP6" if ":" in address else "IP4"
    return (
        f"v=0\r\no=- 1 1 IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    ).encode()


def response(request: bytes, start: str, to_tag: str, headers: tuple[str, ...] = (), body: bytes = b"") -> bytes:
    """The response to `request` with the status line "SIP/2.0 `start`" (RFC 3261 section 8.2.6.2); without `to_tag`
    for a request in a dialog, whose To has one."""
    tag = b";tag=" + to_tag.encode() if to_tag else b""
    to = [line + tag for line in header_lines(request, "to", "t")]
    same = header_lines(request, "via", "v") + header_lines(request, "from", "f", "call-id", "i", "cseq")
    own = [line.encode() for line in (*headers, f"Content-Length: {len(body)}")]
    return b"\r\n".join([b"SIP/2.0 " + start.encode(), *same, *to, *own]) + b"\r\n\r\n" + body


def in_dialog(method: str, invite: bytes, answer: bytes) -> bytes:
    """The ACK or BYE of the caller in the dialog that `answer`, a 2xx to its `invite`, made (RFC 3261 section 12.2.1.1;
    no route set)."""
    (contact,) = header_lines(answer, "contact", "m")
    number = 1 if method == "ACK" else 2
    lines = [
        f"{method} {contact.split(b'<')[1].split(b'>')[0].decode()} SIP/2.0".encode(),
        *(line.replace(b"z9hG4bK", b"z9hG4bK" + method.encode()) for line in header_lines(invite, "via", "v")),
        *header_lines(invite, "from", "f", "call-id", "i"),
        *header_lines(answer, "to", "t"),
        f"CSeq: {number} {method}".encode(),
        b"Max-Forwards: 70",
        b"Content-Length: 0",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def header_lines(message: bytes, *names: str) -> list[bytes]:
    """The lines of the headers so named (lower case), folded ones left as they are."""
    wanted = {name.encode() for name in names}
    return [line for line in head(message)[1:] if line.split(b":")[0].strip().lower() in wanted]


def head(message: bytes) -> list[bytes]:
    """Start line and header lines."""
    return re.split(rb"\r\n(?![ \t])", message.split(b"\r\n\r\n")[0])


def status(message: bytes) -> int:
    """Status of a response; 0 for anything else."""
    return int(message[8:11]) if message.startswith(b"SIP/2.0 ") else 0
