"""The signalling side of the userspace plane: the worker's life. What it does with packets: tests/conformance."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sbc.dataplane import PortRange, UserspacePlane
from sbc.dataplane.userspace import MAX_UNSENT
from sbc.media.flow import PlaneLost, PortsReady, StatsReport
from sbc.sip import Address
from tests.support.planes import UserspaceUnderTest, flow, side


@pytest.fixture
def under_test() -> Iterator[UserspaceUnderTest]:
    made = UserspaceUnderTest()
    yield made
    made.close()


def some_flow(under_test: UserspaceUnderTest, name: str = "c/0") -> None:
    low = under_test.low
    under_test.plane.apply(flow(name, side(Address("127.0.0.1", low), None), side(Address("127.0.0.1", low + 2), None)))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_stop_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    made = UserspaceUnderTest(directory=str(tmp_path / "media"))
    pid = made.pid
    assert stat.S_IMODE((tmp_path / "media").stat().st_mode) == 0o700
    before = time.monotonic()
    made.close()
    assert time.monotonic() - before < 1.5
    assert not _alive(pid)
    assert list((tmp_path / "media").iterdir()) == []


def test_stop_before_the_worker_is_ready_and_stop_twice() -> None:
    made = UserspaceUnderTest()
    made.close()
    ended: list[object] = []
    made.plane.stop().addCallback(ended.append)
    assert ended == [None]
    never = UserspacePlane(made.reactor, PortRange(30000, 30001))
    never.stop().addCallback(ended.append)
    assert ended == [None, None]


def test_a_worker_that_hangs_is_killed_at_the_end(under_test: UserspaceUnderTest) -> None:
    os.kill(under_test.pid, signal.SIGSTOP)
    pid = under_test.pid
    ended: list[object] = []
    under_test.plane.stop().addCallback(ended.append)
    under_test.until(lambda: ended)
    assert not _alive(pid)


def test_a_worker_that_does_not_read_is_lost_and_started_again(under_test: UserspaceUnderTest) -> None:
    pid = under_test.pid
    os.kill(pid, signal.SIGSTOP)
    command = len(b'["b","127.0.0.1",0]')
    for _ in range(2 * (MAX_UNSENT + (1 << 20)) // command):
        under_test.plane.bind("127.0.0.1", 0)
        if under_test.all(PlaneLost) or under_test.plane._control is None or under_test.plane._control._closed:
            break
    assert "read" in under_test.wait(PlaneLost).reason
    under_test.plane.bind("127.0.0.1", 2)
    assert len(under_test.wait(PortsReady, lambda e: len(e.ports) == 2).ports) == 2
    assert under_test.pid != pid


def test_what_was_being_removed_when_the_worker_died_reports_once(under_test: UserspaceUnderTest) -> None:
    some_flow(under_test)
    some_flow(under_test, "kept/0")
    under_test.run(0.02)
    under_test.crash()
    under_test.plane.remove("c/0")
    under_test.wait(PlaneLost)
    under_test.plane.remove("kept/0")
    under_test.wait(StatsReport, lambda e: e.flow_id == "kept/0")
    under_test.run(0.2)
    assert sorted(report.flow_id for report in under_test.all(StatsReport)) == ["c/0", "kept/0"]


def test_a_flow_applied_and_removed_while_there_is_no_worker_never_reaches_one(
    under_test: UserspaceUnderTest,
) -> None:
    under_test.crash()
    under_test.wait(PlaneLost)
    some_flow(under_test)
    under_test.plane.remove("c/0")
    under_test.plane.bind("127.0.0.1", 1)
    under_test.wait(PortsReady, lambda e: len(e.ports) == 1)
    under_test.wait(StatsReport)
    assert under_test.plane.flow_count == 0
    assert len(under_test.all(StatsReport)) == 1


def test_a_worker_that_keeps_dying_is_started_less_and_less_often(under_test: UserspaceUnderTest) -> None:
    plane = under_test.plane
    pauses = []
    for count in range(3):
        pid = under_test.pid
        under_test.crash()
        under_test.until(lambda count=count: len(under_test.all(PlaneLost)) == count + 1)
        assert plane._restart is not None
        pauses.append(plane._delay)  # how long it waits now: what the clock says besides depends on the machine
        under_test.until(lambda pid=pid: plane._control is not None and under_test.pid != pid)
    assert pauses[0] < pauses[1] < pauses[2]


def test_memory_stays_flat_over_many_flows(under_test: UserspaceUnderTest) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{under_test.pid}/statm").read_text().split()[1]) * 4

    def calls(count: int) -> None:
        for _ in range(count):
            some_flow(under_test)
            under_test.plane.remove("c/0")
        under_test.until(lambda: len(under_test.all(StatsReport)) == count)
        under_test.events.clear()

    calls(1000)
    before = resident()
    calls(4000)
    assert resident() - before < 2000  # KiB
    assert under_test.plane.flow_count == 0
    assert not under_test.plane._removing


def test_what_is_commanded_in_one_turn_goes_in_one_write(under_test: UserspaceUnderTest) -> None:
    control = under_test.plane._control
    assert control is not None
    writes: list[int] = []
    flush = control._flush
    control._flush = lambda: (writes.append(len(control._outbound)), flush())  # type: ignore[method-assign,assignment]
    for count in (1, 2, 3):
        under_test.plane.bind("127.0.0.1", count)
    assert writes == []
    under_test.wait(PortsReady, lambda event: len(event.ports) == 3)
    assert len(writes) == 1
    assert not control._outbound
