"""Registrations as they outlive the process: one row for each flow of a device."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sbc.b2bua import BindingKey, BindingRecord
from sbc.store.records import RecordStore, Shelf, checked, read_hop, texts, time_of
from sbc.store.schema import StoreError

_TIMES = ("until", "inside_until", "checked")


def _key(record: BindingRecord) -> BindingKey:
    return record.aor, record.device, record.reg_id


def _written(record: BindingRecord, offset: float) -> tuple[float, dict[str, Any]]:
    facts: dict[str, Any] = record._asdict()
    for name in _TIMES:
        facts[name] += offset
    return facts["inside_until"], facts


def _record(facts: dict[str, Any], offset: float) -> BindingRecord:
    values = checked(BindingRecord, facts)
    for name in _TIMES:
        values[name] = time_of(values[name], offset)
    for name in ("path", "service_route", "associated"):
        values[name] = texts(values[name])
    values["hop"] = read_hop(values["hop"])
    return BindingRecord(**values)


_SHELF = Shelf(
    "registrations", "bindings", (("aor", "TEXT"), ("device", "TEXT"), ("reg_id", "INTEGER")), _key, _written, _record
)


class RegistrationStore(RecordStore[BindingRecord, BindingKey]):
    """Keeps registrations for the next process. `key` is the secret of the site: see `sbc.b2bua.Access.key`."""

    def __init__(self, path: str | Path, report: Callable[[str], None] | None = None) -> None:
        super().__init__(path, _SHELF, report)


class RegistrationReader:
    """Read-only, for the command line. Raises `StoreError` when made, if there is nothing to be read."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.exists():
            raise StoreError(f"no registrations at {path}: does the service have an [access] table, and has it run?")
        try:
            self._connection = sqlite3.connect(f"file:{quote(str(self._path.resolve()))}?mode=ro", uri=True)
            self._connection.text_factory = bytes
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def registrations(self, user: str = "") -> list[dict[str, Any]]:
        """What is registered now, by address of record; `user`: only those whose address of record holds that."""
        query = "SELECT facts FROM bindings WHERE ends > ? AND instr(aor, ?) ORDER BY aor, device, reg_id"
        try:
            rows = self._connection.execute(query, (time.time(), user)).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        return [facts for (text,) in rows if (facts := _facts(text)) is not None]


def _facts(text: bytes) -> dict[str, Any] | None:
    """What stands in a row; None if that cannot be read."""
    try:
        facts: dict[str, Any] = json.loads(text)
        _record(facts, 0.0)
    except Exception:  # the service leaves it out as well, and says so
        return None
    return facts
