"""MSRP URIs and paths."""

from __future__ import annotations

import pytest

from sbc.msrp import MsrpUri, parse_path, parse_uri, uri_text


def test_a_uri_of_rfc_4975_is_read() -> None:
    assert parse_uri("msrp://host.example.com:8493/asfd34;tcp") == MsrpUri(
        "msrp", "host.example.com", 8493, "asfd34", "tcp"
    )


def test_scheme_and_transport_are_no_matter_of_case_and_the_session_is() -> None:
    assert parse_uri("MSRPS://[2001:DB8::1]:1/aB;TCP;x=y") == MsrpUri("msrps", "2001:DB8::1", 1, "aB", "tcp")


def test_a_user_and_a_session_with_slashes_are_read() -> None:
    uri = parse_uri("msrp://alice@atlanta.example.com:7777/iau39/x+=~;tcp")
    assert uri is not None
    assert (uri.host, uri.session) == ("atlanta.example.com", "iau39/x+=~")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:alice@example.com",
        "msrp://host:1/x",
        "msrp://host:1/x;",
        "msrp://host:99999/x;tcp",
        "msrp://ho st:1/x;tcp",
        "msrp://host:1/x y;tcp",
        "msrp://host:1/x;tcp\r\nEvil: 1",
        "msrp://host:1/x;tcp\n",
        "msrp://h\u00f6st:1/x;tcp",
        "msrp:///x;tcp",
    ],
)
def test_what_is_no_uri_is_none(text: str) -> None:
    assert parse_uri(text) is None


def test_a_path_is_read_nearest_hop_first() -> None:
    hops = parse_path("msrp://relay.example.com:9000/r1;tcp msrp://10.0.0.5:2855/s1;tcp")
    assert [hop.host for hop in hops] == ["relay.example.com", "10.0.0.5"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "msrp://h:1/s;tcp  msrp://h:1/s;tcp",
        "msrp://h/s;tcp",
        "msrp://h:1/s;tcp nonsense",
        " ".join(["msrp://h:1/s;tcp"] * 9),
        "msrp://h:1/" + "s" * 3000 + ";tcp",
    ],
)
def test_a_path_that_is_malformed_too_long_or_without_ports_is_empty(text: str) -> None:
    assert parse_path(text) == ()


@pytest.mark.parametrize(("host", "written"), [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "[2001:db8::1]")])
def test_ours_is_written_so_that_it_can_be_read(host: str, written: str) -> None:
    text = uri_text(host, 20000, "abc")
    assert text == f"msrp://{written}:20000/abc;tcp"
    assert parse_uri(text) == MsrpUri("msrp", host, 20000, "abc", "tcp")
