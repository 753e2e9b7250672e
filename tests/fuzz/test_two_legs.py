"""Random call histories hold what must hold of every call."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import replace

from tests.fuzz import two_legs
from tests.support.world import INSIDE, OUTSIDE, Edge

FIRST = 100_000
HISTORIES = 2500
LONGEST = 15.0
"""Seconds of this process on a processor: a slow machine runs fewer histories, a busy one as many."""
FEWEST = 200


def test_whatever_two_sides_do_calls_end_nothing_is_left_and_nothing_leaks() -> None:
    until = time.process_time() + LONGEST
    for seed in range(FIRST, FIRST + HISTORIES):
        assert two_legs.run(seed) == [], f"python -m tests.fuzz.two_legs 1 {seed}"
        if seed >= FIRST + FEWEST and time.process_time() > until:
            break


def test_these_histories_hold_what_they_are_about() -> None:
    said: Counter[bytes] = Counter()
    for seed in range(150):
        history = two_legs.History(seed)
        history.run()
        for _, source, _, data in history.network.sent:
            ours = b"from us: " if source in (OUTSIDE, INSIDE) else b""
            said.update(ours + found for found in set(_TELLING.findall(data)))
    for what in (
        b"\nm=audio ",
        b"\nm=video ",
        b"\nm=image ",
        b"\nm=application ",
        b"c=IN IP4 0.0.0.0",
        b"\nm=video 0 ",
    ):
        assert said[what], what
    for what in (
        b"\nm=audio ",
        b"\nm=video ",
        b"\nm=image ",
        b"REFER sip",
        b"PRACK sip",
        b"\nReplaces:",
        b"UPDATE sip",
    ):
        assert said[b"from us: " + what], what


_TELLING = re.compile(rb"\nm=video 0 |\nm=\w+ |c=IN IP4 0.0.0.0|^(?:REFER|PRACK|UPDATE) sip|\nReplaces:", re.MULTILINE)


def test_a_side_that_is_not_hidden_would_be_seen() -> None:
    """The search for leaks finds what is there to be found."""

    class Shown(two_legs.History):
        def _edge(self, seed: int) -> Edge:
            edge = super()._edge(seed)
            zones = edge.b2bua._context.network.zones
            zones["private"] = replace(zones["private"], hidden=False)
            return edge

    leaked = {fault for seed in range(40) for fault in Shown(seed).run() if fault.startswith("leaked")}
    assert {"leaked: 10.0.0.", "leaked: secretpbx"} <= {fault.lower() for fault in leaked}
