from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sbc.store import CallStore, StoreError, StoreSettings
from tests.support.records import PUBLIC, decided, ended, reading, record

Make = Callable[..., CallStore]
FAST = StoreSettings(interval=0.02)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[CallStore] = []

    def store(settings: StoreSettings = FAST, report: Callable[[str], None] = print) -> CallStore:
        made.append(CallStore(tmp_path / "calls.sqlite", settings, report))
        return made[-1]

    yield store
    for each in made:
        each.close()


def one_call(store: CallStore, call: str = "c1") -> None:
    store.opened(record(call))
    store.message(call, 100.0, False, PUBLIC, b"INVITE")
    store.decided(decided(call), 100.0)
    store.message(call, 100.1, True, PUBLIC, b"SIP/2.0 200 OK")
    store.ended(ended(call))


def stored(path: Path, call: str = "c1") -> dict[str, Any]:
    with reading(path / "calls.sqlite") as reader:
        return reader.call(call)


def test_what_was_recorded_is_there_after_close(make: Make, tmp_path: Path) -> None:
    store = make()
    one_call(store)
    store.close()
    call = stored(tmp_path)
    assert [(message["sent"], message["text"]) for message in call["messages"]] == [
        (False, "INVITE"),
        (True, "SIP/2.0 200 OK"),
    ]
    assert call["decisions"][0]["reason"] == "open zone"
    assert store.waiting == 0


def test_a_call_in_progress_can_be_read_while_the_service_writes(make: Make, tmp_path: Path) -> None:
    store = make()
    store.opened(record())
    store.message("c1", 100.0, False, PUBLIC, b"INVITE")
    deadline = time.monotonic() + 5
    while store.waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stored(tmp_path)["ended"] is None
    assert len(stored(tmp_path)["messages"]) == 1


def test_the_record_survives_a_kill(make: Make, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        store = CallStore(tmp_path / "calls.sqlite", FAST, print)
        store.opened(record())
        store.message("c1", 123.0, False, PUBLIC, b"INVITE")
        while store.waiting:
            time.sleep(0.01)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    said: list[str] = []
    make(report=said.append).close()
    call = stored(tmp_path)
    assert (call["ended"], call["ended_by"], call["cause"]) == (123.0, "sbc", "lost: service ended")
    assert [message["text"] for message in call["messages"]] == ["INVITE"]
    assert "marked as lost" in said[0]


def test_a_store_made_before_a_fork_works_after_it(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "calls.sqlite", FAST, print)
    child = os.fork()
    if child == 0:
        one_call(store)
        store.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.close()
    assert stored(tmp_path)["cause"] == "BYE"


def test_messages_can_be_left_out(make: Make, tmp_path: Path) -> None:
    store = make(StoreSettings(messages=False))
    one_call(store)
    store.close()
    call = stored(tmp_path)
    assert (call["messages"], len(call["decisions"])) == ([], 1)


def test_with_a_slow_disk_messages_go_first_then_decisions_and_the_end_stays(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "calls.sqlite", StoreSettings(spool=10_000, interval=3600.0), print)
    store._start = lambda: None  # type: ignore[method-assign]  # the disk is as slow as can be
    store.opened(record())
    for _ in range(100):
        store.message("c1", 100.0, False, PUBLIC, b"x" * 500)
    messages = store.dropped
    assert store.waiting <= 8_000
    for _ in range(100):
        store.decided(decided(), 100.0)
    assert store.waiting <= 9_000
    store.ended(ended())
    assert store.waiting <= 10_000 + 1_000
    dropped = store.dropped
    store.close()
    call = stored(tmp_path)
    assert call["cause"] == "BYE"
    assert len(call["messages"]) == 100 - messages > 0
    assert 0 < len(call["decisions"]) - 1 == 200 - dropped - len(call["messages"])
    note = call["decisions"][-1]
    assert note["reason"] == f"{dropped} entries of this call were dropped: the disk was too slow"


def test_the_spool_stays_bounded_when_nothing_can_be_written_at_all(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "calls.sqlite", StoreSettings(spool=100_000, interval=3600.0), print)
    store._start = lambda: None  # type: ignore[method-assign]
    for number in range(2000):
        one_call(store, f"c{number}")
    assert store.waiting <= 101_000
    assert store.dropped > 4000
    store.close()


def test_a_second_service_on_the_same_database_is_refused(make: Make, tmp_path: Path) -> None:
    make()
    with pytest.raises(StoreError, match="another running"):
        CallStore(tmp_path / "calls.sqlite")


def test_old_calls_are_deleted_in_service(make: Make, tmp_path: Path) -> None:
    store = make(StoreSettings(interval=0.02, keep=60.0))
    one_call(store, "old")
    now = time.time()
    store.opened(record("new", started=now))
    store.ended(ended("new", started=now))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with reading(tmp_path / "calls.sqlite") as reader:
            if [call["id"] for call in reader.calls()] == ["new"]:
                return
        time.sleep(0.02)
    pytest.fail("the old call is still there")


def test_a_fault_in_writing_does_not_end_the_thread(make: Make, tmp_path: Path) -> None:
    said: list[str] = []
    store = make(report=said.append)
    store.opened(record())
    store.message("c1", 100.0, False, PUBLIC, "no bytes")  # type: ignore[arg-type]
    deadline = time.monotonic() + 5
    while not said and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "AttributeError" in said[0] or "TypeError" in said[0]
    one_call(store, "c2")
    store.close()
    assert stored(tmp_path, "c2")["cause"] == "BYE"
