"""The record of calls, read: by the command line, also while the service writes. Opens the database read-only.

What comes out is plain facts (dict, list, str, float, int, None), ready for JSON. A call has the columns of `calls`
under their own names (`id`, `started` ...), both legs as dicts `a` and `b` (None where there was none) and `streams`;
`call` adds `messages` (`at`, `order`, `sent`, `zone`, `transport`, `local`, `remote`, `text`) and `decisions` (`at`,
`hook`, `policy`, `verdict`, `reason`), in time order.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sbc.store.framing import DECISION, entries, entry_facts
from sbc.store.schema import CALL_COLUMNS, COLUMNS, LEG_COLUMNS, SEGMENTS, VERSION, StoreError

Facts = dict[str, Any]


class NoSuchCall(LookupError):
    """No call has that id, or several begin so; the text says which."""


class CallReader:
    """Raises `StoreError` when made, if there is no such database, or it cannot be read."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.exists():
            raise StoreError(f"no record of calls at {path}: has the service run, with this state directory?")
        try:
            self._connection = _connect(self._path)
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        if version != VERSION:
            raise StoreError(f"{path} has schema {version}, this sbc knows {VERSION}")

    def close(self) -> None:
        self._connection.close()

    def calls(
        self, limit: int = 20, *, since: float | None = None, failed: bool = False, number: str = ""
    ) -> list[Facts]:
        """The latest calls, newest first: begun after `since` (wall-clock), not answered with 2xx, `number` part of
        From, To or Request-URI of a leg. A `limit` of 0 means all.
        """
        conditions, values = [], []
        if since is not None:
            conditions.append("started >= ?")
            values.append(since)
        if failed:
            conditions.append("ended IS NOT NULL AND (status >= 300 OR answered IS NULL)")
        if number:
            columns = [f"{leg}_{name}" for leg in "ab" for name in ("from_uri", "to_uri", "request_uri")]
            conditions.append("(" + " OR ".join(f"instr({column}, ?)" for column in columns) + ")")
            values.extend([number] * len(columns))  # type: ignore[list-item]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        query = f"SELECT key, id, {', '.join(COLUMNS)} FROM calls {where} ORDER BY key DESC LIMIT ?"
        return [_call_facts(row) for row in self._rows(query, (*values, limit if limit > 0 else -1))]

    def call(self, name: str) -> Facts:
        """All of one call: `name` is its id, a beginning of that which no other id has, or "last". Raises
        `NoSuchCall`.
        """
        select = f"SELECT key, id, {', '.join(COLUMNS)} FROM calls"
        if name == "last":
            rows = self._rows(f"{select} ORDER BY key DESC LIMIT 1")
        else:
            rows = self._rows(f"{select} WHERE id >= ? AND id < ? LIMIT 6", (name, name + "\U0010ffff"))
            rows = [row for row in rows if row[1] == name] or rows
        if not rows or not name:
            raise NoSuchCall(f"no call {name!r} is recorded")
        if len(rows) > 1:
            raise NoSuchCall(f"{name!r} begins several calls: {', '.join(row[1] for row in rows[:5])} ...")
        facts = _call_facts(rows[0])
        facts.update(self._trail(rows[0][0]))
        return facts

    def _trail(self, key: int) -> Facts:
        messages: list[Facts] = []
        decisions: list[Facts] = []
        query = "SELECT entries FROM segments WHERE key >= ? AND key < ? ORDER BY key"
        for (segment,) in self._rows(query, (key * SEGMENTS, (key + 1) * SEGMENTS)):
            for entry in entries(segment):
                facts = entry_facts(entry)
                facts["order"] = len(messages) + len(decisions)
                (decisions if entry.kind == DECISION else messages).append(facts)
        return {"messages": messages, "decisions": decisions}

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    """Read-only; without a write-ahead log beside it the file is read as it is, so that a directory that cannot be
    written does.
    """
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=5.0)
    try:
        connection.execute("SELECT 1 FROM calls LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        connection = sqlite3.connect(uri + "&immutable=1", uri=True)
    return connection


def _call_facts(row: tuple[Any, ...]) -> Facts:
    values = dict(zip(("key", "id", *COLUMNS), row, strict=True))
    facts: Facts = {"id": values["id"]}
    facts.update({name: values[name] for name in CALL_COLUMNS})
    facts["streams"] = json.loads(values["streams"]) if values["streams"] else []
    for leg in "ab":
        columns = {name: values[f"{leg}_{name}"] for name in LEG_COLUMNS}
        facts[leg] = columns if columns["zone"] else None
    return facts
