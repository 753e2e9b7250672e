from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sbc.service import values
from sbc.service.values import Endpoint, endpoint, port_range, target_endpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.10", Endpoint("203.0.113.10", None, 4)),
        ("203.0.113.10:5080", Endpoint("203.0.113.10", 5080, 4)),
        ("2001:DB8:0::10", Endpoint("2001:db8::10", None, 6)),
        ("[2001:db8::10]", Endpoint("2001:db8::10", None, 6)),
        ("[2001:db8::10]:5080", Endpoint("2001:db8::10", 5080, 6)),
        ("pbx.example.com:5070", Endpoint("pbx.example.com", 5070, 0)),
        ("eth0", Endpoint("eth0", None, 0)),
    ],
)
def test_addresses_and_names_with_and_without_port(text: str, expected: Endpoint) -> None:
    assert endpoint(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "10.0.0", "10.0.0.0.1", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:5x", "[::1", "[::1]5060",
        "[::1]:",
        "[1.2.3.4]:5060", "fe80::1%eth0", "a b", "-a.example", "a..b", "sip:10.0.0.1", "1.2.3.4:٣",
    ],
)  # fmt: skip
def test_what_is_no_address_and_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|scope"):
        endpoint(text)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(3, 3.0), (0.5, 0.5), ("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("12 h", 43200.0), ("7d", 604800.0)],
)
def test_times_are_numbers_or_texts_with_a_unit(value: Any, seconds: float) -> None:
    assert TypeAdapter(values.Seconds).validate_python(value, strict=True) == seconds


@pytest.mark.parametrize("value", ["5", "x", "-5s", "1y", -1, True, float("inf"), float("nan"), None, "1e9999s"])
def test_other_times_are_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(values.Seconds).validate_python(value, strict=True)


@pytest.mark.parametrize(
    ("value", "octets"), [(5, 5), ("512", 512), ("4k", 4096), ("4 KiB", 4096), ("2M", 2 << 20), ("1G", 1 << 30)]
)
def test_sizes_are_octets_or_texts_with_a_unit(value: Any, octets: int) -> None:
    assert TypeAdapter(values.Bytes).validate_python(value, strict=True) == octets


@pytest.mark.parametrize("value", ["x", "1.5M", -1, 1.0, "4 apples"])
def test_other_sizes_are_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(values.Bytes).validate_python(value, strict=True)


def test_a_port_range() -> None:
    assert port_range("20000-29999") == (20000, 29999)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("20000", "such as"), ("20001-29999", "even port"), ("20000-30000", "odd port"), ("20000-20009", "too small"),
        ("500-999", "from 1024"), ("30000-20001", "lower one first"), ("60000-65537", "to 65535"),
    ],
)  # fmt: skip
def test_port_ranges_that_cannot_serve_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        port_range(text)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:10.0.0.9:5070", (Endpoint("10.0.0.9", 5070, 4), "")),
        ("SIP:fax@[2001:db8::9];transport=TCP", (Endpoint("2001:db8::9", None, 6), "tcp")),
        ("sip:fax.example.com", (Endpoint("fax.example.com", None, 0), "")),
    ],
)
def test_targets_that_are_uris(uri: str, expected: tuple[Endpoint, str]) -> None:
    assert target_endpoint(uri) == expected


@pytest.mark.parametrize(
    "uri", ["sip:", "sips:10.0.0.1", "sip:10.0.0.1;transport=sctp", "sip:10.0.0.1?a=b", "tel:+49", "sip:a b"]
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        target_endpoint(uri)


@pytest.mark.parametrize("pattern", ["", "/", "//", "/((/", "/abc"])
def test_patterns_that_match_nothing_or_are_broken_are_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(values.Pattern).validate_python(pattern)


@pytest.mark.parametrize("text", ["PCMU", "opus/48000", "opus/48000/2", "G72*", "video/*", "telephone-event", "*"])
def test_patterns_of_codecs(text: str) -> None:
    assert TypeAdapter(values.CodecName).validate_python(text) == text


@pytest.mark.parametrize("text", ["", "PC MU", "opus/", "image/t38/x/y/z", "a" * 70, "PCMU\n"])
def test_what_is_no_codec_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="name of a codec"):
        TypeAdapter(values.CodecName).validate_python(text)


@pytest.mark.parametrize("text", ["G72*", "video/*", "audio/PCMU", "PCM?"])
def test_what_may_be_several_codecs_cannot_be_offered(text: str) -> None:
    with pytest.raises(ValidationError, match="one codec"):
        TypeAdapter(values.ExactCodecName).validate_python(text)
    assert TypeAdapter(values.ExactCodecName).validate_python("opus/48000/2")
