"""What is told of a REGISTER without reading it."""

from __future__ import annotations

import pytest

from sbc.sip import Glance, Limits, Packet, Request, make_response, parse
from sbc.sip.glance import glance
from sbc.sip.matching import note_source, server_key
from tests.support.sip_stack import LIMITS, TCP, UDP, new_stack, received, request_bytes

CREDENTIALS = 'Authorization: Digest username="a", realm="b", nonce="c", uri="sip:b", response="%s"\r\n'


def register(cseq: int = 1, branch: str = "z9hG4bKone", **changes: str) -> bytes:
    return request_bytes("REGISTER", cseq=cseq, branch=branch, uri="sip:example.com", **changes)  # type: ignore[arg-type]


def seen(data: bytes) -> Glance:
    found = glance(Packet(data, UDP), LIMITS)
    assert found is not None
    return found


def test_what_is_new_in_each_repetition_makes_no_difference() -> None:
    first = seen(register(more=CREDENTIALS % "1234"))
    second = seen(register(2, "z9hG4bKtwo", more=CREDENTIALS % "5678"))
    assert first.common == second.common
    assert (first.cseq, second.cseq) == (1, 2)


@pytest.mark.parametrize(
    "changed",
    [
        register().replace(b"Contact: <sip:alice@", b"Contact: <sip:alicia@"),
        register().replace(b"sip:example.com SIP", b"sip:example.org SIP"),
        register(more="Expires: 0\r\n"),
        register(more="Require: outbound\r\n"),
        register(more=CREDENTIALS % "1234"),
        register(call_id="call-2"),
        register(from_tag="other"),
        register(to_tag="a-dialog"),
        register(sent_by="10.9.9.9:5063"),
        register(parameters=""),
        register(more="Via: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKone\r\n"),
        register().replace(b"Max-Forwards: 70", b"Max-Forwards: 0"),
        register(more="CSeq\r\n"),
    ],
)
def test_everything_else_does(changed: bytes) -> None:
    found = glance(Packet(changed, UDP), LIMITS)
    assert changed != register()
    assert found is None or found.common != seen(register()).common


@pytest.mark.parametrize(
    "data",
    [
        request_bytes("OPTIONS"),
        register(branch="1"),
        register(branch="z9hG4bK"),
        register(2**31),
        register(more="Subject: folded\r\n line\r\n"),
        register(more=f"Authorization\r\n{CREDENTIALS % 1}"),
        register(more='Authorization: Digest username="\x00"\r\n'),
        register().replace(b"CSeq: 1", b"CSeq:  1"),
        register().replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: 2\r\n\r\nhi"),
        register().replace(b"Call-ID", b"i"),
        register().replace(b"Alice", b"Al\xefce"),
        register()[:-2],
        register(more="Authorization: Digest SIP/2.0\r\n").replace(b" SIP/2.0\r\n", b" SIP/3.0\r\n", 1),
        b"REGISTER ",
    ],
)
def test_what_is_written_otherwise_has_to_be_read(data: bytes) -> None:
    assert glance(Packet(data, UDP), LIMITS) is None


def test_a_line_is_not_taken_for_credentials_that_were_there_before() -> None:
    before = seen(register(more=CREDENTIALS % "1234"))
    for line in ("Authorization\r\n", "\r\n", "Subject: x\r\n"):
        found = glance(Packet(register(more=line), UDP), LIMITS)
        assert found is None or found.common != before.common


def test_what_came_over_a_stream_or_is_too_long_has_to_be_read() -> None:
    assert glance(Packet(register(), TCP), LIMITS) is None
    assert glance(Packet(register(), UDP), Limits(max_message=100)) is None
    assert glance(Packet(register(), UDP), Limits(max_header_line=100)) is None


@pytest.mark.parametrize("parameters", [";rport", "", ";received=1.2.3.4", ";rport=9;received=1.2.3.4"])
@pytest.mark.parametrize("sent_by", ["10.9.9.9:5062", "198.51.100.7", "[2001:db8::1]:5060", "Phone.Example:5060"])
def test_it_is_taken_for_what_it_is_when_it_is_read(parameters: str, sent_by: str) -> None:
    data = register(parameters=parameters, sent_by=sent_by)
    found = seen(data)
    read = parse(data, LIMITS)
    assert isinstance(read, Request)
    assert found.transaction == server_key(read, read.via, UDP.zone, "REGISTER", "")
    note_source(read, read.via, UDP.remote)
    assert found.shows(read)
    assert found.request.headers == read.headers
    assert found.request.uri == read.uri
    written = make_response(read, 200, to_tag="t", headers=(("Contact", "<sip:a@b>"),)).to_bytes()
    assert found.accepted("t", [("Contact", "<sip:a@b>")]) == written


@pytest.mark.parametrize(
    "data",
    [
        register(more="v: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKtwo\r\n"),
        register().replace(b"tag=alice-tag", b"tag=alice-tag;x=y"),
        register().replace(b"call-1", b"call-1 "),
        register(to_tag="a-dialog"),
    ],
)
def test_it_is_not_taken_for_what_it_is_not(data: bytes) -> None:
    read = parse(data, LIMITS)
    assert isinstance(read, Request)
    assert not seen(data).shows(read)


def test_the_stack_shows_nothing_that_it_would_not_deliver_as_new() -> None:
    stack = new_stack()
    packet = Packet(register(), UDP)
    assert stack.glance(packet) is not None
    received(stack, register())
    assert stack.glance(packet) is None, "it is known"
    assert stack.glance(Packet(register(branch="z9hG4bKtwo"), UDP)) is None, "it came twice on its way (8.2.2.2)"
    assert new_stack(max_transactions=0).glance(packet) is None, "503"
