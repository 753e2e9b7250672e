"""A phone watches somebody by dialog-info (RFC 4235), and picks up what it sees there by an INVITE with Replaces (RFC
3891) made of exactly that document: over sockets, through a real SBC."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from sbc.sip import Address
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.wire_ladder import WireLadder, wire_ladder

pytestmark = [pytest.mark.needs_root]

ABLE = "Allow: INVITE, ACK, BYE, CANCEL, REFER, NOTIFY | Supported: replaces"
WATCHES = """
    watcher -> SUBSCRIBE | Event: dialog | Expires: 600
    pbx <- SUBSCRIBE
    pbx -> 200 SUBSCRIBE | Expires: 600
    watcher <- 200 SUBSCRIBE
"""
TELLS = """
    pbx -> NOTIFY told | Event: dialog | Subscription-State: active
    watcher <- NOTIFY body | Content-Type: application/dialog-info+xml
    watcher -> 200 NOTIFY
    pbx <- 200 NOTIFY
"""
RINGS = f"""
    line -> INVITE sdp | {ABLE}
    line <- 100
    bob <- INVITE sdp
    bob -> 180
    line <- 180 | Call-ID: $inner | From: *;tag=$caller | To: *;tag=$called
"""
ANSWERS = """
    bob -> 200 sdp
    bob <- ACK
    line <- 200 sdp
    line -> ACK
"""
LETS_GO = """
    line -> CANCEL
    line <- 200 CANCEL
    line <- 487
    line -> ACK
    bob <- CANCEL
    bob -> 200 CANCEL
    bob -> 487
    bob <- ACK
"""
SPEAKS = """
    alice <- 200 sdp
    alice -> ACK
"""
ENDS = """
    alice -> BYE
    alice <- 200 BYE
    {joined} <- BYE
    {joined} -> 200 BYE
"""
FAR_END = ("remote-tag", "local-tag"), "who calls is meant, as RFC 3891 has it"
NEAR_END = ("local-tag", "remote-tag"), "who is watched is meant, as some phones have it"


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border() as border:
        yield border


@pytest.fixture
def ladder(border: Border) -> Iterator[WireLadder]:
    """`watcher` and `alice` are one phone, `bob` another, both outside; `line` is the PBX's end of a call to bob."""
    with wire_ladder(border) as ladder:
        bob = Address(PUBLIC.host, 5092)
        ladder.join("watcher", Address(PUBLIC.host, 5090), f"sip:1002@{PUBLIC.edge}")
        ladder.join("alice", Address(PUBLIC.host, 5091), f"sip:1002@{PUBLIC.edge}")
        ladder.join("bob", bob, f"sip:1001@{PUBLIC.edge}")
        ladder.join("pbx", Address(PRIVATE.host, 5060), "sip:nobody@nowhere.example")
        ladder.join("line", Address(PRIVATE.host, 5062), f"sip:1002@{bob.host}:{bob.port}")
        yield ladder


def tell(ladder: WireLadder, call_id: str, local_tag: str, remote_tag: str, state: str) -> dict[str, str]:
    """The PBX tells the watcher of a dialog of bob's; how the watcher hears of it."""
    ladder.bodies["told"] = (
        "application/dialog-info+xml",
        f"""<?xml version="1.0"?>
<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="full" entity="sip:1002@{PRIVATE.host}">
<dialog id="{call_id}" call-id="{call_id}" local-tag="{local_tag}" remote-tag="{remote_tag}" direction="recipient">
<state>{state}</state><local><identity>sip:1002@{PRIVATE.host}</identity></local>
<remote><identity>sip:2001@{PRIVATE.others[0]}</identity></remote></dialog></dialog-info>""".encode(),
    )
    ladder.play(TELLS)
    (dialog,) = ElementTree.fromstring(ladder.parties["watcher"].requests["NOTIFY"].body)
    assert dialog.attrib["call-id"] != call_id
    return dialog.attrib


def replaces(heard: dict[str, str], tags: tuple[str, str], state: str) -> str:
    to_tag, from_tag = (heard[name] for name in tags)
    early = ";early-only" if state == "early" else ""
    return f"Replaces: {heard['call-id']};to-tag={to_tag};from-tag={from_tag}{early} | Require: replaces | {ABLE}"


@pytest.mark.parametrize("end", [FAR_END, NEAR_END], ids=lambda end: end[1])
def test_a_call_through_us_that_rings_is_picked_up(ladder: WireLadder, end: tuple[tuple[str, str], str]) -> None:
    ladder.play(WATCHES, RINGS)
    line = ladder.parties["line"]
    heard = tell(ladder, ladder["inner"], ladder["called"], ladder["caller"], "early")
    told = f"{ladder['inner']};to-tag={ladder['caller']};from-tag={ladder['called']};early-only"
    ringing = line.identity
    ladder.play(
        f"""
        alice -> INVITE sdp | {replaces(heard, end[0], "early")}
        alice <- 100
        line <- INVITE sdp | Replaces: {told} | Require: replaces
        line -> 200 sdp tag=picked | {ABLE}
        line <- ACK
    """,
        SPEAKS,
    )
    joined, line.identity = line.identity, ringing
    ladder.play(LETS_GO)
    line.identity = joined
    ladder.play(ENDS.format(joined="line"))


def test_an_answered_call_through_us_is_taken_over(ladder: WireLadder) -> None:
    ladder.play(WATCHES, RINGS, ANSWERS)
    line = ladder.parties["line"]
    heard = tell(ladder, ladder["inner"], ladder["called"], ladder["caller"], "confirmed")
    told = f"{ladder['inner']};to-tag={ladder['caller']};from-tag={ladder['called']}"
    talking, line.identity = line.identity, None
    ladder.play(
        f"""
        alice -> INVITE sdp | {replaces(heard, FAR_END[0], "confirmed")}
        alice <- 100
        line <- INVITE sdp | Replaces: {told} | Require: replaces
        line -> 200 sdp tag=picked | {ABLE}
        line <- ACK
    """,
        SPEAKS,
    )
    joined, line.identity = line.identity, talking
    ladder.play("line -> BYE", "line <- 200 BYE", "bob <- BYE", "bob -> 200 BYE")
    line.identity = joined
    ladder.play(ENDS.format(joined="line"))


@pytest.mark.parametrize("state", ["early", "confirmed"])
@pytest.mark.parametrize("end", [FAR_END, NEAR_END], ids=lambda end: end[1])
def test_a_call_inside_the_pbx_is_picked_up_that_the_sbc_has_never_seen(
    ladder: WireLadder, state: str, end: tuple[tuple[str, str], str]
) -> None:
    ladder.play(WATCHES)
    real = {"call-id": f"inner-call-{state}@{PRIVATE.others[0]}", "local-tag": "inner-l", "remote-tag": "inner-r"}
    heard = tell(ladder, *real.values(), state)
    assert "inner" not in str(heard)
    pbx, watching = ladder.parties["pbx"], ladder.parties["pbx"].identity
    pbx.identity = None
    ladder.play(
        f"""
        alice -> INVITE sdp | {replaces(heard, end[0], state)}
        alice <- 100
        pbx <- INVITE sdp sip:1002@{PRIVATE.host}* | {replaces(real, end[0], state).split(" | ")[0]} | Require: replaces
        pbx -> 200 sdp tag=picked | {ABLE}
        pbx <- ACK
    """,
        SPEAKS,
        ENDS.format(joined="pbx"),
    )
    pbx.identity = watching


def test_what_was_told_before_kill_9_is_picked_up_after_it(border: Border, ladder: WireLadder) -> None:
    ladder.play(WATCHES)
    real = {"call-id": f"inner-call-old@{PRIVATE.others[0]}", "local-tag": "inner-l", "remote-tag": "inner-r"}
    heard = tell(ladder, *real.values(), "early")
    border.edge.kill_and_start()
    ladder.parties["pbx"].identity = None
    told = replaces(real, FAR_END[0], "early").split(" | ")[0]
    ladder.play(
        f"""
        alice -> INVITE sdp | {replaces(heard, FAR_END[0], "early")}
        alice <- 100
        pbx <- INVITE sdp | {told} | Require: replaces
        pbx -> 486
        pbx <- ACK
        alice <- 486
        alice -> ACK
    """
    )


def test_names_that_were_not_told_pick_up_nothing(ladder: WireLadder) -> None:
    ladder.play(
        f"alice -> INVITE sdp | Replaces: r{'a' * 40};to-tag=r{'b' * 40};from-tag=r{'c' * 40} | Require: replaces",
        "alice <- 100",
        "alice <- 481",
        "alice -> ACK",
    )
