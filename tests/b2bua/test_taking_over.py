"""INVITE with Replaces that is done here: the element whose call it is knows no Replaces."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Interworking, Peer, Refer
from sbc.sip import Address
from tests.support.ladder import ANSWERED, Ladder
from tests.support.world import PBX

CALL = ANSWERED.replace("caller <- 200 sdp", "caller <- 200 sdp | Call-ID: $outer | To: *;tag=$far")
TAKEN = """
    caller <- BYE | Reason: SIP;cause=200;text="Replaced"
    caller -> 200 BYE
    callee <- INVITE sdp | -Replaces | CSeq: 2 INVITE
"""
TALKING = """
    dave -> INFO text
    callee <- INFO text
    callee -> 200 INFO
    dave <- 200 INFO
    callee -> BYE
    callee <- 200 BYE
    dave <- BYE
    dave -> 200 BYE
    0.1 s
"""


@pytest.fixture
def call(ladder: Ladder) -> Ladder:
    return prepared(ladder)


def prepared(ladder: Ladder, text: str = CALL) -> Ladder:
    ladder.party("dave", Address("198.51.100.9", 5090), "sip:1002@192.0.2.1")
    ladder.play(text)
    return ladder


def asked(ladder: Ladder, flag: str = "") -> str:
    """Dave wants to take the caller's place."""
    value = f"{ladder['outer']};to-tag={ladder['far']};from-tag=caller-tag-1{flag}"
    return f"dave -> INVITE sdp | Replaces: {value} | Require: replaces\ndave <- 100\n"


def test_the_leg_goes_over_to_the_new_call(call: Ladder) -> None:
    call.play(
        asked(call),
        TAKEN,
        """
        callee -> 200 sdp
        callee <- ACK
        dave <- 200 sdp
        dave -> ACK
        0.1 s
    """,
    )
    assert (call.record.ended_by, call.record.cause) == ("sbc", "replaced")
    (flow,) = call.edge.flows.values()
    assert {flow.a.remote, flow.b.remote} == {Address("198.51.100.9", 4000), Address("10.0.0.5", 4000)}
    call.play(TALKING)
    record = call.record
    assert record.a is not None
    assert record.b is not None
    assert (record.a.remote, record.b.remote) == ("198.51.100.9:5090/UDP", "10.0.0.5:5060/UDP")
    assert (record.status, record.ended_by) == (200, "callee")
    assert any("taken over here" in line for line in call.trail)


def test_a_repeated_2xx_is_acknowledged_again(call: Ladder) -> None:
    call.play(
        asked(call),
        TAKEN,
        """
        callee -> 200 sdp
        callee <- ACK
        dave <- 200 sdp
        dave -> ACK
        callee -> again
        callee <- ACK
    """,
        TALKING,
    )


@pytest.mark.parametrize("status", [486, 488, 503])
def test_an_element_that_refuses_is_let_go(call: Ladder, status: int) -> None:
    call.play(
        asked(call),
        TAKEN,
        f"""
        callee -> {status}
        callee <- ACK
        callee <- BYE
        callee -> 200 BYE
        dave <- {status}
        dave -> ACK
    """,
    )


def test_who_wants_it_gives_up(call: Ladder) -> None:
    call.play(
        asked(call),
        TAKEN,
        """
        callee -> 100
        dave -> CANCEL
        dave <- 200 CANCEL
        callee <- BYE
        callee <- CANCEL
        dave <- 487
        dave -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        callee -> 200 BYE
    """,
    )


def test_the_element_hangs_up_meanwhile(call: Ladder) -> None:
    call.play(
        asked(call),
        TAKEN,
        """
        callee -> 100
        callee -> BYE
        callee <- 200 BYE
        dave <- 480
        dave -> ACK
        callee <- CANCEL
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """,
    )


def test_it_waits_for_what_is_under_way(call: Ladder) -> None:
    call.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 100
    """,
        asked(call),
        """
        1 s
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        0.2 s
        caller <- BYE
        caller -> 200 BYE
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        dave <- 200 sdp
        dave -> ACK
    """,
        TALKING,
    )


def test_a_call_that_ends_meanwhile_is_declined(call: Ladder) -> None:
    call.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 100
    """,
        asked(call),
        """
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE
        callee <- CANCEL
        caller <- 487
        caller -> ACK
        callee -> 200 BYE
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        0.3 s
        dave <- 603
        dave -> ACK
    """,
    )


@pytest.mark.parametrize("body", ["", "rubbish"])
def test_what_cannot_be_offered_touches_nothing(call: Ladder, body: str) -> None:
    call.play(
        asked(call).replace("INVITE sdp", f"INVITE {body}"),
        f"dave <- {400 if body else 488}",
        "dave -> ACK",
        "caller -> INFO",
        "callee <- INFO",
        "callee -> 200 INFO",
        "caller <- 200 INFO",
    )


@pytest.mark.parametrize(
    ("how", "supports", "here"),
    [(Refer.AUTO, True, False), (Refer.AUTO, False, True), (Refer.PASS, False, False), (Refer.END, True, True)],
)
def test_where_it_is_done(new_ladder: Callable[..., Ladder], how: Refer, supports: bool, here: bool) -> None:
    pbx = Peer("pbx", "private", PBX.host, None, how=Interworking(refer=how))
    text = CALL.replace("callee -> 200 sdp", "callee -> 200 sdp | Supported: replaces") if supports else CALL
    call = prepared(new_ladder(peers=(pbx,)), text)
    call.play(asked(call), TAKEN if here else "callee <- INVITE sdp | Replaces: * | Require: replaces")
