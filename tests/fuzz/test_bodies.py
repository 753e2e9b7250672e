"""Multipart bodies of any shape, and tampered ones: another parser reads what we write, nothing escapes but documented
errors, nothing of a hidden zone crosses."""

from __future__ import annotations

import email
import email.message
import email.policy
import random
import time
from typing import NamedTuple

import pytest

from sbc.b2bua.bodies import Body, put, read, refusal, session_description
from sbc.b2bua.hosts import Border
from sbc.sip import Headers, Request, SipError

HIDDEN = Border(True, True, ("10.0.0.5", "pbx.corp.example"), "192.0.2.1")
SHOWN = HIDDEN._replace(hidden=False)
OURS = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
SECRETS = (b"10.0.0.5", b"10.0.0.77", b"pbx.corp.example")
KINDS = (
    "application/sdp",
    "application/isup",
    "text/plain",
    "application/pidf+xml",
    "message/sip",
    "Text/HTML;charset=x",
)
SUBTYPES = ("mixed", "alternative", "related", "signed", "x-own")
FIELDS = (
    ("Content-Disposition", "signal;handling=optional"),
    ("Content-Disposition", "session; handling=required"),
    ("Content-Disposition", "early-session"),
    ("Content-ID", "<1@10.0.0.5>"),
    ("Content-Location", "sip:10.0.0.77"),
    ("Content-Description", "from pbx.corp.example"),
    ("Content-Encoding", "gzip"),
    ("X-Own", "10.0.0.5"),
)
TEXT = (
    *(b"v=0\r\ns=-\r\n", b"", b"\r\n", b"--", b"--b0", b"--b1--\r\n", b"\r\n--bb0\r\n", b"\x00\xff\x01"),
    *SECRETS,
)


class Part(NamedTuple):
    kind: str
    fields: tuple[tuple[str, str], ...]
    content: bytes
    parts: tuple[Part, ...] = ()


def tree(chance: random.Random, depth: int = 0) -> Part:
    """A body of any shape."""
    if depth < 2 and chance.random() < (0.8, 0.3)[depth]:
        parts = tuple(tree(chance, depth + 1) for _ in range(chance.randrange(1, 4)))
        return Part(f"multipart/{chance.choice(SUBTYPES)}", (), b"", parts)
    fields = tuple({field[0]: field for field in chance.sample(FIELDS, chance.randrange(3))}.values())
    text = b"".join(chance.choice(TEXT) for _ in range(chance.randrange(4)))
    return Part(chance.choice(KINDS), fields, text + chance.randbytes(chance.randrange(4)))


def written(part: Part, depth: int = 0) -> tuple[str, bytes]:
    """Content-Type and content; containers by boundaries that begin like each other."""
    if not part.parts:
        return part.kind, part.content
    boundary = "b" * (depth + 1) + "0"
    octets = b""
    for each in part.parts:
        kind, content = written(each, depth + 1)
        head = "".join(f"{name}: {value}\r\n" for name, value in (("Content-Type", kind), *each.fields))
        octets += f"--{boundary}\r\n{head}\r\n".encode() + content + b"\r\n"
    return f"{part.kind};boundary={boundary}", octets + f"--{boundary}--\r\n".encode()


def request(kind: str, content: bytes) -> Request:
    return Request("INVITE", "sip:a@b", Headers((("Content-Type", kind),)), content)


def leaves(body: Body | None) -> list[tuple[str, bytes]]:
    if body is None:
        return []
    return [leaf for each in body.parts for leaf in leaves(each)] or [(body.kind, body.content)]


def seen_by_another(message: email.message.Message) -> list[tuple[str, bytes]]:
    if not message.is_multipart() or message.get_content_type() == "message/external-body":
        return [(message.get_content_type(), message.get_payload(decode=True))]
    return [leaf for each in message.get_payload() for leaf in seen_by_another(each)]


def read_by_another(message: Request) -> list[tuple[str, bytes]]:
    head = f"MIME-Version: 1.0\r\nContent-Type: {message.headers.get('Content-Type')}\r\n\r\n".encode()
    return seen_by_another(email.message_from_bytes(head + message.body, policy=email.policy.compat32))


def crossed(message: Request, border: Border) -> Request:
    built = Request("INVITE", "sip:a@b", Headers())
    put(built, OURS, message, border)
    return built


@pytest.mark.parametrize("border", [HIDDEN, SHOWN], ids=["hidden", "shown"])
def test_what_crosses_is_whole_and_tells_nothing(border: Border) -> None:
    compared = 0
    for seed in range(1500):
        message = request(*written(tree(random.Random(seed))))
        try:
            before = leaves(read(message))
        except SipError:
            continue
        built = crossed(message, border)
        after = leaves(read(built))
        assert after.count(("application/sdp", OURS)) == 1, seed
        assert all(leaf in before for leaf in after if leaf != ("application/sdp", OURS)), seed
        assert not {kind for kind, _ in after} & {"message/sip", "multipart/signed"}, seed
        assert not border.hidden or not secrets_in(built), seed
        if all(is_plain(content) for _, content in after):
            compared += 1
            assert read_by_another(built) == after, seed
    assert compared > 300


def secrets_in(message: Request) -> list[bytes]:
    octets = message.to_bytes().lower()
    return [secret for secret in SECRETS if secret in octets]


def is_plain(content: bytes) -> bool:
    """The other parser takes CR and LF by themselves for ends of lines, too."""
    rest = content.replace(b"\r\n", b"")
    return b"\r" not in rest and b"\n" not in rest


@pytest.mark.parametrize("border", [HIDDEN, SHOWN], ids=["hidden", "shown"])
def test_what_is_not_refused_loses_nothing_that_is_required(border: Border) -> None:
    served = 0
    for seed in range(1500):
        shape = tree(random.Random(seed))
        message = request(*written(shape))
        verdict = refusal(message, border)
        if verdict is not None:
            assert verdict.status in (400, 415), seed
            continue
        if b"--b" in b"".join(content for _, content in required(shape)):
            continue  # a part that holds a delimiter is two
        served += 1
        kept = leaves(read(crossed(message, border)))
        for kind, content in required(shape) if message.body else ():
            if kind != "application/sdp":
                assert (kind.partition(";")[0].lower(), content) in kept, seed
    assert served > 100


def required(part: Part) -> list[tuple[str, bytes]]:
    if any("optional" in value for _, value in part.fields) or part.kind == "multipart/alternative":
        return []
    if not part.parts:
        return [(part.kind, part.content)]
    return [leaf for each in part.parts for leaf in required(each)]


MORSELS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b":", b"--", b"--b0", b"--b0--"),
    *(b"\r\n\r\n", b"\xff", b"Content-Type: ", b"multipart/", b"boundary=", b"b0"),
)


def test_whatever_comes_nothing_escapes_and_nothing_leaks() -> None:
    for seed in range(3000):
        chance = random.Random(seed)
        kind, content = written(tree(chance))
        data = bytearray(content)
        for _ in range(chance.randrange(1, 6)):
            start = chance.randrange(len(data) + 1)
            data[start : start + chance.randrange(12)] = chance.choice(MORSELS) + chance.randbytes(chance.randrange(3))
        message = request(kind, bytes(data))
        for border in (HIDDEN, SHOWN):
            verdict = refusal(message, border)
            assert verdict is None or verdict.status in (400, 415), seed
            built = crossed(message, border)
            assert [kind for kind, _ in leaves(read(built))].count("application/sdp") == 1, seed
            assert session_description(built) == OURS, seed
            assert not border.hidden or not secrets_in(built), seed
        assert isinstance(session_description(message), bytes)


@pytest.mark.parametrize(
    "content",
    [
        b"--b0\r\n" * 8000,
        b"--b0\r\n\r\n\r\n" * 5000,
        b"\r\n--b0" * 8000,
        b"--b0\r\n" + b"a" * 60_000,
        b"--b0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n--b0--",
        b"--b0" + b" " * 60_000,
    ],
)
def test_reading_takes_time_in_proportion(content: bytes) -> None:
    started = time.process_time()
    crossed(request("multipart/mixed;boundary=b0", content), HIDDEN)
    assert time.process_time() - started < 0.5


_INNER = b"--b1\r\n\r\n1\r\n--b1\r\n\r\n2\r\n--b1--"


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    "head",
    [
        b"Content-ID: <" + b"%40" * 10_000 + b"192.168.1.7",
        b"Content-ID: <" + b"@" * 30_000 + b"192.168.1.7",
        b"Content-ID: " + b"<" * 30_000 + b"192.168.1.7",
        b"Content-Type: multipart/mixed;boundary=b1;a=b" + b" " * 30_000 + b";c=d",
        b"Content-Type: multipart/mixed;boundary=b1;a=b" + b";" * 30_000,
        b"Content-Disposition: a" + b"; handling" * 3000,
    ],
)
def test_header_fields_of_parts_take_time_in_proportion(head: bytes, hidden: bool) -> None:
    content = b"--b0\r\n" + head + b"\r\n\r\n" + _INNER + b"\r\n--b0\r\n\r\nx\r\n--b0--"
    started = time.process_time()
    crossed(request("multipart/mixed;boundary=b0", content), HIDDEN._replace(hidden=hidden))
    assert time.process_time() - started < 0.5
