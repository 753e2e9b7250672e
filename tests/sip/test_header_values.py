from __future__ import annotations

import copy
import pickle

import pytest

from sbc.sip import (
    MAX_CSEQ,
    CSeq,
    LocalProtocolError,
    NameAddress,
    RAck,
    Reason,
    RemoteProtocolError,
    Via,
    parse_cseq,
    parse_media_type,
    parse_name_address,
    parse_rack,
    parse_reason,
    parse_seconds,
    parse_via,
)
from sbc.sip.header_values import parse_call_id, parse_max_forwards


def test_via() -> None:
    via = parse_via("sip / 2.0 / udp [2001:DB8::1] : 5070 ;branch=z9hG4bKx;RPORT;received=[::2];ttl=1")
    assert (via.protocol, via.transport, via.host, via.port) == ("sip/2.0", "UDP", "2001:db8::1", 5070)
    assert (via.branch, via.received, via.rport) == ("z9hG4bKx", "::2", None)
    assert "rport" in via.params
    assert parse_via("SIP/2.0/TCP a;rport=5061").rport == 5061


def test_via_is_written_as_it_reads() -> None:
    via = Via("SIP/2.0", "UDP", "2001:db8::1", 5060, {"branch": "z9hG4bKx", "rport": None})
    assert str(via) == "SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKx;rport"
    assert parse_via(str(via)) == via


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 a",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP a:x",
        "SIP/2.0/UDP a:0",
        "SIP/2.0/UDP a:65536",
        "SIP/2.0/UDP a;;branch=x",
        "SIP/2.0/UDP 1.2.3.400",
        "SIP/2.0/UDP [::g]",
        "SIP/2.0/UDP ::1",
        "SIP/2.0/UDP a;branch=z9hG4bK",
        "SIP/2.0/UDP a;branch=x;branch=y",
        "SIP/2.0/UDP \u00e4",
    ],
)
def test_malformed_vias_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_via(text)


@pytest.mark.parametrize(
    ("text", "display_name", "uri", "params"),
    [
        ("<sip:a@b>", "", "sip:a@b", {}),
        ("sip:a@b", "", "sip:a@b", {}),
        ("sip:a@b;tag=x", "", "sip:a@b", {"tag": "x"}),
        ("sip:a@b ; Tag = x", "", "sip:a@b", {"tag": "x"}),
        ("<sip:a@b;lr>;tag=x", "", "sip:a@b;lr", {"tag": "x"}),
        ("Alice<sip:a@b>", "Alice", "sip:a@b", {}),
        ("Alice  B. <sip:a@b> ;tag=x", "Alice  B.", "sip:a@b", {"tag": "x"}),
        ('"a \\" <b>, c" <sip:a@b?x=y>', '"a \\" <b>, c"', "sip:a@b?x=y", {}),
        ('""<sip:a@b>', '""', "sip:a@b", {}),
        ("<urn:service:sos>", "", "urn:service:sos", {}),
        ("*", "", "*", {}),
        (
            '<sip:a@b>;+sip.instance="<urn:uuid:0>";q=0.5',
            "",
            "sip:a@b",
            {"+sip.instance": '"<urn:uuid:0>"', "q": "0.5"},
        ),
    ],
)
def test_name_addresses(text: str, display_name: str, uri: str, params: dict[str, str | None]) -> None:
    address = parse_name_address(text)
    assert (address.display_name, address.uri_text, address.params) == (display_name, uri, params)
    if uri != "*":
        assert parse_name_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "display_name"),
    [
        ("Ren\u00e9 (Sales) <sip:a@b>", '"Ren\u00e9 (Sales)"'),
        ("100@pbx <sip:a@b>", '"100@pbx"'),
    ],
)
def test_names_that_lack_their_quotes_get_them(text: str, display_name: str) -> None:
    assert parse_name_address(text).display_name == display_name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<>",
        "<sip:a@b",
        "sip:a@b>",
        "< sip:a@b>",
        "<sip:a@b >",
        "<sip:a@b> x",
        "<sip:a@b>,<sip:c@d>",
        "sip:a@b,sip:c@d",
        "sip:a@b?x=y",
        "a, b <sip:a@b>",
        '"a <sip:a@b>',
        'a "b" <sip:a@b>',
        "<<sip:a@b>>",
        "<sip:a@b>;",
        "<sip:a@b>;;tag=x",
        "<sip:a@b>;tag=x;tag=y",
        "alice",
        '"Alice"',
        "<sip:\u00e4@b>",
        "<sip:a@b>;tag=\u00e4",
        "a\0 <sip:a@b>",
        "** ",
    ],
)
def test_malformed_addresses_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_name_address(text)


def test_the_uri_is_read_when_asked_for() -> None:
    address = parse_name_address("<sip:a b@c>".replace(" ", "%"))
    with pytest.raises(RemoteProtocolError):
        _ = address.uri
    assert parse_name_address("<sip:a@b>").uri.user == "a"


@pytest.mark.parametrize(
    ("display_name", "uri_text", "params"),
    [
        ("a <sip:x@y>,", "sip:a@b", {}),
        ('"a', "sip:a@b", {}),
        ("a\r\nVia: x", "sip:a@b", {}),
        ('"a\r\nVia: x"', "sip:a@b", {}),
        ("\u00e4", "sip:a@b", {}),
        ("", "sip:a@b>;x=<", {}),
        ("", "sip:a@b\r\nVia: x", {}),
        ("", "", {}),
        ("", "sip:a@b", {"tag": "x;y"}),
        ("", "sip:a@b", {"tag": "x\r\n"}),
    ],
)
def test_nothing_is_smuggled_into_an_address(display_name: str, uri_text: str, params: dict[str, str | None]) -> None:
    with pytest.raises(LocalProtocolError):
        str(NameAddress(display_name, uri_text, params))


def test_values_are_plain_data() -> None:
    address = NameAddress('"A"', "sip:a@b", {"tag": "x"})
    assert pickle.loads(pickle.dumps(address)) == copy.deepcopy(address) == address
    assert address != parse_name_address('"A" <sip:a@b>')
    assert hash(address) == hash(parse_name_address('"A" <sip:a@b>;tag=x'))


def test_cseq() -> None:
    assert parse_cseq("0009  INVITE") == CSeq(9, "INVITE")
    assert parse_cseq(f"{MAX_CSEQ} X").number == 2**31 - 1
    assert str(CSeq(1, "BYE")) == "1 BYE"


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "-1 INVITE", "1 INVITE X", "2147483648 X", "9" * 5000 + " X", "\u0661 X"]
)
def test_malformed_cseqs_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_cseq(text)


def test_numbers() -> None:
    assert parse_max_forwards("0070") == 70
    assert parse_max_forwards("0" * 6000) == 0
    for text in ("256", "-1", "", "7 0", "1" + "0" * 6000, "\u0667"):
        with pytest.raises(RemoteProtocolError):
            parse_max_forwards(text)


def test_rack() -> None:
    assert parse_rack("776656 1 INVITE") == RAck(776656, 1, "INVITE")
    for text in ("1 INVITE", "1 2", "4294967296 1 X", "1 2147483648 X"):
        with pytest.raises(RemoteProtocolError):
            parse_rack(text)


def test_reason() -> None:
    assert parse_reason('Q.850 ;cause=16;text="Normal \\"call\\" clearing"') == Reason(
        "Q.850", 16, 'Normal "call" clearing'
    )
    assert parse_reason("SIP") == Reason("SIP", None, "")
    for text in ("", "a b", "SIP;cause=x", "SIP;;", "SIP;cause=99999999999"):
        with pytest.raises(RemoteProtocolError):
            parse_reason(text)


def test_seconds() -> None:
    assert parse_seconds("120 (I'm in a meeting);duration=3600") == 120
    assert parse_seconds("1800;refresher=uac") == 1800
    assert parse_seconds("9" * 6000) == 2**32 - 1
    for text in ("", "x", "-1", "1 2", "1.5"):
        with pytest.raises(RemoteProtocolError):
            parse_seconds(text)


def test_media_type() -> None:
    assert parse_media_type('Multipart / Mixed ;boundary="a;b"') == ("multipart/mixed", {"boundary": '"a;b"'})
    for text in ("", "text", "text/", "a/b c", "a/b;"):
        with pytest.raises(RemoteProtocolError):
            parse_media_type(text)


def test_call_id() -> None:
    assert parse_call_id("a@b@c") == "a@b@c"
    for text in ("", "a b", "\u00e4", "a\0"):
        with pytest.raises(RemoteProtocolError):
            parse_call_id(text)
