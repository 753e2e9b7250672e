"""Whose REGISTER is with the registrar, and who waits."""

from __future__ import annotations

import pytest

from sbc.b2bua.turns import Devices, Turns, Waiting
from sbc.sip import Address, Hop, Limits, Request, parse

AOR = "alice@example.com"
HOP = Hop("public", "UDP", Address("192.0.2.1", 5060), Address("198.51.100.7", 5070))
DESK, MOBILE, BOTH, ALL = frozenset({"desk"}), frozenset({"mobile"}), frozenset({"desk", "mobile"}), frozenset[str]()


def waiting(
    name: str,
    devices: Devices = DESK,
    known: bool = False,
    call_id: str = "",
    cseq: int = 1,
    host: str = HOP.remote.host,
) -> Waiting:
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        "Via: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK1",
        "From: <sip:alice@example.com>;tag=1",
        "To: <sip:alice@example.com>",
        f"Call-ID: {call_id or name}",
        f"CSeq: {cseq} REGISTER",
    ]
    request = parse("\r\n".join([*lines, "", ""]).encode(), Limits())
    assert isinstance(request, Request)
    return Waiting(request, name, HOP._replace(remote=Address(host, 5070)), devices, known)


def names(comers: list[Waiting]) -> list[str]:
    return [each.transaction for each in comers]


@pytest.mark.parametrize(
    ("inside", "comes", "waits"),
    [(DESK, DESK, True), (DESK, MOBILE, False), (BOTH, DESK, True), (ALL, DESK, True), (DESK, ALL, True)],
)
def test_who_has_to_wait(inside: Devices, comes: Devices, waits: bool) -> None:
    turns = Turns()
    turn = turns.begin(AOR, inside)
    assert turns.busy(AOR, comes) is waits
    assert not turns.busy("bob@example.com", comes)
    turns.over(AOR, turn)
    assert not turns.busy(AOR, comes)
    assert len(turns) == 0


def test_who_waits_goes_on_when_the_turn_is_over_or_late() -> None:
    turns = Turns()
    first = turns.begin(AOR, BOTH)
    assert turns.wait(AOR, waiting("a")) == turns.wait(AOR, waiting("b", MOBILE)) == []
    assert names(turns.late(AOR, first)) == ["a", "b"]
    second = turns.begin(AOR, DESK)
    assert turns.over(AOR, first) == turns.late(AOR, first) == []
    assert len(turns) == 1
    assert turns.over(AOR, second) == []
    assert len(turns) == 0


def test_the_newest_waits_but_for_who_is_known_and_for_the_order_of_one_phone() -> None:
    turns = Turns()
    turns.begin(AOR, DESK)
    assert names(turns.wait(AOR, waiting("a"))) == []
    assert names(turns.wait(AOR, waiting("b"))) == ["a"]
    assert names(turns.wait(AOR, waiting("c", known=True))) == ["b"]
    assert names(turns.wait(AOR, waiting("d"))) == ["d"]
    assert names(turns.wait(AOR, waiting("e", known=True, call_id="x", cseq=5))) == ["c"]
    assert names(turns.wait(AOR, waiting("f", known=True, call_id="x", cseq=4))) == ["f"]


def test_nobody_loses_its_turn_to_strangers_elsewhere_however_many_they_send() -> None:
    turns = Turns()
    turns.begin(AOR, ALL)
    assert names(turns.wait(AOR, waiting("phone"))) == []
    assert names(turns.wait(AOR, waiting("1", ALL, host="203.0.113.9"))) == []
    for number in range(2, 100):
        assert names(turns.wait(AOR, waiting(str(number), ALL, host="203.0.113.9"))) == [str(number - 1)]
    assert names(turns.late(AOR, 1)) == ["phone", "99"]


def test_of_many_who_is_known_goes_on_waiting() -> None:
    turns = Turns()
    turns.begin(AOR, ALL)
    turns.wait(AOR, waiting("phone", known=True))
    for number in range(100):
        turns.wait(AOR, waiting(str(number), frozenset({str(number)}), host=f"203.0.113.{number}"))
    assert names(turns.late(AOR, 1))[0] == "phone"


def test_few_wait() -> None:
    turns = Turns()
    turns.begin(AOR, ALL)
    for number in range(100):
        turns.wait(AOR, waiting(str(number), frozenset({str(number)})))
    assert len(turns.late(AOR, 1)) == 16


def test_an_answer_that_was_overtaken_counts_no_more_and_the_registrar_is_asked_again() -> None:
    turns = Turns()
    first = turns.begin(AOR, DESK)
    turns.late(AOR, first)
    second = turns.begin(AOR, DESK)
    assert turns.settles(AOR, "desk", second)
    turns.over(AOR, second)
    assert not turns.due(AOR, "desk")
    assert not turns.settles(AOR, "desk", first)
    assert turns.settles(AOR, "mobile", first)
    turns.over(AOR, first)
    assert turns.due(AOR, "desk")
    third = turns.begin(AOR, DESK)
    assert turns.settles(AOR, "desk", third)
    turns.over(AOR, third)
    assert not turns.due(AOR, "desk")


def test_what_was_said_of_all_counts_for_each() -> None:
    turns = Turns()
    first = turns.begin(AOR, DESK)
    turns.late(AOR, first)
    everything = turns.begin(AOR, ALL)
    assert turns.settles(AOR, "", everything)
    assert not turns.settles(AOR, "desk", first)


def test_devices_that_are_not_sure_are_forgotten_when_there_are_too_many() -> None:
    turns = Turns()
    first = turns.begin(AOR, ALL)
    turns.late(AOR, first)
    second = turns.begin(AOR, ALL)
    for number in range(10_500):
        turns.settles(AOR, str(number), second)
        turns.settles(AOR, str(number), first)
    assert sum(turns.due("", str(number)) for number in range(10_500)) == 10_000
