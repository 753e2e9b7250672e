"""SIGTERM: new calls are turned away, calls in progress may go on for a while, then they are ended."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.border import PLAIN, Border
from tests.support.lab import PUBLIC, wait_until
from tests.support.scenario import INWARDS, callee, caller, refused
from tests.support.sipp import Sipp

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

GRACE = 2


@pytest.fixture
def border() -> Iterator[Border]:
    with Border(f"[service]\ndrain_grace = {GRACE}\n" + PLAIN) as border:
        yield border


@pytest.fixture
def call(border: Border) -> tuple[Sipp, Sipp]:
    """A call in progress whose two ends wait to hear BYE."""
    answering = callee(border, INWARDS, "callee", {"delay": 0})
    calling = caller(border, INWARDS, "caller_hears_bye")
    wait_until(lambda: any(record["answered"] for record in border.edge.calls()), "the call is answered", step=0.1)
    return calling, answering


def test_calls_in_progress_end_after_the_grace_time_and_new_ones_are_refused(
    border: Border, call: tuple[Sipp, Sipp]
) -> None:
    border.edge.terminate()
    begun = time.monotonic()
    time.sleep(0.2)
    late = Sipp(
        border.lab.public, "caller_refused", PUBLIC.others[0], 5060, target=f"{PUBLIC.edge}:5060",
        dialled=INWARDS.uri, replace=refused(503, "Retry-After: *[0-9]"),
    )  # fmt: skip
    late.wait()
    assert border.edge.process.poll() is None
    for side in call:
        side.wait()
    took = time.monotonic() - begun
    assert GRACE - 0.5 < took < GRACE + 2
    assert border.edge.process.wait(10) == 0
    record = border.record(call[0])
    assert (record["status"], record["ended_by"]) == (200, "sbc")
    assert "drain" in record["cause"]


def test_a_service_without_calls_ends_at_once(border: Border) -> None:
    border.edge.terminate()
    assert border.edge.process.wait(1.5) == 0


def test_a_second_signal_ends_at_once(border: Border, call: tuple[Sipp, Sipp]) -> None:
    border.edge.terminate()
    time.sleep(0.3)
    border.edge.terminate()
    assert border.edge.process.wait(1.5) == 0
    for side in call:
        side.stop()
