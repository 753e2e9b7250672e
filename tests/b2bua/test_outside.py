"""Requests that belong to no call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.ladder import Ladder


def test_options_to_us_says_what_we_can(ladder: Ladder) -> None:
    ladder.play("caller -> OPTIONS", "caller <- 200 OPTIONS | Allow: INVITE* | Accept: *multipart* | To: *;tag=*")


def test_options_that_may_go_no_further_is_for_us_anyway(ladder: Ladder) -> None:
    ladder.play("caller -> OPTIONS | Max-Forwards: 0", "caller <- 200 OPTIONS")


def test_options_of_a_stranger_is_forbidden_where_a_zone_is_not_open(new_ladder: Callable[..., Ladder]) -> None:
    new_ladder(open=False).play("caller -> OPTIONS", "caller <- 403 OPTIONS")


def test_options_tells_that_the_service_ends(ladder: Ladder) -> None:
    """RFC 3261 section 11.2: as an INVITE would be answered."""
    ladder.edge.run(ladder.edge.b2bua.drain(ladder.events.now, 5.0))
    ladder.play("caller -> OPTIONS", "caller <- 503 OPTIONS | Retry-After: 10")


@pytest.mark.parametrize("method", ["NONSENSE", "REGISTER"])
def test_what_is_not_served_is_405_with_what_is(ladder: Ladder, method: str) -> None:
    ladder.play(f"caller -> {method}", f"caller <- 405 {method} | Allow: INVITE*")
    allowed = next(data for _, _, _, data in ladder.network.sent if b"405" in data).split(b"Allow: ")[1].split(b"\r")[0]
    assert method.encode() not in allowed.split(b", ")


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "PRACK"])
def test_what_belongs_to_a_dialog_and_names_none_is_481(ladder: Ladder, method: str) -> None:
    ladder.play(f"caller -> {method}", f"caller <- 481 {method} | To: *;tag=*")


@pytest.mark.parametrize("method", ["OPTIONS", "BYE", "INVITE", "NONSENSE"])
def test_an_unknown_dialog_is_481(ladder: Ladder, method: str) -> None:
    ack = "caller -> ACK" if method == "INVITE" else ""
    ladder.play(f"caller -> {method} | To: <sip:us@192.0.2.1>;tag=lost", f"caller <- 481 {method}", ack)


def test_an_ack_of_nothing_is_nothing(ladder: Ladder) -> None:
    ladder.play("caller -> OPTIONS", "caller <- 200 OPTIONS")
    ladder.parties["caller"].sent["INVITE"] = ["", "CSeq: 1 INVITE"]
    ladder.play("caller -> ACK | To: <sip:us@192.0.2.1>;tag=lost", "caller -> ACK | To: <sip:us@192.0.2.1>")


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ("| Require: x-new", "420 OPTIONS | Unsupported: x-new"),
        ("| Proxy-Require: x-new", "420 OPTIONS | Unsupported: x-new"),
        ("im:a@192.0.2.1", "416 OPTIONS"),
        ("sips:a@192.0.2.1", "416 OPTIONS"),
    ],
)
def test_what_nobody_could_serve_is_refused(ladder: Ladder, change: str, answer: str) -> None:
    ladder.play(f"caller -> OPTIONS {change}", f"caller <- {answer}")


def test_a_cancel_of_nothing_is_481(ladder: Ladder) -> None:
    via = "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKlost"
    ladder.parties["caller"].sent["INVITE"] = [
        "INVITE sip:a@192.0.2.1 SIP/2.0",
        f"Via: {via}",
        "From: <sip:a@b>;tag=1",
        "To: <sip:a@b>",
        "Call-ID: 1",
        "CSeq: 1 INVITE",
    ]
    ladder.play("caller -> CANCEL", "caller <- 481 CANCEL")


def test_who_is_in_no_call_transfers_none(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> REFER | Refer-To: <sip:1002@192.0.2.1>
        caller <- 405 REFER
               | Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, MESSAGE, PRACK, NOTIFY, PUBLISH, SUBSCRIBE
    """
    )


def test_a_notify_without_a_subscription_is_481(ladder: Ladder) -> None:
    ladder.play("caller -> NOTIFY | Event: refer", "caller <- 481 NOTIFY")
