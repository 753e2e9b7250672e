from __future__ import annotations

import contextlib
import time

import pytest

from sbc.sip import LocalProtocolError, RemoteProtocolError, canonical_host, quote, split_list, unquote
from sbc.sip.grammar import (
    canonical_names,
    has_stray_control,
    host_of,
    parse_parameters,
    port_of,
    write_parameters,
)


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        ("a", ["a"]),
        (" a ,\tb,c ", ["a", "b", "c"]),
        ("a,,b,", ["a", "b"]),
        ('"x, y" <sip:a>, <sip:b,c>;q="1,2"', ['"x, y" <sip:a>', '<sip:b,c>;q="1,2"']),
        (r'"x\", y" <sip:a>, b', [r'"x\", y" <sip:a>', "b"]),
        ('a, "b, c', ["a", '"b, c']),
        ("a, <b, c", ["a", "<b, c"]),
    ],
)
def test_lists_split_at_top_level_commas_only(text: str, elements: list[str]) -> None:
    assert split_list(text) == elements


def test_parameters_keep_values_as_written_and_lower_names() -> None:
    text = ';Tag=aBc;lr ; x = "a;\\"b" ;y=[2001:db8::1];z=abc=='
    parameters = parse_parameters(text)
    assert parameters == {"tag": "aBc", "lr": None, "x": '"a;\\"b"', "y": "[2001:db8::1]", "z": "abc=="}
    assert parse_parameters(write_parameters(parameters)) == parameters


@pytest.mark.parametrize("text", [";", ";;", ";a;", ";a=", ";a=b;;", ";a b", "a", ';a="b', ";a=b,c", ";=b", ";a=<b>"])
def test_malformed_parameters_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="malformed"):
        parse_parameters(text)


def test_a_parameter_that_stands_twice_is_refused() -> None:
    for text in (";tag=a;TAG=b", ';tag=a ;tag="b"'):
        with pytest.raises(RemoteProtocolError, match="repeated"):
            parse_parameters(text)


@pytest.mark.parametrize("value", ["a;b", 'a"b', "a b", "a,b", "", "<x>", "a\r\nVia: x"])
def test_parameters_that_would_change_their_meaning_are_not_written(value: str) -> None:
    with pytest.raises(LocalProtocolError):
        write_parameters({"x": value})
    with pytest.raises(LocalProtocolError):
        write_parameters({value: "x"})


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("Example.COM.", "example.com."),
        ("my_host-1", "my_host-1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8:::192.0.2.1]", "2001:db8::192.0.2.1"),
    ],
)
def test_hosts(written: str, host: str) -> None:
    assert host_of(written) == host


@pytest.mark.parametrize(
    "written",
    ["", "a b", "256.1.1.1", "1.2.3", "1.2.3.4.5", "a..b", ".a", "[::g]", "[1.2.3.4]", "[::1", "::1", "12345"],
)
def test_malformed_hosts_are_refused(written: str) -> None:
    with pytest.raises(ValueError):
        host_of(written)


def test_hosts_compare_in_one_form() -> None:
    assert canonical_host("[2001:DB8:0::1]") == canonical_host("2001:db8::1") == "2001:db8::1"
    assert canonical_host("Example.com.") == "example.com"
    assert canonical_host("::zz") == "::zz"


def test_ports() -> None:
    assert (port_of(None), port_of("1"), port_of("65535")) == (None, 1, 65535)
    for digits in ("0", "65536", "9" * 5000):
        with pytest.raises(ValueError):
            port_of(digits)


def test_quoting_comes_back() -> None:
    assert quote('a "b" \\c') == '"a \\"b\\" \\\\c"'
    assert unquote(quote('a "b" \\c')) == 'a "b" \\c'
    assert unquote("token") == "token"


def test_header_names_in_any_spelling() -> None:
    assert canonical_names["V"] == canonical_names["vIa"] == canonical_names["Via  "] == "via"
    for name in ("", " Via", "a b", "a:b", "Vi\u00e4", "a\r\n"):
        with pytest.raises(LocalProtocolError):
            canonical_names[name]


def test_header_names_that_peers_choose_are_remembered_to_a_limit() -> None:
    for number in range(5000):
        assert canonical_names[f"X-Made-Up-{number}"] == f"x-made-up-{number}"
    assert canonical_names["X" * 65] == "x" * 65
    assert len(canonical_names) <= 2048
    assert "X" * 65 not in canonical_names


@pytest.mark.parametrize("text", ["a\0", '"a\0b"', '"a\\\0" \0', '"\\\0', "\\\0", "a\x7f", '"\\\r"', '"\\\n"'])
def test_controls_are_found(text: str) -> None:
    assert has_stray_control(text)


@pytest.mark.parametrize("text", ["", "a\tb", '"\\\0"', 'x "\\\x7f" y "\\\x01"', "\u00e4"])
def test_quoted_controls_are_legal(text: str) -> None:
    assert not has_stray_control(text)


@pytest.mark.parametrize(
    "text", ['"' + '\\"' * 30000, "<" * 60000, '"' * 60000, ";a" * 30000, " " * 60000, ";a=" + '"\\' * 30000]
)
def test_nothing_takes_more_than_linear_time(text: str) -> None:
    begin = time.process_time()
    split_list(text + ",")
    has_stray_control(text + "\0")
    unquote(text)
    for broken in (text, text + "\0"):
        with contextlib.suppress(RemoteProtocolError):
            parse_parameters(broken)
    assert time.process_time() - begin < 1.0  # milliseconds; a quadratic one takes many seconds
