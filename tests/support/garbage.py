"""Messages that went wrong on the way, and plain noise: drawn from one `random.Random`, so a run can be repeated."""

from __future__ import annotations

import random

from tests.support.raw import offer

_METHODS = (
    "INVITE",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "UPDATE",
    "PRACK",
    "INFO",
    "MESSAGE",
    "NOTIFY",
    "FOO",
)
_NASTY = (
    *(bytes([byte]) for byte in b'\x00\r\n\t\xff%<>"\\;,@:[]{ 0'),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n ",
        b"\xc3\x28",
        b"\xe2\x80\xae",
        b"%00",
        b"9" * 40,
        b"A" * 3000,
        b"-1",
        b"4294967296",
    ),
    *(b"sip:", b"tel:+1", b"sip:a@[::1", b";tag=", b";branch=z9hG4bK", b";rport", b";lr", b"SIP/2.0", b"SIP/3.0"),
    *(b"Via: ", b"Content-Length: 5\r\n", b"v=0", b"m=audio 0 RTP/AVP", b"c=IN IP4 0.0.0.0", b"c=IN IP6 ::"),
)
_EXTRAS = ("", "", "Require: 100rel\r\n", "Route: <sip:x@198.51.100.9;lr>\r\n", "Replaces: a;to-tag=b;from-tag=c\r\n")


def mutated(draw: random.Random, edge: str, host: str) -> bytes:
    """A request or response as `host` would send it to `edge`, with up to six things wrong, sometimes none."""
    message = bytearray(_message(draw, edge, host))
    for _ in range(draw.randrange(7)):
        _mutate(draw, message)
    return bytes(message)


def noise(draw: random.Random) -> bytes:
    """Random bytes, sometimes made to look like RTP, RTCP, STUN or text."""
    data = draw.randbytes(draw.choice((0, 1, 4, 12, 13, 100, 1400, 4000)))
    shape = draw.randrange(5)
    if shape == 0:
        return b"\x80" + data
    if shape == 1:
        return b"\x81" + bytes([draw.choice((200, 201, 202, 203, 204))]) + data
    if shape == 2:
        return b"\x00\x01\x00\x08\x21\x12\xa4\x42" + data
    if shape == 3:
        return bytes(byte & 0x7F for byte in data)
    return data


def _message(draw: random.Random, edge: str, host: str) -> bytes:
    method = draw.choice(_METHODS)
    number = draw.getrandbits(24)
    tag = draw.choice(("", "", ";tag=abc"))
    body = draw.choice((b"", offer(host, 6000), offer(host, 6000), b"--b\r\n\r\nx\r\n--b--", draw.randbytes(40)))
    kind = draw.choice(("application/sdp", "application/sdp", "multipart/mixed;boundary=b", "text/plain"))
    first = (
        f"SIP/2.0 {draw.choice((100, 180, 200, 404, 486, 503, 699))} Whatever"
        if draw.random() < 0.15
        else f"{method} {draw.choice(('sip', 'sip', 'sip', 'tel', 'sips', 'im'))}:1001@{edge} SIP/2.0"
    )
    head = (
        f"{first}\r\nVia: SIP/2.0/{draw.choice(('UDP', 'UDP', 'TCP'))} {host}:5060;branch=z9hG4bKg{number};rport\r\n"
        f'Max-Forwards: {draw.choice((70, 70, 1, 0))}\r\nFrom: "A" <sip:a@{host}>;tag=g{number}\r\n'
        f"To: <sip:1001@{edge}>{tag}\r\nCall-ID: garbage{number}@{host}\r\n"
        f"CSeq: {draw.choice((1, 1, 2, 2147483647))} {method}\r\nContact: <sip:a@{host}:5060>\r\n"
        f"{draw.choice(_EXTRAS)}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _mutate(draw: random.Random, message: bytearray) -> None:
    """One thing wrong: bytes changed, put in, taken out, lines doubled, dropped or swapped, or cut short."""
    at = draw.randrange(len(message) + 1)
    what = draw.randrange(8)
    if what == 0 and message:
        message[at % len(message)] = draw.randrange(256)
    elif what == 1:
        message[at:at] = draw.choice(_NASTY)
    elif what == 2:
        del message[at : at + draw.choice((1, 3, 20))]
    elif what == 3:
        del message[at:]
    elif what == 4 and message:
        message[at % len(message)] ^= 1 << draw.randrange(8)
    else:
        lines = bytes(message).split(b"\r\n")
        one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
        if what == 5:
            lines.insert(one, lines[two])
        elif what == 6:
            del lines[one]
        else:
            lines[one], lines[two] = lines[two], lines[one]
        message[:] = b"\r\n".join(lines)
