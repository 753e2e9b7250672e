"""STUN Binding: the test vectors of RFC 5769, and what gets an error or nothing."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.rtp import answer_binding, is_stun

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
HEADER = bytes.fromhex("00010000 2112a442") + TRANSACTION
RFC5769_REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701bc34d686fa87dfae"
    "80220010 5354554e207465737420636c69656e74"
    "00240004 6e0001ff"
    "80290008 932ff9b151263b36"
    "00060009 6576746a3a68367659202020"
    "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004 e57a3bcf"
)
"""Section 2.1; PRIORITY (0x0024) is of ICE, which a SIP port does not speak."""


def request(*attributes: tuple[int, bytes], fingerprint: bool = False, kind: int = 1) -> bytes:
    body = b"".join(
        struct.pack("!HH", number, len(value)) + value + bytes(-len(value) & 3) for number, value in attributes
    )
    whole = struct.pack("!HH", kind, len(body) + (8 if fingerprint else 0)) + HEADER[4:] + body
    if fingerprint:
        whole += struct.pack("!HHI", 0x8028, 4, crc32(whole) ^ 0x5354554E)
    return whole


def test_the_source_comes_back_as_in_the_ipv4_vector_of_rfc_5769() -> None:
    answer = answer_binding(HEADER, "192.0.2.1", 32853)
    assert answer == bytes.fromhex("0101000c 2112a442") + TRANSACTION + bytes.fromhex("00200008 0001a147 e112a643")


def test_the_source_comes_back_as_in_the_ipv6_vector_of_rfc_5769() -> None:
    answer = answer_binding(HEADER, "2001:db8:1234:5678:11:2233:4455:6677", 32853)
    assert answer == bytes.fromhex("01010018 2112a442") + TRANSACTION + bytes.fromhex(
        "00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9"
    )


def test_a_link_local_source_is_said_without_the_name_of_our_interface() -> None:
    assert answer_binding(HEADER, "fe80::1%eth0", 1) == answer_binding(HEADER, "fe80::1", 1)


def test_an_attribute_that_must_be_understood_and_is_not_gets_420_with_its_number() -> None:
    answer = answer_binding(RFC5769_REQUEST, "192.0.2.1", 1)
    assert answer is not None
    assert answer[:2] == b"\x01\x11"
    assert answer[20:] == bytes.fromhex("00090004 00000414 000a0002 00240000")


def test_attributes_of_authentication_and_optional_ones_are_no_hindrance() -> None:
    asked = request((0x0006, b"someone"), (0x0008, bytes(20)), (0x8022, b"a client"), fingerprint=True)
    answer = answer_binding(asked, "192.0.2.1", 1)
    assert answer is not None
    assert answer[:2] == b"\x01\x01"


def test_change_request_of_the_old_stun_is_not_obeyed() -> None:
    answer = answer_binding(request((0x0003, b"\0\0\0\6")), "192.0.2.1", 1)
    assert answer is not None
    assert answer[:2] == b"\x01\x11"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(HEADER[:19], id="short"),
        pytest.param(b"\0\1\0\0" + bytes(16), id="without the cookie (RFC 3489)"),
        pytest.param(request(kind=0x0011), id="indication"),
        pytest.param(request(kind=0x0101), id="response"),
        pytest.param(request(kind=0x0003), id="another method (TURN Allocate)"),
        pytest.param(HEADER + b"\0\0\0\0", id="longer than it says"),
        pytest.param(b"\0\1\0\4" + HEADER[4:], id="shorter than it says"),
        pytest.param(b"\0\1\0\2" + HEADER[4:] + b"\0\0", id="not in words of four octets"),
        pytest.param(b"\0\1\0\4" + HEADER[4:] + b"\x80\x22\0\5", id="attribute beyond the end"),
        pytest.param(RFC5769_REQUEST[:-1] + b"\0", id="wrong fingerprint"),
        pytest.param(request((0x8028, bytes(4)), (0x8022, b"last")), id="fingerprint that is not last"),
    ],
)
def test_what_is_no_whole_binding_request_gets_no_answer(message: bytes) -> None:
    assert answer_binding(message, "192.0.2.1", 1) is None


@given(st.lists(st.tuples(st.integers(0, 0xFFFF).filter(lambda kind: kind != 0x8028), st.binary(max_size=40))))
def test_nothing_is_gained_by_having_an_answer_sent_to_somebody_else(attributes: list[tuple[int, bytes]]) -> None:
    asked = request(*attributes)
    answer = answer_binding(asked, "2001:db8::1", 5060)
    assert answer is not None
    assert len(answer) <= len(asked) + 24


@given(st.binary(max_size=80))
def test_octets_of_any_kind_are_answered_or_not_and_nothing_else(octets: bytes) -> None:
    body = octets[: len(octets) // 4 * 4]
    for message in (octets, b"\0\1" + len(body).to_bytes(2, "big") + HEADER[4:] + body):
        answer = answer_binding(message, "192.0.2.1", 1)
        assert answer is None or is_stun(answer)
