"""Many calls at once, and nothing left of them afterwards."""

from __future__ import annotations

import time

import pytest

from tests.support.border import PLAIN, Border
from tests.support.scenario import INWARDS, callee, caller

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

CALLS = 500
T1 = 0.1
"""Short, so that what waits for retransmissions (64 * T1) is gone soon."""


def test_every_table_is_empty_after_five_hundred_calls() -> None:
    with Border(f"[sip]\nt1 = {T1}\nt2 = 0.4\nt4 = 0.5\n" + PLAIN) as border:
        answering = callee(border, INWARDS, "callee", {"delay": 100}, calls=CALLS, timeout=40)
        calling = caller(
            border, INWARDS, "caller", {"talk": 500}, calls=CALLS, extra=("-r", "50", "-l", "200"), timeout=40
        )
        calling.wait()
        answering.wait()
        records = border.records(CALLS)
        assert {(record["status"], record["ended_by"]) for record in records} == {(200, "caller")}
        assert border.leaks() == []
        time.sleep(64 * T1 + 1)
        border.edge.stop()
        assert set(border.edge.table_sizes().values()) == {0}
