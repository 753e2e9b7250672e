"""Phones that keep the rules find that the SBC keeps them, too."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from sbc.b2bua import first_offer, reliable
from sbc.sip import Limits, Request, parse
from tests.fuzz import polite

HISTORIES = 600
LONGEST = 12.0
"""Seconds of this process on a processor: a slow machine runs fewer histories, a busy one as many."""
FEWEST = 60


def test_whatever_they_do_within_the_rules_they_get_what_they_can_expect() -> None:
    until = time.process_time() + LONGEST
    for seed in range(HISTORIES):
        assert polite.run(seed) == [], f"python -m tests.fuzz.polite 1 {seed}"
        if seed >= FEWEST and time.process_time() > until:
            break


def test_these_histories_hold_what_they_are_about() -> None:
    said: Counter[str] = Counter()
    for seed in range(60):
        history = polite.History(seed)
        history.run()
        for _, _, _, data in history.network.sent:
            message = parse(data, Limits())
            what = message.method if isinstance(message, Request) else str(message.status)
            said[what + (" sdp" if message.body else "") + (" rel" if "RSeq" in message.headers else "")] += 1
            said["Session-Expires"] += "Session-Expires" in message.headers
    for what in ("PRACK", "PRACK sdp", "UPDATE sdp", "183 sdp rel", "180 rel", "422", "302", "CANCEL", "INVITE"):
        assert said[what], what
    assert said["Session-Expires"]


def test_a_2xx_before_the_prack_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliable, "answer_waits", lambda call: False)
    assert any("2xx before the PRACK" in fault for seed in range(150) for fault in polite.run(seed))


def test_an_offer_to_a_fork_that_has_not_answered_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_offer, "agreed_with", lambda call, leg, tag: True)
    assert any("while an offer of" in fault for seed in range(150, 400) for fault in polite.run(seed))
