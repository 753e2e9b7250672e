"""Random call histories hold what must hold of every call."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.fuzz import two_legs
from tests.support.world import Edge

FIRST = 100_000
HISTORIES = 2500
LONGEST = 15.0
"""Seconds: a slow machine runs fewer histories."""
FEWEST = 200


def test_whatever_two_sides_do_calls_end_nothing_is_left_and_nothing_leaks() -> None:
    until = time.monotonic() + LONGEST
    for seed in range(FIRST, FIRST + HISTORIES):
        assert two_legs.run(seed) == [], f"python -m tests.fuzz.two_legs 1 {seed}"
        if seed >= FIRST + FEWEST and time.monotonic() > until:
            break


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
