"""Transfers through a real twistd: blind ones by SIPp, attended ones and calls taken over as ladders on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from sbc.sip import Address
from tests.support.border import PBX, ZONES, Border, calls_to, peer
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.ladder import SIPFRAGS
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller
from tests.support.wire_ladder import WireLadder, wire_ladder

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp")]

CONFIG = f"""
[calls]
no_answer = 5
{ZONES}
{PBX}
{peer("desk", PRIVATE.others[0])}
{peer("shut", f"{PRIVATE.others[1]}:5999")}
{calls_to("1001", "pbx")}
{calls_to("1002", "desk")}
{calls_to("1003", "shut")}
"""


# -- blind, by SIPp ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "refer_to", "expected"),
    [
        (INWARDS, f"sip:1002@{PUBLIC.edge}", f"sip:1002@{PRIVATE.others[0]}"),
        (OUTWARDS, f"sip:1002@{PRIVATE.others[0]}", f"sip:1002@{PUBLIC.edge}"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_refer_and_its_notifies_pass(border: Border, route: Route, refer_to: str, expected: str) -> None:
    answering = callee(border, route, "callee_is_transferred", {"expected": expected})
    calling = caller(border, route, "caller_transfers", {"refer_to": refer_to, "final": 200})
    calling.wait()
    answering.wait()
    record = border.record(calling)
    assert (record["status"], record["ended_by"]) == (200, "caller")
    assert "REFER passed on" in border.edge.sbc("explain", record["id"])


@pytest.mark.parametrize(
    ("route", "refer_to", "wanted"),
    [
        (INWARDS, f"sip:1002@{PUBLIC.edge}", PRIVATE.others[0]),
        (OUTWARDS, f"sip:other@{PUBLIC.others[0]}", PUBLIC.others[0]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_transfer_is_done_here(border: Border, route: Route, refer_to: str, wanted: str) -> None:
    answering = callee(border, route, "callee", {"delay": 100})
    other = callee(border, route, "callee_hangs_up", address=wanted)
    calling = caller(border, route, "caller_transfers", {"refer_to": refer_to, "final": 200})
    for each in (calling, other, answering):
        each.wait()
    record = border.record(calling)
    assert (record["status"], record["ended_by"], record["cause"]) == (200, "caller", "transfer")
    explained = border.edge.sbc("explain", record["id"])
    assert "transfer done here" in explained
    joined = border.record_where(lambda each: each["b"]["remote"].startswith(wanted))
    assert joined["a"]["remote"].startswith(route.callee_address)
    assert (joined["ended_by"], joined["cause"]) == ("callee", "BYE")


def test_a_transfer_to_somebody_who_is_busy_changes_nothing(border: Border) -> None:
    answering = callee(border, INWARDS, "callee", {"delay": 100})
    busy = callee(border, INWARDS, "callee_refuses", {"status": "486 Busy Here"}, address=PRIVATE.others[0])
    calling = caller(border, INWARDS, "caller_transfers_in_vain", {"refer_to": f"sip:1002@{PUBLIC.edge}", "final": 486})
    for each in (calling, busy, answering):
        each.wait()
    record = border.record(calling)
    assert (record["status"], record["ended_by"], record["cause"]) == (200, "caller", "BYE")


# -- attended, on the wire ---------------------------------------------------------------------------------------------

ALICE, BOB, CAROL = Address(PUBLIC.host, 5060), Address(PRIVATE.host, 5060), Address(PRIVATE.others[0], 5060)
ALICE2 = Address(PUBLIC.others[0], 5060)
CALL = """
    alice -> INVITE sdp
    alice <- 100
    bob <- INVITE sdp
    bob -> 200 sdp
    bob <- ACK
    alice <- 200 sdp | Call-ID: $outer | To: *;tag=$far
    alice -> ACK
"""
CONSULTATION = (
    CALL.replace("alice", "again").replace("bob", "carol").replace("$outer", "$outer2").replace("$far", "$f2")
)
TALKING = """
    bob -> INFO text
    carol <- INFO text
    carol -> 200 INFO
    bob <- 200 INFO
    carol -> BYE
    carol <- 200 BYE
    bob <- BYE
    bob -> 200 BYE
"""


@pytest.fixture
def ladder(border: Border) -> Iterator[WireLadder]:
    """Alice, outside, who can be in two calls (`alice` and `again`), with Bob and Carol inside."""
    with wire_ladder(border) as ladder:
        ladder.join("alice", ALICE, f"sip:1001@{PUBLIC.edge}")
        ladder.join("again", ALICE2, f"sip:1002@{PUBLIC.edge}")
        ladder.join("bob", BOB, f"sip:x@{PUBLIC.host}")
        ladder.join("carol", CAROL, f"sip:x@{PUBLIC.host}")
        ladder.bodies |= SIPFRAGS
        yield ladder


def test_two_calls_are_joined_here(border: Border, ladder: WireLadder) -> None:
    ladder.play(CALL, CONSULTATION)
    value = quote(f"{ladder['outer2']};to-tag={ladder['f2']};from-tag={own_tag(ladder, 'again')}")
    ladder.play(
        f"""
        alice -> REFER | Refer-To: <sip:1002@{PUBLIC.edge}?Replaces={value}>
        alice <- 202 REFER
        alice <- NOTIFY frag100 | Subscription-State: active*
        alice -> 200 NOTIFY
        alice <- NOTIFY frag200 | Subscription-State: terminated*
        alice -> 200 NOTIFY
        again <- BYE | Reason: *Transferred*
        again -> 200 BYE
        alice -> BYE
        alice <- 200 BYE
    """,
        TALKING,
    )
    record = border.record_where(lambda each: each["a"]["call_id"] == ladder["outer"])
    assert (record["ended_by"], record["cause"]) == ("caller", "transfer")


def own_tag(ladder: WireLadder, name: str) -> str:
    identity = ladder.parties[name].identity
    assert identity is not None
    return identity[1].rpartition("tag=")[2]


def test_two_calls_are_joined_by_the_elements(ladder: WireLadder) -> None:
    """Bob does what he is told; Carol, who is called, ends the call that is replaced."""
    able = "Allow: INVITE, ACK, BYE, CANCEL, REFER, NOTIFY | Supported: replaces"
    ladder.play(*(text.replace("200 sdp", f"200 sdp | {able}", 1) for text in (CALL, CONSULTATION)))
    value = quote(f"{ladder['outer2']};to-tag={ladder['f2']};from-tag={own_tag(ladder, 'again')}")
    ladder.play(
        f"""
        alice -> REFER | Refer-To: <sip:1002@{PUBLIC.edge}?Replaces={value}>
        bob <- REFER | Refer-To: <sip:carol@{CAROL.host}:5060?Replaces=*&Require=replaces>
        bob -> 202 REFER
        alice <- 202 REFER
        carol -> BYE
        carol <- 200 BYE
        again <- BYE
        again -> 200 BYE
        alice -> BYE
        alice <- 200 BYE
        bob <- BYE
        bob -> 200 BYE
    """
    )


def test_a_call_is_taken_over_here(ladder: WireLadder) -> None:
    """Bob's phone knows no Replaces."""
    ladder.play(CALL)
    value = f"{ladder['outer']};to-tag={ladder['far']};from-tag={own_tag(ladder, 'alice')}"
    ladder.play(
        f"""
        again -> INVITE sdp | Replaces: {value} | Require: replaces
        again <- 100
        alice <- BYE | Reason: *Replaced*
        alice -> 200 BYE
        bob <- INVITE sdp
        bob -> 200 sdp
        bob <- ACK
        again <- 200 sdp
        again -> ACK
        again -> BYE
        again <- 200 BYE
        bob <- BYE
        bob -> 200 BYE
    """
    )
