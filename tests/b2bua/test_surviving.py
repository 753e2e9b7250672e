"""Subscriptions go on after a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua import Access, ForgetSubscription, KeepBinding, KeepSubscription, Settings, SubscriptionRecord
from sbc.sip import Address
from tests.support.ladder import Ladder

NewLadder = Callable[..., Ladder]

ASKED = """
    caller -> SUBSCRIBE | Event: dialog;id=7 | Expires: 600
    callee <- SUBSCRIBE | Event: dialog;id=7
    callee -> 200 SUBSCRIBE | Expires: 600
    caller <- 200 SUBSCRIBE
"""
NOTIFIED = """
    callee -> NOTIFY text | Event: dialog;id=7 | Subscription-State: active
    caller <- NOTIFY text | Event: dialog;id=7 | Subscription-State: active
    caller -> 200 NOTIFY
    callee <- 200 NOTIFY
"""
REFRESHED = """
    caller -> SUBSCRIBE | Event: dialog;id=7 | Expires: 600
    callee <- SUBSCRIBE | Event: dialog;id=7
    callee -> 200 SUBSCRIBE | Expires: 600
    caller <- 200 SUBSCRIBE
"""
ENDED = NOTIFIED.replace("text", "").replace("active", "terminated")


def written(ladder: Ladder) -> list[SubscriptionRecord]:
    """What is in the store."""
    kept = {record.id: record for record in ladder.edge.subscribed}
    for command in ladder.edge.commands:
        if isinstance(command, KeepSubscription):
            kept[command.record.id] = command.record
        elif isinstance(command, ForgetSubscription):
            del kept[command.key[0]]
    return list(kept.values())


def bindings(ladder: Ladder) -> tuple[object, ...]:
    kept = {c.record.token: c.record for c in ladder.edge.commands if isinstance(c, KeepBinding)}
    return tuple(kept.values())


def restarted(ladder: Ladder, new_ladder: NewLadder, **more: object) -> Ladder:
    """The SBC was killed and has started again; nobody else has noticed."""
    after = new_ladder(subscribed=tuple(written(ladder)), seed=ladder.seed + 1, **more)
    for name, party in ladder.parties.items():
        other = after.parties.get(name) or after.party(
            name, party.address, party.uri, party.transport, party.connection
        )
        other.identity, other.cseq, other.registers, other.requests = (
            party.identity, party.cseq, party.registers, dict(party.requests),
        )  # fmt: skip
    return after


def cseq(ladder: Ladder, who: str, method: str) -> int:
    return ladder.parties[who].requests[method].cseq.number


def count(ladder: Ladder) -> int:
    return ladder.edge.b2bua.table_sizes()["subscriptions"]


def test_both_sides_go_on_in_their_dialogs(ladder: Ladder, new_ladder: NewLadder) -> None:
    ladder.play(ASKED, NOTIFIED, NOTIFIED)
    before = cseq(ladder, "caller", "NOTIFY"), cseq(ladder, "callee", "SUBSCRIBE")
    after = restarted(ladder, new_ladder)
    after.play(NOTIFIED, REFRESHED, NOTIFIED)
    caller, callee = after.parties["caller"], after.parties["callee"]
    assert caller.identity == ladder.parties["caller"].identity
    assert callee.requests["SUBSCRIBE"].call_id == ladder.parties["callee"].requests["SUBSCRIBE"].call_id
    assert cseq(after, "caller", "NOTIFY") > before[0]
    assert cseq(after, "callee", "SUBSCRIBE") > before[1]
    after.play(ENDED)
    assert count(after) == 0
    assert written(after) == []


def test_numbers_do_not_go_back_however_many_were_used(ladder: Ladder, new_ladder: NewLadder) -> None:
    ladder.play(ASKED)
    for _ in range(3):
        ladder.play(*[NOTIFIED] * 41)
        used = cseq(ladder, "caller", "NOTIFY")
        ladder = restarted(ladder, new_ladder)
        ladder.play(NOTIFIED)
        assert cseq(ladder, "caller", "NOTIFY") > used


@given(st.lists(st.sampled_from(("notified", "refreshed", "killed")), max_size=12))
def test_in_any_history_both_sides_see_numbers_that_grow(history: list[str]) -> None:
    ladder = Ladder()
    ladder.play(ASKED)
    last = {"caller": 0, "callee": 0}
    for event in history:
        if event == "killed":
            ladder = restarted(ladder, Ladder)
            continue
        ladder.play(NOTIFIED if event == "notified" else REFRESHED)
        who, method = ("caller", "NOTIFY") if event == "notified" else ("callee", "SUBSCRIBE")
        assert cseq(ladder, who, method) > last[who]
        last[who] = cseq(ladder, who, method)
    assert count(ladder) == 1


def test_a_notify_costs_no_write(ladder: Ladder) -> None:
    ladder.play(ASKED, NOTIFIED)
    before = len(ladder.edge.commands)
    ladder.play(*[NOTIFIED] * 20)
    assert not any(isinstance(command, KeepSubscription) for command in ladder.edge.commands[before:])
    ladder.play("60 s", REFRESHED)  # it lasts longer now
    assert any(isinstance(command, KeepSubscription) for command in ladder.edge.commands[before:])


def test_its_end_is_not_forgotten(ladder: Ladder, new_ladder: NewLadder) -> None:
    ladder.play(ASKED, NOTIFIED)
    after = restarted(ladder, new_ladder)
    after.play(
        """
        632 s
        caller <- NOTIFY | Event: dialog;id=7 | Subscription-State: terminated;reason=timeout
        caller -> 200 NOTIFY
    """
    )
    assert count(after) == 0
    assert written(after) == []


def test_what_is_under_way_or_over_is_not_written_down(ladder: Ladder) -> None:
    ladder.play("caller -> SUBSCRIBE | Event: dialog;id=7 | Expires: 600", "callee <- SUBSCRIBE")
    assert written(ladder) == []
    ladder.play("callee -> 200 SUBSCRIBE | Expires: 600", "caller <- 200 SUBSCRIBE")
    assert len(written(ladder)) == 1
    ladder.play(ENDED)
    assert written(ladder) == []


@pytest.mark.parametrize(
    "change",
    [
        {"until": -1.0},
        {"zone": "gone"},
        {"peer": "gone"},
        {"local": Address("203.0.113.77", 5060)},
    ],
    ids=str,
)
def test_what_has_ended_or_does_not_fit_the_configuration_any_more_is_forgotten(
    ladder: Ladder, new_ladder: NewLadder, change: dict[str, object]
) -> None:
    ladder.play(ASKED, NOTIFIED)
    (record,) = written(ladder)
    if "until" in change:
        record = record._replace(until=-1.0)
    elif "local" in change:
        hop = record.b.hop._replace(local=change["local"])  # type: ignore[arg-type]
        record = record._replace(b=record.b._replace(hop=hop))
    else:
        record = record._replace(b=record.b._replace(**change))  # type: ignore[arg-type]
    after = new_ladder(seed=2, subscribed=(record,))
    assert count(after) == 0
    assert ForgetSubscription((record.id,)) in after.edge.commands


def test_no_more_come_back_than_may_be(ladder: Ladder, new_ladder: NewLadder) -> None:
    ladder.play(ASKED, NOTIFIED)
    (record,) = written(ladder)
    many = tuple(replace_id(record, number) for number in range(5))
    assert count(new_ladder(seed=2, subscribed=many, settings=Settings(max_subscriptions=3))) == 3


def replace_id(record: SubscriptionRecord, number: int) -> SubscriptionRecord:
    a, b = (each._replace(call_id=f"{each.call_id}{number}") for each in (record.a, record.b))
    return record._replace(id=str(number), a=a, b=b)


# -- streams -----------------------------------------------------------------------------------------------------------

ACCESS = Settings(access=Access("public", ("example.com",), "pbx", expires_udp=60, key=b"site"))
PHONE = Address("198.51.100.7", 40001)
BEHIND_NAT = "Contact: <sip:1001@192.168.1.5:5060;transport=tcp>"


def register(name: str) -> str:
    return f"""
    {name} -> REGISTER sip:example.com | To: <sip:1001@example.com> | From: <sip:1001@example.com>;tag=phone
           | {BEHIND_NAT}
    callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
    callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
    {name} <- 200 REGISTER
"""


@pytest.fixture
def over_tcp(new_ladder: NewLadder) -> Ladder:
    """A phone behind a NAT that has registered over a stream, and watches."""
    ladder = new_ladder(settings=ACCESS)
    ladder.party("caller", PHONE, "sip:1001@example.com", "TCP", 5)
    ladder.play(register("caller"))
    ladder.parties["callee"].identity = None
    ladder.play(ASKED.replace("600\n", f"600 | From: <sip:1001@example.com>;tag=watcher | {BEHIND_NAT}\n", 1))
    return ladder


def test_a_stream_has_not_survived_but_the_phone_has_once_it_registers_again(
    over_tcp: Ladder, new_ladder: NewLadder
) -> None:
    subscriber, notifier = over_tcp.parties["caller"].identity, over_tcp.parties["callee"].identity
    after = restarted(over_tcp, new_ladder, settings=ACCESS, bindings=bindings(over_tcp))
    after.play(
        "callee -> NOTIFY | Event: dialog;id=7 | Subscription-State: active",
        "callee <- 503 NOTIFY | Retry-After: 10",
    )
    phone = after.party("caller", replace_port(PHONE, 40002), "sip:1001@example.com", "TCP", 1)
    phone.registers = over_tcp.parties["caller"].registers
    after.parties["callee"].identity = None
    after.play(register("caller"))
    phone.identity, after.parties["callee"].identity = subscriber, notifier
    after.play(NOTIFIED)
    assert after.edge.b2bua.table_sizes()["subscriptions"] == 1


def replace_port(address: Address, port: int) -> Address:
    return address._replace(port=port)


def test_a_stream_of_somebody_who_is_not_registered_ends_it(ladder: Ladder, new_ladder: NewLadder) -> None:
    ladder.party("caller", PHONE, "sip:1001@192.0.2.1", "TCP", 5)
    ladder.play(ASKED.replace("600\n", f"600 | {BEHIND_NAT} | Via: SIP/2.0/TCP 192.168.1.5;branch=z9hG4bK1\n", 1))
    assert len(written(ladder)) == 1
    after = restarted(ladder, new_ladder)
    after.play("callee -> NOTIFY | Event: dialog;id=7 | Subscription-State: active", "callee <- 481 NOTIFY")
    assert count(after) == 0
