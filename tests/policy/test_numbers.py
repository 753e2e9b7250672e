"""What is dialled, and whether it matches."""

from __future__ import annotations

import re

import pytest

from sbc.policy import dialled, pattern
from sbc.sip import parse_uri


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("sip:1001@x.example", "1001"),
        ("sip:%31001;ext=5@x.example", "1001"),
        ("sip:x.example", ""),
        ("sip:1-0@x.example", "1-0"),
        ("tel:+49-(30)-1.23;npdi", "+4930123"),
        ("urn:Service:SOS.fire", "urn:service:sos.fire"),
    ],
)
def test_what_is_dialled(uri: str, number: str) -> None:
    assert dialled(parse_uri(uri)) == number


@pytest.mark.parametrize(
    ("patterns", "text", "matches"),
    [
        ((), "anything", True),
        (("1*",), "1001", True),
        (("1*",), "2100", False),
        (("1?",), "12", True),
        (("1?",), "123", False),
        (("A*",), "abc", True),
        (("/^0[1-9]/",), "030", True),
        (("/^0[1-9]/",), "003", False),
        (("/9$/",), "109", True),
        (("2*", "/^1/"), "11", True),
        (("+49*",), "+4930", True),
        (("1.3",), "123", False),
        (("/",), "/", True),
    ],
)
def test_patterns(patterns: tuple[str, ...], text: str, matches: bool) -> None:
    assert bool(pattern(patterns)(text)) is matches


def test_a_regular_expression_that_is_none_is_told() -> None:
    with pytest.raises(re.error):
        pattern(("/(/",))
