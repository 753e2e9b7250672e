from __future__ import annotations

import pytest

from sbc.media.reading import MEMORABLE, clock_rate, codec_names, read_host, read_section, read_streams, rtcp_address
from sbc.sdp import SdpError, parse_sdp
from sbc.sip import Address
from tests.support.media_calls import sdp


def read(*media: str, **rest: object):
    return read_streams(parse_sdp(sdp(*media, **rest)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        ("RTP/AVP", "rtp"),
        ("RTP/AVPF", "rtp"),
        ("rtp/avp", "rtp"),
        ("udptl", "udp"),
        ("UDPTL", "udp"),
        ("udp", "udp"),
        ("UDP/BFCP", "udp"),
        ("UDP/TLS/BFCP", ""),
        ("TCP/BFCP", ""),
        ("RTP/SAVP", ""),
        ("RTP/SAVPF", ""),
        ("UDP/TLS/RTP/SAVPF", ""),
        ("UDP/DTLS/SCTP", ""),
        ("TCP/MSRP", ""),
        ("TCP", ""),
        ("unheard/of", ""),
    ],
)
def test_the_protocol_decides_what_can_be_relayed(protocol, kind):
    (stream,) = read(f"audio 6000 {protocol} 0")
    assert stream.kind == kind
    assert stream.bare is (kind == "")


@pytest.mark.parametrize("host", ["224.2.1.1/127", "239.1.1.1", "255.255.255.255"])
def test_nothing_is_sent_to_multicast_or_broadcast(host):
    (stream,) = read("audio 6000 RTP/AVP 0", host=host)
    assert stream.bare
    assert stream.remote is None


def test_more_than_one_address_or_port_pair_of_a_stream_cannot_be_relayed():
    layers, addresses = read("audio 6000/2 RTP/AVP 0", "audio 6000 RTP/AVP 0|c=IN IP4 192.0.2.1|c=IN IP4 192.0.2.2")
    assert layers.bare
    assert addresses.bare


def test_the_streams_own_connection_and_direction_beat_the_sessions():
    own, inherited = read(
        "audio 6000 RTP/AVP 0|c=IN IP6 2001:DB8:0::5|a=sendonly", "audio 6002 RTP/AVP 0", session=("a=inactive",)
    )
    assert (own.remote, own.direction) == (Address("2001:db8::5", 6000), "sendonly")
    assert (inherited.remote, inherited.direction) == (Address("192.0.2.7", 6002), "inactive")


def test_a_host_name_is_not_an_address_to_send_to():
    (stream,) = read("audio 6000 RTP/AVP 0", host="media.example.com")
    assert stream.kind == "rtp"
    assert stream.remote is None


@pytest.mark.parametrize(
    ("attribute", "rtcp"),
    [
        ("", Address("192.0.2.7", 6001)),
        ("|a=rtcp:7000", Address("192.0.2.7", 7000)),
        ("|a=rtcp:7000 IN IP4 192.0.2.8", Address("192.0.2.8", 7000)),
        ("|a=rtcp:7000 IN IP4 224.0.0.1", Address("192.0.2.7", 6001)),
        ("|a=rtcp:7000 IN IP6 2001:db8::1", Address("192.0.2.7", 6001)),
        ("|a=rtcp:nonsense", Address("192.0.2.7", 6001)),
        ("|a=rtcp:0", None),
    ],
)
def test_where_rtcp_goes(attribute, rtcp):
    (stream,) = read("audio 6000 RTP/AVP 0" + attribute)
    assert rtcp_address(stream) == rtcp


def test_no_port_follows_the_last_one():
    (stream,) = read("audio 65535 RTP/AVP 0")
    assert rtcp_address(stream) is None


@pytest.mark.parametrize(
    "value", ["", "IN IP4", "IN IP5 1.2.3.4", "XX IP4 1.2.3.4", "IN IP4 $HOST", "IN IP6 fe80::1%0"]
)
def test_a_malformed_address_is_none(value):
    assert read_host(value) is None


def test_a_stream_without_a_usable_connection_is_malformed():
    bare = b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\nm=audio 6000 RTP/AVP 0\r\n"
    with pytest.raises(SdpError) as missing:
        read_streams(parse_sdp(bare))
    assert missing.value.line == 6
    with pytest.raises(SdpError) as malformed:
        read_streams(parse_sdp(bare + b"c=IN IP4 ???\r\n"))
    assert malformed.value.line == 6


def test_clock_rates_and_names_come_from_rtpmap_else_from_rfc_3551():
    encodings = read_section("a=rtpmap:97 iLBC/8000\r\na=rtpmap:98 opus/48000/2\r\na=rtpmap:99 broken").encodings
    rates = [clock_rate(number, encodings) for number in ("97", "98", "99", "0", "9", "14", "34", "x")]
    assert rates == [8000, 48000, 8000, 8000, 8000, 90000, 90000, 8000]
    assert codec_names(["98", "0", "18", "111"], encodings) == ("opus/48000/2", "PCMU/8000", "G729/8000", "111")


def test_a_long_section_is_read_but_not_remembered():
    body = "a=rtcp-mux\r\na=x:" + "y" * MEMORABLE
    assert read_section(body).mux
    assert read_section(body) is not read_section(body)
    assert read_section("a=rtcp-mux") is read_section("a=rtcp-mux")
