"""Who is talked to changes during a call, and the other side learns it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Peer
from sbc.policy import RouteRule
from sbc.sip import Address
from tests.support.ladder import HUNG_UP, Ladder
from tests.support.world import CALLER, PBX, PBX2

KNOWS_UPDATE = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"


def answered(caller: str = "from-change", callee: str = "from-change") -> str:
    return f"""
    caller -> INVITE sdp | {KNOWS_UPDATE} | Supported: {caller}
    caller <- 100
    callee <- INVITE sdp
    callee -> 200 sdp | {KNOWS_UPDATE} | Supported: {callee}
    callee <- ACK
    caller <- 200 sdp
    caller -> ACK
"""


NEW_NAME = 'From: "Carol" <sip:carol@10.0.0.9>;tag=callee-own-tag'
SEEN_OUTSIDE = 'From: "Carol" <sip:carol@192.0.2.1>;tag=*'
STRANGER = 'From: "Eve" <sip:eve@198.51.100.7>;tag=$tag'


def test_both_sides_are_told_that_the_other_one_can() -> None:
    ladder = Ladder()
    ladder.play(
        """
        caller -> INVITE sdp | Supported: from-change, histinfo, x-own
        caller <- 100
        callee <- INVITE sdp | Supported: *from-change, histinfo
        callee -> 180 | Supported: from-change
        caller <- 180 | Supported: from-change
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """
    )
    assert ladder.end() == []


@pytest.mark.parametrize("method", ["UPDATE", "UPDATE sdp"])
def test_a_changed_from_in_an_update_crosses(ladder: Ladder, method: str) -> None:
    """RFC 4916 section 4.4."""
    ladder.play(
        answered(),
        f"""
        callee -> {method} | {NEW_NAME}
        caller <- {method} | {SEEN_OUTSIDE}
        caller -> 200 {method}
        callee <- 200 {method}
        callee -> INFO | {NEW_NAME}
        caller <- INFO | {SEEN_OUTSIDE}
        caller -> 200 INFO
        callee <- 200 INFO
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE | To: "Carol" <sip:carol@10.0.0.9>;tag=*
        callee -> 200 BYE
        0.1 s
    """,
    )
    assert any("leg b is sip:carol@10.0.0.9 now" in line for line in ladder.trail)


def test_a_changed_from_in_a_re_invite_crosses(ladder: Ladder) -> None:
    ladder.play(
        answered(),
        f"""
        callee -> INVITE sdp | {NEW_NAME}
        callee <- 100
        caller <- INVITE sdp | {SEEN_OUTSIDE}
        caller -> 200 sdp
        caller <- ACK | {SEEN_OUTSIDE}
        callee <- 200 sdp
        callee -> ACK
    """,
        HUNG_UP,
    )


@pytest.mark.parametrize(("caller", "callee"), [("timer", "from-change"), ("from-change", "timer")])
def test_unless_both_sides_say_so_nothing_changes(ladder: Ladder, caller: str, callee: str) -> None:
    ladder.play(
        answered(caller, callee),
        f"""
        callee -> UPDATE | {NEW_NAME}
        callee <- 200 UPDATE
        callee -> INFO | {NEW_NAME}
        caller <- INFO | From: <sip:1001@192.0.2.1>;tag=*
        caller -> 200 INFO
        callee <- 200 INFO
    """,
        HUNG_UP,
    )


def test_once_said_it_holds_for_the_whole_dialog(ladder: Ladder) -> None:
    ladder.play(
        answered(),
        f"""
        callee -> UPDATE | Supported: timer
        callee <- 200 UPDATE
        callee -> UPDATE | {NEW_NAME}
        caller <- UPDATE | {SEEN_OUTSIDE}
        caller -> 200 UPDATE
        callee <- 200 UPDATE
    """,
        HUNG_UP,
    )


def test_an_update_that_says_nothing_new_is_answered_here(ladder: Ladder) -> None:
    ladder.play(answered(), "callee -> UPDATE", "callee <- 200 UPDATE", HUNG_UP)


def test_an_identity_that_is_asserted_in_an_update_crosses(ladder: Ladder) -> None:
    ladder.play(
        answered("timer", "timer"),
        """
        callee -> UPDATE | P-Asserted-Identity: "Carol" <sip:carol@10.0.0.9>
        caller <- UPDATE | P-Asserted-Identity: "Carol" <sip:carol@192.0.2.1>
        caller -> 200 UPDATE | P-Asserted-Identity: <sip:eve@x.example>
        callee <- 200 UPDATE | -P-Asserted-Identity
    """,
        HUNG_UP,
    )


def test_who_is_not_trusted_asserts_nothing(ladder: Ladder) -> None:
    ladder.play(
        answered("timer", "timer"),
        """
        caller -> UPDATE | P-Asserted-Identity: <sip:eve@x.example>
        caller <- 200 UPDATE
    """,
        HUNG_UP,
    )


def test_who_is_to_be_trusted_is_a_setting(new_ladder: Callable[..., Ladder]) -> None:
    trunk = Peer("trunk", "public", CALLER.host, CALLER.port)
    ladder = new_ladder(peers=(Peer("pbx", "private", PBX.host, trusted=False), trunk))
    ladder.play(
        """
        caller -> INVITE sdp | P-Asserted-Identity: <sip:a@x.example>
        caller <- 100
        callee <- INVITE sdp | P-Asserted-Identity: <sip:a@x.example>
        callee -> 180 | P-Asserted-Identity: <sip:carol@10.0.0.9>
        caller <- 180 | -P-Asserted-Identity
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """
    )


@pytest.mark.parametrize("status", [405, 501])
def test_an_element_that_allows_no_update_after_all_stays_ignorant(ladder: Ladder, status: int) -> None:
    ladder.play(
        answered(),
        f"""
        callee -> UPDATE | {NEW_NAME}
        caller <- UPDATE | {SEEN_OUTSIDE}
        caller -> {status} UPDATE
        callee <- 200 UPDATE
        callee -> UPDATE | {NEW_NAME.replace("arol", "laire")}
        callee <- 200 UPDATE
    """,
        HUNG_UP,
    )


def test_an_sdp_that_nobody_asked_for_changes_nothing(ladder: Ladder) -> None:
    ladder.play(answered())
    before = dict(ladder.edge.flows)
    ladder.play(
        f"""
        callee -> UPDATE | {NEW_NAME}
        caller <- UPDATE
        caller -> 200 UPDATE sdp
        callee <- 200 UPDATE
    """
    )
    assert ladder.edge.flows == before


# -- privacy in calls --------------------------------------------------------------------------------------------------

OUTWARDS = f"sip:2002@{CALLER.host}:{CALLER.port}"


def test_a_caller_is_anonymous_to_strangers_if_it_wishes(ladder: Ladder) -> None:
    """RFC 3323 section 5.3."""
    ladder.play(
        f"""
        callee -> INVITE {OUTWARDS} sdp | Privacy: user;id | Proxy-Require: privacy | P-Asserted-Identity: <sip:a@b>
        callee <- 100
        caller <- INVITE sdp | From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=*
               | Privacy: id | -P-Asserted-Identity
        caller -> 200 sdp
        caller <- ACK | From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=*
        callee <- 200 sdp
        callee -> ACK
    """
    )


def test_a_wish_that_nobody_can_fulfil_ends_the_call_if_it_is_critical(ladder: Ladder) -> None:
    """RFC 3323 section 5."""
    ladder.play(
        f"""
        callee -> INVITE {OUTWARDS} sdp | Privacy: teleport;critical
        callee <- 100
        callee <- 500
        callee -> ACK
        0.1 s
        callee -> INVITE {OUTWARDS} sdp | Privacy: teleport
        callee <- 100
        caller <- INVITE sdp | Privacy: teleport
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
    """
    )
    assert any("teleport is critical" in line for line in ladder.trail)


def test_a_private_session_tells_no_name_of_the_caller(new_ladder: Callable[..., Ladder]) -> None:
    """RFC 3323 section 5.2."""
    ladder = new_ladder(hidden=False)
    for wish, told in (("", True), (" | Privacy: session", False)):
        ladder.play(
            f"""
            callee -> INVITE {OUTWARDS} sdp{wish}
            callee <- 100
            caller <- INVITE sdp
            caller -> 486
            caller <- ACK
            callee <- 486
            callee -> ACK
            0.1 s
        """
        )
        assert (b"s=secret session" in ladder.parties["caller"].requests["INVITE"].body) is told


# -- why a call ends ---------------------------------------------------------------------------------------------------

Q850 = 'Q.850;cause=17;text="User busy"'


def test_the_reason_of_a_refusal_crosses(ladder: Ladder) -> None:
    """RFC 3326, RFC 6432."""
    ladder.play(
        f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 486 | Reason: {Q850}, X;text="on 10.0.0.9"
        callee <- ACK
        caller <- 486 | Reason: {Q850}, X
        caller -> ACK
    """
    )


def test_the_reason_of_a_bye_crosses(ladder: Ladder) -> None:
    ladder.play(
        answered(),
        f"""
        callee -> BYE | Reason: {Q850}
        callee <- 200 BYE
        caller <- BYE | Reason: {Q850}
        caller -> 200 BYE
    """,
    )


def test_the_reason_of_a_cancel_crosses(ladder: Ladder) -> None:
    ladder.play(
        f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        caller -> CANCEL | Reason: {Q850}
        caller <- 200 CANCEL
        caller <- 487
        caller -> ACK
        callee <- CANCEL | Reason: {Q850}
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """
    )


# -- after a transfer that is done here --------------------------------------------------------------------------------

KNOWS = "Supported: from-change | Allow: INVITE, ACK, BYE, CANCEL, UPDATE"
REFERRED = """
    {0} -> REFER | Refer-To: <sip:{1}> | Refer-Sub: false | Require: norefersub
    {0} <- 200 REFER
"""


@pytest.fixture
def transfer(new_ladder: Callable[..., Ladder]) -> Ladder:
    ladder = new_ladder()
    ladder.party("dave", Address("198.51.100.9", 5090), "sip:1002@192.0.2.1")
    return ladder


def test_who_is_transferred_hears_to_whom_where_it_knows_that_from_can_change(transfer: Ladder) -> None:
    transfer.play(
        f"""
        caller -> INVITE sdp | {KNOWS}
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        {REFERRED.format("callee", "2002@198.51.100.9:5090")}
        dave <- INVITE sdp
        dave -> 200 sdp | {KNOWS}
        dave <- ACK
        caller <- UPDATE | From: <sip:2002@198.51.100.9:5090>;tag=* | -P-Asserted-Identity | -Content-Type
        caller -> 200 UPDATE
        callee -> BYE
        callee <- 200 BYE
        dave -> BYE
        dave <- 200 BYE
        caller <- BYE | From: <sip:2002@198.51.100.9:5090>;tag=*
        caller -> 200 BYE
        0.1 s
    """
    )


@pytest.mark.parametrize("status", [405, 500])
def test_it_does_not_matter_whether_it_listens(transfer: Ladder, status: int) -> None:
    transfer.play(
        f"""
        caller -> INVITE sdp | {KNOWS}
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        {REFERRED.format("callee", "2002@198.51.100.9:5090")}
        dave <- INVITE sdp
        dave -> 200 sdp
        dave <- ACK
        caller <- UPDATE
        caller -> {status} UPDATE
        callee -> BYE
        callee <- 200 BYE
        dave -> BYE
        dave <- 200 BYE
        caller <- BYE
        caller -> 200 BYE
        0.1 s
    """
    )


def test_in_the_trust_domain_an_identity_is_asserted(new_ladder: Callable[..., Ladder]) -> None:
    """One who allows no UPDATE hears nothing."""
    ladder = new_ladder(
        peers=(Peer("pbx", "private", PBX.host), Peer("pbx2", "private", PBX2.host)),
        routes=(RouteRule("two", numbers=("1002",), to=("pbx2",)), RouteRule("one", to=("pbx",))),
    )
    ladder.play(
        f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp | Allow: INVITE, ACK, BYE, CANCEL, UPDATE
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        {REFERRED.format("caller", "1002@192.0.2.1")}
        other <- INVITE sdp sip:1002@10.0.0.6 | From: <sip:1001@10.0.0.1>;tag=*
        other -> 200 sdp
        other <- ACK
        callee <- UPDATE | P-Asserted-Identity: <sip:1002@10.0.0.1> | From: "Caller" <*>;tag=*
        callee -> 200 UPDATE
        caller -> BYE
        caller <- 200 BYE
        callee -> BYE
        callee <- 200 BYE
        other <- BYE
        other -> 200 BYE
        0.1 s
    """
    )
