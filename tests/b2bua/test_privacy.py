"""What users wish not to be told of them."""

from __future__ import annotations

import pytest

from sbc.b2bua.privacy import left, unserved, wishes
from sbc.sip import Headers


def privacy(*values: str) -> Headers:
    return Headers([("Privacy", value) for value in values])


@pytest.mark.parametrize(
    ("values", "wished"),
    [
        ((), set()),
        (("id",), {"id"}),
        (("ID ; Critical",), {"id", "critical"}),
        (("id, user", "header"), {"id", "user", "header"}),
        (("id;none",), set()),
        ((";;",), set()),
    ],
)
def test_wishes_are_read_in_any_case_and_order(values: tuple[str, ...], wished: set[str]) -> None:
    assert wishes(privacy(*values)) == wished


@pytest.mark.parametrize(
    ("value", "unknown"),
    [
        ("location;critical", {"location"}),
        ("location", set()),
        ("user;id;history;critical", set()),
        ("critical", set()),
    ],
)
def test_what_is_critical_and_unknown_cannot_be_served(value: str, unknown: set[str]) -> None:
    """RFC 3323 section 5."""
    assert unserved(privacy(value)) == unknown


def test_of_a_wish_what_is_not_done_yet_is_left() -> None:
    assert left("header;id;Location") == "id;Location"
    assert left("header") == left("") == left("user;critical") == ""
