"""The parser and the stream framer against what nobody thought of: nothing leaves them but SipError, and what they read
comes back the same. Under a minute; `python -m tests.fuzz.sip_target` goes on for as long as one likes."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbc.sip import (
    Headers,
    Limits,
    LocalProtocolError,
    RemoteProtocolError,
    Request,
    Response,
    SipError,
    StreamFramer,
    make_response,
    parse,
    parse_name_address,
    parse_uri,
    parse_via,
    split_list,
    uri_equal,
)
from tests.fuzz.sip_target import read_datagram, read_stream

CORPUS = sorted((Path(__file__).parents[1] / "conformance" / "data").glob("rfc*/*.[ds]*"))
SEEDS = [path.read_bytes() for path in CORPUS]
MORSELS = [
    *(bytes([octet]) for octet in b'\r\n\0 \t:;,<>"\\@?=%[]()\x7f\x80\xff'),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n ",
        b"SIP/2.0",
        b"Via:",
        b"v:",
        b"Content-Length: 9",
        b"l:-1",
        b";tag=",
        b"%00",
        b":::",
    ),
    *(b'"\\', b"\xc3\xa4", b"9" * 30, b"z9hG4bK", b"sip:", b"tel:", b"INVITE ", b"ACK "),
]


def mutated(seed: bytes, chance: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at:at] = chance.choice(MORSELS)
            case 2:
                del data[at : at + chance.choice((1, 1, 3, 20))]
            case 3:
                other = chance.choice(SEEDS)
                start = chance.randrange(len(other))
                data[at:at] = other[start : start + chance.randrange(60)]
            case _:
                del data[at:]
                data += chance.choice((b"", b"\r\n", b"\r\n\r\n"))
    return bytes(data)


def test_there_are_seeds() -> None:
    assert len(SEEDS) == 49 + 12


@pytest.mark.parametrize("seed", range(len(SEEDS)), ids=[path.name for path in CORPUS])
def test_mutated_torture_messages(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(300):
        data = mutated(SEEDS[seed], chance)
        read_datagram(data)
        read_stream(data + chance.choice(SEEDS), chance.choice((1, 5, 77, 100_000)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2000))
def test_anything(data: bytes) -> None:
    read_datagram(data)
    read_stream(data, 7)


# -- messages made here -----------------------------------------------------------------------------------------------

tokens = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
names = tokens.filter(lambda name: name.lower() not in ("l", "content-length"))
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40).map(lambda text: text.strip(" \t"))
hosts = st.sampled_from(["example.com", "192.0.2.1", "[2001:db8::1]", "a_b", "x.y."])
users = st.text("abc019-_.!~*'()&=+$,;?/#", min_size=1, max_size=12)
parameters = st.lists(st.tuples(tokens, st.none() | tokens), max_size=3, unique_by=lambda pair: pair[0].lower()).map(
    lambda pairs: "".join(f";{name}" if value is None else f";{name}={value}" for name, value in pairs)
)
uri_tokens = st.text("abc019-.!*_+~", min_size=1, max_size=8)
uri_parameters = st.lists(uri_tokens, max_size=3, unique_by=str.lower).map(lambda all_: "".join(f";{x}" for x in all_))
ports = st.none() | st.integers(1, 65535)


@st.composite
def uris(draw: st.DrawFn) -> str:
    user = draw(st.none() | users)
    port = draw(ports)
    return (
        draw(st.sampled_from(["sip:", "sips:"]))
        + ("" if user is None else f"{user}@")
        + draw(hosts)
        + ("" if port is None else f":{port}")
        + draw(uri_parameters)
    )


@st.composite
def messages(draw: st.DrawFn) -> Request | Response:
    method = draw(tokens)
    uri = draw(uris())
    headers = Headers()
    headers.add("Via", f"SIP/2.0/UDP {draw(hosts)}{draw(parameters)}")
    headers.add(draw(st.sampled_from(["From", "f", "FROM"])), f"<{draw(uris())}>{draw(parameters)}")
    headers.add("To", f"{draw(tokens)} <{draw(uris())}>")
    headers.add("i", draw(tokens))
    headers.add("CSeq", f"{draw(st.integers(0, 2**31 - 1))} {method}")
    for name, value in draw(st.lists(st.tuples(tokens.map(lambda name: f"X-{name}"), texts), max_size=5)):
        headers.add(name, value)
    body = draw(st.binary(max_size=50))
    if draw(st.booleans()):
        return Request(method, uri, headers, body)
    return Response(draw(st.integers(100, 699)), draw(texts), headers, body)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages())
def test_what_is_written_is_read_the_same(message: Request | Response) -> None:
    data = message.to_bytes()
    again = parse(data, Limits())
    assert again.to_bytes() == data
    assert list(again.headers)[:-1] == list(message.headers)
    assert again.headers.get("Content-Length") == str(len(message.body))
    assert again.body == message.body
    if isinstance(message, Request):
        assert isinstance(again, Request)
        assert (again.method, again.uri) == (message.method, message.uri)
        again.check()
        assert parse(make_response(again, 200, to_tag="t").to_bytes(), Limits()).to.tag == "t"
    else:
        assert isinstance(again, Response)
        assert (again.status, again.reason) == (message.status, message.reason)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(messages(), max_size=4), st.lists(st.integers(0, 3000), max_size=8))
def test_a_stream_comes_apart_as_it_was_put_together(sent: list[Request | Response], cuts: list[int]) -> None:
    wanted = [message.to_bytes() for message in sent]
    stream = b"".join(wanted)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    framer = StreamFramer(Limits())
    got = [each for start, end in pairwise(edges) for each in framer.feed(stream[start:end])]
    assert got == wanted
    assert not framer.begun


@settings(max_examples=300, deadline=None)
@given(uris())
def test_uris_are_written_as_they_read(text: str) -> None:
    uri = parse_uri(text)
    assert str(parse_uri(str(uri))) == str(uri)
    assert parse_uri(str(uri)) == uri
    if uri.user is not None:
        assert uri_equal(uri, parse_uri(text.replace(uri.user, uri.user.replace("a", "%61"), 1)))


@settings(max_examples=500, deadline=None)
@given(st.text('ab1@:;,?=<>"\\ \t[].%*#\r\n\0\u00e4', max_size=30))
def test_shapes_of_anything(text: str) -> None:
    for value in (text, f"sip:{text}", f"<sip:{text}>", f'"{text}" <sip:a@b>', f"SIP/2.0/UDP {text}"):
        split_list(value)
        for read in (parse_uri, parse_name_address, parse_via):
            try:
                shape = read(value)
                written = str(shape)
            except RemoteProtocolError:
                continue
            assert "\r" not in written
            assert "\n" not in written
            if written != "<*>":
                assert read(written) == shape


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20), st.text(max_size=40))
def test_what_headers_take_cannot_become_another_header(name: str, value: str) -> None:
    headers = Headers()
    try:
        headers.add(name, value)
        data = Response(200, "OK", headers).to_bytes()
    except LocalProtocolError:
        return
    except SipError:
        pytest.fail("not a local fault")
    if headers.get("Content-Length") is None:
        assert data.count(b"\r\n") == 4
