from __future__ import annotations

from typing import Any

import pytest

from sbc.admin.figures import called, duration, loss, result, spoken, stream_line, user, worst_loss


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sip:alice@example.com", "alice"),
        ('"Alice" <sip:alice@example.com;user=phone>;tag=1', "alice"),
        ("sip:+49123;phone-context=x@example.com", "+49123"),
        ("tel:+49-30-1234;ext=5", "+49-30-1234"),
        ("sip:example.com:5060", "example.com:5060"),
        ("", ""),
        ("junk", "junk"),
    ],
)
def test_the_user_of_a_uri(uri: str, shown: str) -> None:
    assert user(uri) == shown


@pytest.mark.parametrize(
    ("leg", "shown"),
    [
        ({"request_uri": "sip:2001@10.0.0.5", "to_uri": "sip:other@10.0.0.5"}, "2001"),
        ({"request_uri": "sip:83f70a3e9bff9001b12a5187@10.0.0.1:5060", "to_uri": "<sip:alice@10.0.0.5>"}, "alice"),
        ({"request_uri": "sip:83f70a3e9bff9001b12a5187@10.0.0.1", "to_uri": ""}, "83f70a3e9bff9001b12a5187"),
        ({}, ""),
    ],
)
def test_who_was_called_is_no_contact_that_we_have_made_for_a_phone(leg: dict[str, str], shown: str) -> None:
    assert called(leg) == shown


def test_durations_read_like_a_clock() -> None:
    assert [duration(seconds) for seconds in (3.21, 59.94, 245, 3723)] == ["3.2 s", "59.9 s", "4:05", "1:02:03"]


def call(**changes: Any) -> dict[str, Any]:
    return {
        "status": 200,
        "ended_by": "caller",
        "cause": "BYE",
        "ringing": 1.0,
        "answered": 2.0,
        "ended": 5.0,
        "streams": [],
    } | changes


def test_the_result_of_a_call_in_each_stage() -> None:
    assert result(call()) == "200, ended by caller: BYE"
    assert result(call(ended=None)) == "in progress"
    assert result(call(ended=None, answered=None)) == "ringing"
    assert result(call(ended=None, answered=None, ringing=None)) == "being set up"
    assert result(call(status=0, ended_by="", cause="")) == "-, ended by nobody: no cause recorded"


def test_time_spoken_counts_from_the_answer() -> None:
    assert spoken(call(), now=100.0) == "3.0 s"
    assert spoken(call(ended=None), now=12.0) == "10.0 s"
    assert spoken(call(answered=None), now=12.0) == "-"


def test_loss_is_told_of_each_side_over_all_streams() -> None:
    streams = [
        {"a": {"packets": 50, "lost": 0}, "b": {"packets": 90, "lost": 10}},
        {"a": {"packets": 50, "lost": 0}, "b": {"packets": 100, "lost": 0}},
    ]
    assert worst_loss(call(streams=streams)) == "0.0%/5.0%"
    assert worst_loss(call()) == "-/-"
    assert loss({"packets": 0, "lost": 7}) == "-"


def test_the_line_of_a_stream_names_what_is_out_of_the_ordinary() -> None:
    assert stream_line({}) == "nothing came"
    assert stream_line({"packets": 150, "lost": 0, "jitter": 0.44}) == "150 packets, lost 0 (0.0%), jitter 0.4 ms"
    assert stream_line({"packets": 99, "lost": 1, "reordered": 2, "mismatched": 3}) == (
        "99 packets, lost 1 (1.0%), 2 reordered, 3 from elsewhere, dropped"
    )
