"""Subscriptions as they outlive the process: one row for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sbc.b2bua import DialogRecord, SubscriptionKey, SubscriptionRecord
from sbc.store.records import RecordStore, Shelf, checked, read_hop, texts, time_of


def _written(record: SubscriptionRecord, offset: float) -> tuple[float, dict[str, Any]]:
    facts = record._asdict() | {"a": record.a._asdict(), "b": record.b._asdict(), "until": record.until + offset}
    return facts["until"], facts


def _record(facts: dict[str, Any], offset: float) -> SubscriptionRecord:
    values = checked(SubscriptionRecord, facts)
    values |= {"a": _dialog(values["a"]), "b": _dialog(values["b"]), "until": time_of(values["until"], offset)}
    return SubscriptionRecord(**values)


def _dialog(facts: dict[str, Any]) -> DialogRecord:
    values = checked(DialogRecord, facts)
    for name in ("route_set", "names"):
        values[name] = texts(values[name])
    return DialogRecord(**values | {"hop": read_hop(values["hop"])})


_SHELF = Shelf("subscriptions", "subscriptions", (("id", "TEXT"),), lambda record: (record.id,), _written, _record)


class SubscriptionStore(RecordStore[SubscriptionRecord, SubscriptionKey]):
    """Keeps subscriptions for the next process."""

    def __init__(self, path: str | Path, report: Callable[[str], None] | None = None) -> None:
        super().__init__(path, _SHELF, report)
