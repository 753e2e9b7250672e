"""RFC 7362 section 4, as the module's rules make it."""

from __future__ import annotations

import pytest

from sbc.rtp import Latch
from sbc.rtp.latch import GRACE, WINDOW

PLACE = ("192.0.2.1", 4000)
OTHER_PORT = ("192.0.2.1", 4444)
SIGNALLING = ("198.51.100.1", 5555)
STRANGER = ("203.0.113.9", 6666)
NEW = ("192.0.2.77", 7000)


@pytest.mark.parametrize(
    ("mode", "admitted"),
    [
        ("strict", {PLACE}),
        ("signalling", {PLACE, OTHER_PORT, SIGNALLING}),
        ("any", {PLACE, OTHER_PORT, SIGNALLING, STRANGER}),
    ],
)
def test_the_mode_says_who_may_latch(mode: str, admitted: set[tuple[str, int]]) -> None:
    assert {
        source
        for source in (PLACE, OTHER_PORT, SIGNALLING, STRANGER)
        if Latch(mode, PLACE, SIGNALLING[0]).admit(source, 0.0)
    } == admitted


def test_the_first_one_locks_out_all_others_even_the_place_that_signalling_named() -> None:
    latch = Latch("any", PLACE, None)
    assert latch.admit(OTHER_PORT, 0.0)
    assert not latch.admit(PLACE, 0.0)
    assert not latch.admit(STRANGER, 0.0)
    assert latch.admit(OTHER_PORT, 0.0)


def test_packets_go_to_the_named_place_and_then_to_the_source() -> None:
    latch = Latch("any", PLACE, None)
    assert latch.destination == PLACE
    latch.admit(STRANGER, 0.0)
    assert latch.destination == STRANGER


def test_while_no_place_is_named_nobody_latches_and_nothing_is_sent() -> None:
    latch = Latch("any", None, "198.51.100.1")
    assert not latch.admit(SIGNALLING, 0.0)
    assert latch.destination is None
    latch.renew("any", PLACE, "198.51.100.1", 0.0)
    assert latch.destination == PLACE
    assert latch.admit(SIGNALLING, 0.0)


def test_a_hold_stops_sending_and_keeps_the_source() -> None:
    latch = Latch("signalling", PLACE, None)
    latch.admit(OTHER_PORT, 0.0)
    latch.renew("signalling", None, None, 1.0)
    assert latch.destination is None
    assert latch.admit(OTHER_PORT, 1.0)
    latch.renew("signalling", PLACE, None, 2.0)
    assert latch.destination == OTHER_PORT


def test_a_new_exchange_lets_one_new_source_latch() -> None:
    latch = Latch("signalling", PLACE, None)
    latch.admit(PLACE, 0.0)
    latch.renew("signalling", PLACE, None, 1.0)
    assert latch.destination == PLACE
    assert latch.admit(OTHER_PORT, 1.0)
    assert not latch.admit(PLACE, 1.0)


def test_the_old_source_s_word_closes_the_latch_where_the_place_is_the_same() -> None:
    latch = Latch("any", PLACE, None)
    latch.admit(PLACE, 0.0)
    latch.renew("any", PLACE, None, 1.0)
    assert latch.admit(PLACE, 1.0)
    assert not latch.admit(STRANGER, 1.0)


@pytest.mark.parametrize("mode", ["signalling", "any"])
def test_where_the_place_is_another_the_old_source_does_not_latch_again_for_a_while(mode: str) -> None:
    latch = Latch(mode, PLACE, PLACE[0])
    latch.admit(OTHER_PORT, 0.0)
    latch.renew(mode, NEW, PLACE[0], 10.0)
    assert latch.destination == NEW
    assert not latch.admit(OTHER_PORT, 10.0 + GRACE / 2)
    assert latch.admit(OTHER_PORT, 10.0 + GRACE)


def test_the_old_source_that_is_named_anew_is_no_exception_to_its_being_named() -> None:
    latch = Latch("signalling", PLACE, None)
    latch.admit(OTHER_PORT, 0.0)
    latch.renew("signalling", OTHER_PORT, None, 1.0)
    assert latch.admit(OTHER_PORT, 1.0)


def test_a_source_that_is_known_is_locked() -> None:
    latch = Latch("any", PLACE, None, STRANGER)
    assert not latch.admit(PLACE, 0.0)
    assert latch.admit(STRANGER, 0.0)


def test_a_confined_latch_takes_one_host_only_and_forgets_another() -> None:
    latch = Latch("any", PLACE, None)
    latch.admit(STRANGER, 0.0)
    latch.confine(PLACE[0])
    assert not latch.admit(STRANGER, 0.0)
    assert latch.admit(OTHER_PORT, 0.0)
    latch.confine(PLACE[0])
    assert latch.source == OTHER_PORT


MOVED = ("192.0.2.44", 4321)
"""Where an element is whose signalling has gone over there."""


@pytest.mark.parametrize(
    ("mode", "admitted"), [("strict", set()), ("signalling", {MOVED}), ("any", {MOVED, STRANGER, OTHER_PORT})]
)
def test_where_the_signalling_has_moved_to_media_may_follow_by_the_mode(
    mode: str, admitted: set[tuple[str, int]]
) -> None:
    found = set()
    for source in (MOVED, STRANGER, OTHER_PORT):
        latch = Latch(mode, PLACE, SIGNALLING[0])
        latch.admit(PLACE, 0.0)
        latch.follow(MOVED[0], 1.0)
        if latch.admit(source, 1.0):
            found.add(source)
    assert found == admitted


def test_media_follow_the_signalling_once_and_the_old_source_is_good_until_then() -> None:
    latch = Latch("signalling", PLACE, SIGNALLING[0])
    latch.admit(PLACE, 0.0)
    latch.follow(MOVED[0], 1.0)
    assert latch.destination == PLACE
    assert latch.admit(PLACE, 1.5)
    assert latch.admit(MOVED, 2.0)
    assert latch.destination == MOVED
    assert not latch.admit(PLACE, 2.1)
    assert not latch.admit((MOVED[0], 9), 2.1)


def test_media_that_do_not_follow_in_time_do_not_follow() -> None:
    latch = Latch("signalling", PLACE, SIGNALLING[0])
    latch.admit(PLACE, 0.0)
    latch.follow(MOVED[0], 1.0)
    assert not latch.admit(MOVED, 1.0 + WINDOW)
    assert latch.admit(PLACE, 1.0 + WINDOW)


def test_who_has_not_spoken_yet_may_begin_at_the_new_place_at_any_time() -> None:
    latch = Latch("signalling", PLACE, SIGNALLING[0])
    latch.follow(MOVED[0], 1.0)
    assert latch.admit(MOVED, 1.0 + 2 * WINDOW)
