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


def mutated_of_phones(draw: random.Random, edge: str, host: str) -> bytes:
    """The same of what phones say outside calls: registrations, subscriptions, presence, messages."""
    message = bytearray(_of_phones(draw, edge, host))
    for _ in range(draw.choice((0, 0, 1, 1, 2, 4))):
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


_OUTSIDE_CALLS = ("REGISTER",) * 4 + ("SUBSCRIBE", "SUBSCRIBE", "PUBLISH", "MESSAGE", "NOTIFY", "OPTIONS", "INFO")
_CONTACTS = (
    "<sip:{user}@{host}:5060>", "<sip:{user}@192.168.1.9>;expires=60", "<sip:{user}@{host}>;q=2;expires=-1", "*",
    '<sip:{user}@{host};ob>;reg-id=1;+sip.instance="<urn:uuid:{user}>"', "<sips:{user}@{host}>", "<sip:>",
    "<mailto:a@b>",
    '<sip:{user}@{host}>;reg-id=4294967296;+sip.instance="<x>"', "<sip:{user}@{host}>, <sip:b@{host}>;expires=9",
    '"\\"" <sip:{user}@[::1]:5060>;expires=99999999999', "sip:{user}@{host};expires=x;q=abc",
)  # fmt: skip
_MORE = (
    "", "", "Expires: 0", "Expires: 3600", "Expires: -1", "Expires: 4294967296", "Event: presence",
    "Event: dialog;id=1", "Event: message-summary", "Event: x;id=\"a", "Subscription-State: active;expires=60",
    "Subscription-State: terminated",
    "Path: <sip:10.0.0.5;lr>", "Route: <sip:10.201.173.85;lr>", "Supported: outbound, path, gruu", "Require: outbound",
    "SIP-If-Match: x", "Accept: */*", 'Authorization: Digest username="1", realm="example.com", nonce="x", uri="sip:",'
    ' response="00112233445566778899aabbccddeeff"', 'Authorization: Digest response="\xe9", realm="example.com"',
    'Proxy-Authorization: Digest username*=UTF-8\'\'x, realm="example.com", nc=00000000, qop=auth-int',
    "P-Asserted-Identity: <",
)  # fmt: skip
_TARGETS = ("tel:+1", "urn:service:sos", "sip:%0d%0aX:%20y@example.com", "mailto:a@example.com", "sip:" + "sip:" * 500)
_USERS = (
    "sip:%0d%0aX:%20y@example.com", "sip:%1b%5b2J@example.com", "sip:%00@example.com", "sip:%ff%fe@example.com", "sip:",
    "sip:a:secret@example.com", "tel:+1", "sip:1001;x=y@example.com", "urn:service:sos", "sip:%3e%3bx=y@example.com",
)  # fmt: skip
_XML = b'<?xml version="1.0"?>'
_DOCUMENTS = (
    ("", b""),
    ("application/pidf+xml", _XML + b'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:a@10.0.0.5"/>'),
    ("application/pidf+xml", _XML + b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;&c;</a>'),
    ("application/dialog-info+xml", _XML + b"<dialog-info>" * 2000),
    ("application/dialog-info+xml", '<dialog-info entity="sip:a@10.0.0.5"/>'.encode("utf-16")),
    ("application/reginfo+xml", b'<?xml version="1.0" encoding="x"?><reginfo/>'),
    ("application/simple-message-summary", b"Messages-Waiting: yes\r\nMessage-Account: sip:a@10.0.0.5\r\n\r\n"),
    ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n"),
    ("text/plain", b"call me at 10.0.0.5"),
    ("message/sipfrag", b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.5\r\n"),
)


def _of_phones(draw: random.Random, edge: str, host: str) -> bytes:
    method, number, user = draw.choice(_OUTSIDE_CALLS), draw.getrandbits(24), draw.choice(("1001", "1002", "%61", ""))
    kind, body = draw.choice(_DOCUMENTS)
    domain = draw.choice(("example.com", "example.com", edge, "10.201.173.85"))
    target = f"sip:{domain}" if method == "REGISTER" else f"sip:{user}@{domain}"
    lines = [
        f"{method} {draw.choice((target,) * 8 + _TARGETS)} SIP/2.0",
        f"Via: SIP/2.0/UDP {draw.choice((host, '192.168.1.9'))}:5060;branch=z9hG4bKp{number};rport",
        "Max-Forwards: 70",
        f"From: <{draw.choice((f'sip:{user}@{domain}',) * 8 + _USERS)}>;tag=g{number}",
        f"To: <{draw.choice((f'sip:{user}@{domain}',) * 8 + _USERS)}>{draw.choice(('', '', '', ';tag=abc'))}",
        f"Call-ID: phones{number % 64}@{host}",
        f"CSeq: {draw.choice((1, 2, number, 2147483647))} {method}",
        "Contact: " + draw.choice(_CONTACTS).format(user=user, host=host),
        *filter(None, (draw.choice(_MORE) for _ in range(3))),
        *([f"Content-Type: {kind}"] if kind else []),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


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
