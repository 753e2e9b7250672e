from __future__ import annotations

from sbc.store.framing import DECISION, RECEIVED, SENT, about_text, entries, entry_facts, pack_head


def framed(kind: bytes, at: float, about: bytes, data: bytes = b"") -> bytes:
    return pack_head(kind, at, len(about), len(data)) + about + data


MESSAGE = framed(SENT, 1.5, about_text(("public", "UDP", "192.0.2.1:5060", "192.0.2.7:5060")), b"BYE \x00\xff")
DECIDED = framed(DECISION, 2.5, about_text(("route", "default", "pbx", "the only peer")))


def test_entries_come_back_in_order_with_their_bytes() -> None:
    first, second = entries(MESSAGE + DECIDED)
    assert (first.kind, first.at, first.about[1], first.data) == (SENT, 1.5, "UDP", b"BYE \x00\xff")
    assert (second.kind, second.about) == (DECISION, ("route", "default", "pbx", "the only peer"))
    assert (first.size, second.size) == (len(MESSAGE), len(DECIDED))


def test_a_segment_that_was_cut_off_gives_what_is_whole() -> None:
    whole = MESSAGE + DECIDED
    for length in range(len(whole)):
        assert len(list(entries(whole[:length]))) == (1 if length >= len(MESSAGE) else 0)


def test_about_is_cut_to_what_the_head_can_say() -> None:
    text = about_text(("route", "default", "pbx", "x" * 100_000))
    (entry,) = entries(framed(DECISION, 0.0, text))
    assert entry.about[3].startswith("xxx")


def test_facts_of_a_message_show_bytes_that_are_no_text() -> None:
    (entry,) = entries(MESSAGE)
    assert entry_facts(entry) == {
        "at": 1.5,
        "sent": True,
        "text": "BYE \x00\\xff",
        "zone": "public",
        "transport": "UDP",
        "local": "192.0.2.1:5060",
        "remote": "192.0.2.7:5060",
    }


def test_facts_of_a_received_message_and_a_decision() -> None:
    (entry,) = entries(framed(RECEIVED, 0.0, b"public\0UDP", b""))
    assert entry_facts(entry)["sent"] is False
    assert entry_facts(entry)["remote"] == ""
    (entry,) = entries(DECIDED)
    facts = {"at": 2.5, "hook": "route", "policy": "default", "verdict": "pbx", "reason": "the only peer"}
    assert entry_facts(entry) == facts
