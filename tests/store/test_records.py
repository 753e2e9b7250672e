"""Records of any kind outlive the process, each kind in a database of its own."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sbc.sip import Address, Hop
from sbc.store import StoreError
from sbc.store.records import RecordStore, Shelf, checked, read_hop, time_of


class Note(NamedTuple):
    name: str
    until: float
    words: tuple[str, ...] = ()
    urgent: bool = False
    times: int = 1


def _facts(note: Note, offset: float) -> tuple[float, dict[str, Any]]:
    return note.until + offset, note._asdict() | {"until": note.until + offset}


def _note(facts: dict[str, Any], offset: float) -> Note:
    values = checked(Note, facts)
    return Note(**values | {"until": time_of(values["until"], offset), "words": tuple(values["words"])})


NOTES = Shelf[Note, tuple[str]]("notes", "notes", (("name", "TEXT"),), lambda note: (note.name,), _facts, _note)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


def wall() -> float:
    return time.time() - 1000.0


def store(path: Path) -> RecordStore[Note, tuple[str]]:
    return RecordStore(path, NOTES)


def test_what_was_kept_comes_back_in_the_times_of_another_process(path: Path) -> None:
    first, note = store(path), Note("a", wall() + 60, ("b", "c"), True, 3)
    first.keep(note, 1000.0)
    first.keep(Note("gone", wall() + 60), 1000.0)
    first.forget(("gone",))
    first.close()
    (back,) = store(path).restored(400.0)
    assert back._replace(until=0) == note._replace(until=0)
    assert back.until == pytest.approx(note.until + 600.0)


def test_what_has_ended_is_pruned(path: Path) -> None:
    first = store(path)
    first.keep(Note("a", wall() - 60), 1000.0)
    first.keep(Note("b", wall() + 60), 1000.0)
    first.close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT name FROM notes").fetchall() == [("b",)]
    database.close()


def test_what_one_row_says_wrong_is_lost_alone_and_told(path: Path) -> None:
    told: list[str] = []
    first = store(path)
    for name in "abc":
        first.keep(Note(name, wall() + 60), 1000.0)
    first.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE notes SET facts = json_set(facts, '$.times', 'many') WHERE name = 'b'")
    database.close()
    again = RecordStore(path, NOTES, told.append)
    assert [note.name for note in again.restored(1000.0)] == ["a", "c"]
    assert told == [f"{path}: 1 of 3 notes cannot be read, and are lost (TypeError: times is no int)"]


def test_a_database_of_another_version_is_left_alone(path: Path) -> None:
    store(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 77")
    database.close()
    with pytest.raises(StoreError, match="schema 77"):
        store(path)


@pytest.mark.parametrize(
    "facts",
    [
        {"until": 1.0},
        {"name": 1, "until": 1.0},
        {"name": "a", "until": "soon"},
        {"name": "a", "until": 1.0, "words": "b"},
        {"name": "a", "until": 1.0, "urgent": 1},
    ],
    ids=str,
)
def test_fields_have_their_types(facts: dict[str, Any]) -> None:
    with pytest.raises((TypeError, KeyError)):
        checked(Note, facts)
    assert checked(Note, {"name": "a", "until": 1}) == Note("a", 1)._asdict()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_time_is_one_that_comes(value: float) -> None:
    with pytest.raises(ValueError, match="no time"):
        time_of(value, 0.0)


def test_a_hop_is_read_back() -> None:
    hop = Hop("public", "TCP", Address("192.0.2.1", 5060), Address("198.51.100.7", 1024), 7)
    assert read_hop([hop.zone, hop.transport, [*hop.local], [*hop.remote], 7]) == hop
    with pytest.raises(TypeError):
        read_hop([hop.zone, hop.transport, [*hop.local], ["198.51.100.7", "1024"], 7])
