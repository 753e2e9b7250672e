"""Random histories outside calls hold what must hold of every request and subscription."""

from __future__ import annotations

import time

from sbc.b2bua import Respond, SendRequest
from tests.fuzz import watching

FIRST = 100_000
HISTORIES = 2500
LONGEST = 10.0
"""Seconds of this process on a processor: a slow machine runs fewer histories, a busy one as many."""
FEWEST = 200


def test_whatever_both_sides_do_nothing_is_left_answered_twice_or_leaked() -> None:
    until = time.process_time() + LONGEST
    for seed in range(FIRST, FIRST + HISTORIES):
        assert watching.run(seed) == [], f"python -m tests.fuzz.watching 1 {seed}"
        if seed >= FIRST + FEWEST and time.process_time() > until:
            break


def test_they_see_much_of_what_can_happen() -> None:
    """Else they would show little."""
    methods: set[tuple[str, str]] = set()
    answers: set[tuple[str, int]] = set()
    for seed in range(150):
        history = watching.History(seed)
        history.run()
        for each in history.edge.commands:
            if isinstance(each, SendRequest):
                methods.add((each.request.method, each.hop.zone))
            elif isinstance(each, Respond):
                answers.add((each.response.cseq.method, each.response.status))
    both = {(method, zone) for method in watching.CROSSING for zone in ("public", "private")}
    assert both - {("OPTIONS", "private")} <= methods  # those of the public side are for us
    assert {("SUBSCRIBE", status) for status in (200, 405, 481, 503)} <= answers
    assert {("NOTIFY", status) for status in (200, 415, 481)} <= answers
