"""What is registered outlives the process."""

from __future__ import annotations

import json
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbc.b2bua import BindingRecord
from sbc.sip import Address, Hop
from sbc.store import RegistrationReader, RegistrationStore, StoreError

OFFSET = 1_000_000.0


def record(name: str = "desk", lasts: float = 3600.0, reg_id: int = 0) -> BindingRecord:
    now = time.time() - OFFSET
    hop = Hop("public", "UDP", Address("192.0.2.1", 5060), Address("198.51.100.7", 1024))
    return BindingRecord("alice@example.com", name, reg_id, "sip:alice@example.com", "<sip:a@b>", "sip:a@b",
                         "<sip:a@b>", hop, "call", 7, now + 60, 60, "Phone/1.0", ("<sip:p;lr>",), "registered",
                         "token", now + lasts, now, 3600, (), ("<sip:alice@example.com>",))  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "registrations.sqlite"


def reopened(path: Path) -> list[BindingRecord]:
    return list(RegistrationStore(path).restored(OFFSET))


def test_what_was_kept_comes_back_as_it_was(path: Path) -> None:
    store = RegistrationStore(path)
    kept = record()
    store.keep(kept, OFFSET)
    store.close()
    (back,) = reopened(path)
    assert back._replace(until=0, inside_until=0, checked=0) == kept._replace(until=0, inside_until=0, checked=0)
    assert back.inside_until == pytest.approx(kept.inside_until)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_last_word_counts(path: Path) -> None:
    store = RegistrationStore(path)
    for decision in ("registered", "renewed"):
        store.keep(record()._replace(decision=decision), OFFSET)
    store.keep(record("mobile"), OFFSET)
    store.forget(("alice@example.com", "mobile", 0))
    store.close()
    assert [back.decision for back in reopened(path)] == ["renewed"]


def test_what_an_earlier_version_wrote_comes_back(path: Path) -> None:
    store = RegistrationStore(path)
    store.keep(record(), OFFSET)
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE bindings SET facts = json_remove(facts, '$.epoch')")
    database.close()
    assert [back.epoch for back in reopened(path)] == [""]


def test_it_is_written_without_being_closed(path: Path) -> None:
    store = RegistrationStore(path)
    for name in ("desk", "mobile"):  # the second one wakes a thread that sleeps
        store.keep(record(name), OFFSET)
        deadline = time.monotonic() + 20
        while name not in [each.device for each in reopened(path)]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    store.close()


def test_what_has_ended_does_not_come_back(path: Path) -> None:
    store = RegistrationStore(path)
    store.keep(record(lasts=-1.0), OFFSET)
    store.keep(record("mobile"), OFFSET)
    store.close()
    assert [back.device for back in reopened(path)] == ["mobile"]


def test_the_secret_is_made_once(path: Path) -> None:
    key = RegistrationStore(path).key
    assert len(key) == 32
    assert RegistrationStore(path).key == key
    assert RegistrationStore(path.with_name("other.sqlite")).key != key


def test_what_is_no_database_is_told_and_not_overwritten(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("rubbish" * 1000)
    with pytest.raises(StoreError):
        RegistrationStore(path)
    assert path.read_text().startswith("rubbish")


def test_a_reader_finds_users_by_a_part_of_their_name(path: Path) -> None:
    store = RegistrationStore(path)
    store.keep(record(), OFFSET)
    store.keep(record()._replace(aor="bob@example.com"), OFFSET)
    store.close()
    reader = RegistrationReader(path)
    assert [facts["aor"] for facts in reader.registrations()] == ["alice@example.com", "bob@example.com"]
    assert [facts["user_agent"] for facts in reader.registrations("bob")] == ["Phone/1.0"]
    reader.close()


def test_a_reader_without_a_database_says_what_is_missing(path: Path) -> None:
    with pytest.raises(StoreError, match=r"\[access\]"):
        RegistrationReader(path)


def test_trouble_with_the_disk_is_told_once_and_what_waits_is_written_later(path: Path) -> None:
    told: list[str] = []
    store = RegistrationStore(path, told.append)
    aside = path.with_name("aside")
    path.rename(aside)
    path.mkdir()
    store.keep(record(), OFFSET)
    deadline = time.monotonic() + 20
    while not told:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    path.rmdir()
    aside.rename(path)
    store.close()
    assert [back.device for back in reopened(path)] == ["desk"]
    assert len(told) == 2


def spoil(path: Path, device: str, how: Callable[[dict[str, Any]], object]) -> None:
    """Put something else in the place of what stands about a device."""
    connection = sqlite3.connect(path)
    (text,) = connection.execute("SELECT facts FROM bindings WHERE device = ?", (device,)).fetchone()
    connection.execute("UPDATE bindings SET facts = ? WHERE device = ?", (how(json.loads(text)), device))
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "how",
    [
        lambda facts: "{",
        lambda facts: b"\xff\xfe",
        lambda facts: 7,
        lambda facts: "[]",
        lambda facts: json.dumps({**facts, "until": "soon"}),
        lambda facts: json.dumps({**facts, "checked": float("nan")}),
        lambda facts: json.dumps({**facts, "hop": None}),
        lambda facts: json.dumps({**facts, "hop": ["public", "UDP", ["192.0.2.1", 5060], ["198.51.100.7", "x"], None]}),
        lambda facts: json.dumps({**facts, "path": [7]}),
        lambda facts: json.dumps({name: fact for name, fact in facts.items() if name != "token"}),
    ],
)
def test_a_row_that_cannot_be_read_is_lost_and_the_others_are_not(path: Path, how: Callable[[Any], object]) -> None:
    store = RegistrationStore(path)
    for name in ("desk", "hall", "mobile"):
        store.keep(record(name), OFFSET)
    store.close()
    spoil(path, "hall", how)
    told: list[str] = []
    assert [back.device for back in RegistrationStore(path, told.append).restored(OFFSET)] == ["desk", "mobile"]
    (line,) = told
    assert "1 of 3 registrations cannot be read" in line
    reader = RegistrationReader(path)
    assert [facts["device"] for facts in reader.registrations()] == ["desk", "mobile"]
    reader.close()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        record()._replace(aor="a\ud800@example.com"),
        record()._replace(device="a\ud800"),
        record(reg_id=2**70),
        record()._replace(until="soon"),  # type: ignore[arg-type]
        record()._replace(nat={"a", "set"}),  # type: ignore[arg-type]
    ],
)
def test_a_record_that_cannot_be_written_is_lost_and_those_with_it_are_not(
    path: Path, bad: BindingRecord | None
) -> None:
    told: list[str] = []
    store = RegistrationStore(path, told.append)
    store.keep(record("first"), OFFSET)
    if bad is None:
        store.forget(("\ud800", "gone", 0))
    else:
        store.keep(bad, OFFSET)
    store.keep(record("last"), OFFSET)
    store.close()
    assert [back.device for back in reopened(path)] == ["first", "last"]
    assert len(told) == 1
    assert "cannot be written" in told[0]


def test_faults_of_one_kind_are_told_once(path: Path) -> None:
    told: list[str] = []
    store = RegistrationStore(path, told.append)
    for number in range(3):
        store.keep(record(reg_id=2**70), OFFSET)
        store.keep(record(f"device {number}"), OFFSET)
        deadline = time.monotonic() + 20
        while f"device {number}" not in [each.device for each in reopened(path)]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    store.close()
    assert len(told) == 1
