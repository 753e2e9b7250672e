from __future__ import annotations

import time

import pytest

from sbc.b2bua.hosts import (
    Border,
    display_name,
    holds_address,
    masked_uri,
    masked_user,
    may_name_host,
    meaning,
    names_host,
    user_without_hosts,
)
from sbc.sip import parse_name_address, parse_uri

BORDER = Border(True, True, ("10.0.0.5", "pbx.corp.example", "pbx"), "192.0.2.1")


@pytest.mark.parametrize(
    "text",
    [
        "at 10.0.0.5",
        "10.0.0.99 is not known, but an address",
        "at [2001:db8::7]:5060",
        "fe80::1",
        "2001:db8:0:0:0:0:0:7",
        "host:2001:db8:0:0:0:0:0:7,x",
        "2001:db8:0:0:0:0:0:7:5060",
        "add:2001:db8:0:0:0:0:0:7:5060",
        "PBX.Corp.Example",
        "xpbx.corp.examplex",
        "the pbx",
        "PBX-1 behind pbx",
        "10%2E0%2e0.5",
        "%70bx.corp.example",
    ],
)
def test_a_text_with_a_known_name_or_any_address_names_a_host(text: str) -> None:
    assert names_host(text, BORDER)


@pytest.mark.parametrize(
    "text",
    ["", "Thu, 21 Feb 2002 13:02:03 GMT", "pbxes are nice", "version 1.2.3", "00:1a:2b:3c:4d:5e", "ab:" * 20, "100%"],
)
def test_ordinary_text_names_none(text: str) -> None:
    assert not names_host(text, BORDER)


@pytest.mark.parametrize("text", ["ask bob@there", "down: gw7.other.example", "see a.b", "x.y-z.de."])
def test_free_text_may_name_hosts_that_nobody_told_of(text: str) -> None:
    assert may_name_host(text, BORDER)
    assert not names_host(text, BORDER)


@pytest.mark.parametrize("text", ["Busy here", "Try later, please...", "Route 3.5", "12.30 o'clock", "a . b"])
def test_ordinary_words_are_no_hosts(text: str) -> None:
    assert not may_name_host(text, BORDER)


@pytest.mark.parametrize(
    "text", ["a" * 60_000, "1." * 30_000, "a:" * 30_000, ":" * 60_000, "a." * 30_000, "-" * 60_000]
)
def test_looking_takes_time_in_proportion_to_the_text(text: str) -> None:
    started = time.process_time()
    may_name_host(text, BORDER)
    assert time.process_time() - started < 0.5


def test_addresses_are_found_in_any_company() -> None:
    assert holds_address("x10.0.0.5y")
    assert not holds_address("1.2.3")


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("<sip:alice@10.0.0.9>", "sip:alice@192.0.2.1"),
        ("<sip:alice:secret@10.0.0.9:5080;transport=tcp;maddr=10.0.0.7?x=y>", "sip:alice@192.0.2.1"),
        ("<sips:alice@host.example>", "sips:alice@192.0.2.1"),
        ("<sip:+4930123@10.0.0.9;user=phone>", "sip:+4930123@192.0.2.1;user=phone"),
        ("<sip:alice@10.0.0.9;user=10.0.0.9>", "sip:alice@192.0.2.1"),
        ("<sip:10.0.0.9>", "sip:192.0.2.1"),
        ("<sip:[2001:db8::9]>", "sip:192.0.2.1"),
        ("<sip:10.0.0.5@10.0.0.9>", "sip:192.0.2.1"),
        ("<sip:alice%4010.0.0.9@10.0.0.9>", "sip:alice@192.0.2.1"),
        ("<sip:%31%30.0.0.5@10.0.0.9>", "sip:192.0.2.1"),
        ("<sip:+4930;phone-context=corp.example@10.0.0.9>", "sip:+4930@192.0.2.1"),
        ("<sip:7042;phone-context=+4930;ext=5@10.0.0.9>", "sip:7042;phone-context=+4930;ext=5@192.0.2.1"),
        ("<sip:7042;ext=10.0.0.9@10.0.0.9>", "sip:7042@192.0.2.1"),
        ("<sip:anonymous@anonymous.invalid;maddr=10.0.0.9>", "sip:anonymous@anonymous.invalid"),
        ("<tel:+49-30-123>", "tel:+49-30-123"),
        ("<tel:7042;phone-context=+4930>", "tel:7042;phone-context=+4930"),
        ("<tel:+4930;npdi;rn=+49301>", "tel:+4930;npdi;rn=+49301"),
        ("<tel:7042;phone-context=corp.example>", "sip:7042@192.0.2.1;user=phone"),
        ("<tel:7042;phone-context=+4930;tgrp=x;trunk-context=corp.example>", "tel:7042;phone-context=+4930"),
        ("<tel:10.0.0.9>", "sip:anonymous@192.0.2.1"),
        ("<http://10.0.0.9/me>", "sip:anonymous@192.0.2.1"),
        ("<mailto:alice@corp.example>", "sip:anonymous@192.0.2.1"),
        ("<sip:@@@>", "sip:anonymous@192.0.2.1"),
    ],
)
def test_of_a_uri_the_user_stays_and_the_host_becomes_ours(value: str, masked: str) -> None:
    assert masked_uri(parse_name_address(value), BORDER) == masked


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ('"Alice"', '"Alice"'),
        ('"Alice at 10.0.0.77"', ""),
        ('"alice@other.example"', ""),
        ('"The PBX"', ""),
        ("", ""),
    ],
)
def test_a_display_name_with_a_host_in_it_is_not_seen(name: str, seen: str) -> None:
    address = parse_name_address(f"{name} <sip:a@b>")
    assert display_name(address, BORDER) == seen
    assert display_name(address, BORDER._replace(hidden=False)) == name


def test_users_that_are_dialled_lose_what_names_a_host() -> None:
    assert user_without_hosts("1001;phone-context=corp.example;ext=7") == "1001;ext=7"
    assert user_without_hosts("10.0.0.9") == ""
    assert masked_user("pbx", BORDER) == ""


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("sip:1001@10.0.0.5;transport=tcp", ""),
        ("sip:1001@10.0.0.5;user=phone;maddr=10.0.0.5", ";user=phone"),
        ("sip:1001@10.0.0.5;gr=urn:uuid:f81d4fae-7dec-11d0", ";gr=urn:uuid:f81d4fae-7dec-11d0"),
        ("sip:tgruu.7hs@10.0.0.5;gr;ob", ";gr"),
        ("sip:1001@10.0.0.5;gr=10.0.0.77", ""),
        ("sip:1001@10.0.0.5;gr=desk%2ecorp.example", ""),
        ("sip:1001@10.0.0.5;gr=2001:db8::7", ""),
        ("sip:10.0.0.5;gr=1", ""),
        ("tel:1001", ""),
    ],
)  # fmt: skip
def test_what_of_a_uri_says_who_is_meant_stays_behind_another_host(uri: str, kept: str) -> None:
    assert meaning(parse_uri(uri)) == kept
