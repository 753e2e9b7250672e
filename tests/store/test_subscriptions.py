"""What is subscribed to outlives the process."""

from __future__ import annotations

import sqlite3
import stat
import time
from pathlib import Path

import pytest

from sbc.b2bua import DialogRecord, SubscriptionRecord
from sbc.sip import Address, Hop
from sbc.store import SubscriptionStore

OFFSET = 1_000_000.0


def dialog(zone: str, connection: int | None = None) -> DialogRecord:
    hop = Hop(
        zone, "TCP" if connection else "UDP", Address("192.0.2.1", 5060), Address("198.51.100.7", 1024), connection
    )
    return DialogRecord(
        zone, "", hop, True, "token", ("10.0.0.5",), "sip:1002@192.0.2.1", "call@198.51.100.7", "ours", "theirs",
        "<sip:1002@192.0.2.1>", '"Alice" <sip:1001@192.0.2.1>', "sip:1001@198.51.100.7", ("<sip:p;lr>",), 70, -1,
    )  # fmt: skip


def record(name: str = "one", lasts: float = 600.0) -> SubscriptionRecord:
    return SubscriptionRecord(
        name, "dialog", "7", time.time() - OFFSET + lasts, dialog("public", 5), dialog("private")._replace(peer="pbx")
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "subscriptions.sqlite"


def test_what_was_kept_comes_back_as_it_was(path: Path) -> None:
    store, kept = SubscriptionStore(path), record()
    store.keep(kept, OFFSET)
    store.keep(record("over"), OFFSET)
    store.forget(("over",))
    store.keep(record("late", -1.0), OFFSET)
    store.close()
    (back,) = SubscriptionStore(path).restored(OFFSET)
    assert back._replace(until=0) == kept._replace(until=0)
    assert back.until == pytest.approx(kept.until)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("place", ["$.a", "$.b.hop", "$.b.route_set", "$.a.local_cseq", "$.until", "$.package"])
def test_what_cannot_be_read_is_lost_alone(path: Path, place: str) -> None:
    store = SubscriptionStore(path)
    for name in ("one", "two"):
        store.keep(record(name), OFFSET)
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE subscriptions SET facts = json_set(facts, ?, json('[1]')) WHERE id = 'one'", (place,))
    database.close()
    assert [each.id for each in SubscriptionStore(path).restored(OFFSET)] == ["two"]


def test_the_secret_of_the_site_stays(path: Path) -> None:
    assert SubscriptionStore(path).key == SubscriptionStore(path).key != b""
