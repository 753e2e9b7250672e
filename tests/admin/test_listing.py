from __future__ import annotations

from sbc.admin.listing import listing

CALL = {
    "id": "c0ffee",
    "started": 1_000_000.0,
    "ringing": None,
    "answered": 1_000_001.0,
    "ended": 1_000_004.0,
    "status": 200,
    "ended_by": "caller",
    "cause": "BYE",
    "streams": [],
    "a": {"from_uri": "sip:alice@example.com", "request_uri": "sip:bob@example.com", "to_uri": ""},
    "b": None,
}


def test_each_call_is_one_line_under_a_heading() -> None:
    head, first, second = listing([CALL, CALL | {"id": "d", "answered": None, "status": 486}], now=0.0)
    assert head.split() == ["CALL", "START", "FROM", "TO", "DURATION", "LOSS", "a/b", "RESULT"]
    assert first.split("  ")[0] == "c0ffee"
    assert "alice  bob  3.0 s " in first
    assert first.endswith("200, ended by caller: BYE")
    assert second.startswith("d       ")
    assert first.index("alice") == second.index("alice") == head.index("FROM")


def test_no_calls_are_said_so() -> None:
    assert listing([], now=0.0) == ["no calls"]


def test_a_call_without_a_leg_and_with_a_hostile_name_is_one_clean_line() -> None:
    hostile = {"from_uri": "sip:a\x1b[2J\r\n" + "x" * 500 + "@y", "request_uri": "", "to_uri": ""}
    lines = listing([CALL | {"a": None}, CALL | {"a": hostile}], now=0.0)
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)
    assert all(len(line) < 140 for line in lines)
