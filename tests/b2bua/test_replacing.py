"""Replaces: an INVITE that takes a call over, and Replaces in a Refer-To."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from sbc.b2bua import Peer
from sbc.b2bua.replacing import Replaces, in_refer_to, parse_replaces
from sbc.sip import Address, SipError, parse_uri
from tests.support.ladder import Ladder
from tests.support.world import PBX

ABLE = "Allow: INVITE, ACK, BYE, CANCEL, REFER, NOTIFY | Supported: replaces"
CALL = f"""
    caller -> INVITE sdp | {ABLE}
    caller <- 100
    callee <- INVITE sdp | Call-ID: $inner | From: *;tag=$near
    callee -> 200 sdp | {ABLE}
    callee <- ACK
    caller <- 200 sdp | Call-ID: $outer | To: *;tag=$far
    caller -> ACK
"""
"""What names it: outer, caller-tag-1, far on the public side; inner, near, callee-own-tag on the private side."""
CONSULTATION = f"""
    second -> INVITE sdp | {ABLE}
    second <- 100
    dave <- INVITE sdp | Call-ID: $inner2 | From: *;tag=$near2
    dave -> 200 sdp | {ABLE}
    dave <- ACK
    second <- 200 sdp | Call-ID: $outer2 | To: *;tag=$far2
    second -> ACK
"""


@pytest.fixture
def three(ladder: Ladder) -> Ladder:
    """Beside the caller and the PBX there is `dave` on the public side, and `second`: the PBX's end that calls him."""
    ladder.party("dave", Address("198.51.100.9", 5090), "sip:1002@192.0.2.1")
    ladder.party("second", Address("10.0.0.5", 5062), "sip:2002@198.51.100.9:5090")
    return ladder


# -- values ------------------------------------------------------------------------------------------------------------


def test_a_value_is_read_and_written() -> None:
    value = parse_replaces("a84b@10.0.0.1 ; To-Tag = 1 ;from-tag=2;early-only;x=y")
    assert value == Replaces("a84b@10.0.0.1", "1", "2", True)
    assert str(value) == "a84b@10.0.0.1;to-tag=1;from-tag=2;early-only"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a;to-tag=1",
        "a;from-tag=1",
        "a;to-tag=1;from-tag=",
        "a;to-tag=1;to-tag=2;from-tag=3",
        "a b;to-tag=1;from-tag=2",
        "a,b;to-tag=1;from-tag=2",
        "a\r\nX: y;to-tag=1;from-tag=2",
        "ü;to-tag=1;from-tag=2",
        "a;to-tag=1\r\n2;from-tag=2",
        f"{'a' * 256};to-tag=1;from-tag=2",
    ],
)
def test_what_names_no_dialog_is_refused(text: str) -> None:
    with pytest.raises(SipError):
        parse_replaces(text)


# -- INVITE with Replaces ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["", ";early-only"])
def test_an_answered_call_is_not_for_who_wants_it_only_while_it_rings(three: Ladder, flag: str) -> None:
    three.play(CALL)
    three.play(
        f"""
        dave -> INVITE sdp | Replaces: {three["outer"]};to-tag={three["far"]};from-tag=caller-tag-1{flag}
        dave <- 100
    """,
        "dave <- 486\ndave -> ACK" if flag else "callee <- INVITE sdp | Replaces: *",
    )


@pytest.mark.parametrize("end", ["ours", "theirs"])
def test_it_goes_to_the_element_that_is_to_be_joined(three: Ladder, end: str) -> None:
    """Dave takes the place of the caller: towards the SBC's end of the caller's dialog, the PBX is meant; with the tags
    the other way round the caller itself is."""
    three.play(CALL)
    outer, far = three["outer"], three["far"]
    if end == "ours":
        tags, joined, uri = f"to-tag={far};from-tag=caller-tag-1", "callee", "sip:callee@10.0.0.5:5060"
        expected = f"{three['inner']};to-tag=callee-own-tag;from-tag={three['near']}"
    else:
        tags, joined, uri = f"to-tag=caller-tag-1;from-tag={far}", "caller", "sip:caller@198.51.100.7:5070"
        expected = f"{outer};to-tag=caller-tag-1;from-tag={far}"
    three.play(
        f"""
        dave -> INVITE sdp | Replaces: {outer};{tags}
        dave <- 100
        {joined} <- INVITE sdp {uri} | Replaces: {expected} | Require: replaces
        {joined} -> 200 sdp tag=joined
        {joined} <- ACK
        dave <- 200 sdp
        dave -> ACK
    """
    )
    assert any("takes the place" in line for line in three.trail)


def test_the_element_ends_the_replaced_call_itself(three: Ladder) -> None:
    three.play(CALL)
    identity = three.parties["callee"].identity
    three.play(
        f"""
        dave -> INVITE sdp | Replaces: {three["outer"]};to-tag={three["far"]};from-tag=caller-tag-1
        dave <- 100
        callee <- INVITE sdp
        callee -> 200 sdp tag=joined
        callee <- ACK
        dave <- 200 sdp
        dave -> ACK
    """
    )
    three.parties["callee"].identity = identity
    three.play(
        """
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE
        caller -> 200 BYE
        0.1 s
    """
    )
    assert three.record.ended_by == "callee"
    assert three.edge.b2bua.calls == 1


def test_a_call_that_rings_is_taken_over_from_the_side_of_its_caller(three: Ladder) -> None:
    """RFC 3891 section 7.1: the dialog is early, and the caller is its UAC."""
    three.play(
        f"""
        caller -> INVITE sdp | {ABLE}
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180 | Call-ID: $outer | To: *;tag=$far
    """
    )
    value = f"{three['outer']};to-tag=caller-tag-1;from-tag={three['far']};early-only"
    three.play(f"dave -> INVITE sdp | Replaces: {value}", "dave <- 100", f"caller <- INVITE sdp | Replaces: {value}")


@pytest.mark.parametrize("able", [ABLE, "Allow: INVITE, ACK, BYE, CANCEL"], ids=["able", "says nothing of it"])
def test_of_a_call_that_rings_its_caller_is_meant_whichever_end_is_named(three: Ladder, able: str) -> None:
    """Section 3: an early dialog is replaced by who began it only; nor can it be taken over here."""
    three.play(
        f"""
        caller -> INVITE sdp | {able}
        caller <- 100
        callee <- INVITE sdp | Call-ID: $inner | From: *;tag=$near
        callee -> 180
        caller <- 180 | Call-ID: $outer | To: *;tag=$far
    """
    )
    three.play(
        f"second -> INVITE sdp | Replaces: {three['inner']};to-tag=callee-own-tag;from-tag={three['near']};early-only",
        "second <- 100",
        f"caller <- INVITE sdp | Replaces: {three['outer']};to-tag=caller-tag-1;from-tag={three['far']};early-only",
    )


INSIDE = "inside@10.0.0.9;to-tag=inside-1;from-tag=inside-2;early-only"


def told_of_inside(three: Ladder) -> str:
    """Replaces for a call in the PBX, as a phone outside makes it of what it is told of that call."""
    three.bodies["told"] = (
        "application/dialog-info+xml",
        b'<dialog-info><dialog id="1" call-id="inside@10.0.0.9" local-tag="inside-1" remote-tag="inside-2"/>'
        b"</dialog-info>",
    )
    three.play(
        """
        callee -> NOTIFY told sip:phone@198.51.100.7:5070 | Event: dialog | Subscription-State: active
        caller <- NOTIFY body
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY
    """
    )
    (dialog,) = ElementTree.fromstring(three.parties["caller"].requests["NOTIFY"].body)
    three.parties["callee"].identity = None
    heard = dialog.attrib
    return f"{heard['call-id']};to-tag={heard['local-tag']};from-tag={heard['remote-tag']};early-only"


def test_a_call_that_does_not_lead_through_us_is_picked_up_by_what_was_told_of_it(three: Ladder) -> None:
    value = told_of_inside(three)
    assert "inside" not in value
    three.play(
        f"dave -> INVITE sdp | Replaces: {value}",
        "dave <- 100",
        f"callee <- INVITE sdp | Replaces: {INSIDE} | Require: replaces",
    )
    assert any("takes the place of a call there" in line for line in three.trail)


def test_its_names_are_told_in_its_own_zone_only(three: Ladder) -> None:
    """Or somebody outside could have them read by calling somebody else there."""
    value = told_of_inside(three)
    three.play(f"second -> INVITE sdp | Replaces: {value}", "second <- 100", "second <- 481", "second -> ACK")
    assert any("leads elsewhere" in line for line in three.trail)


def test_nor_does_a_redirection_take_them_elsewhere(new_ladder: Callable[..., Ladder]) -> None:
    trunk = Peer("trunk", "public", "198.51.100.66", None)
    ladder = new_ladder(peers=(Peer("pbx", "private", PBX.host, None), trunk))
    ladder.party("dave", Address("198.51.100.9", 5090), "sip:1002@192.0.2.1")
    ladder.party("trunk", Address(trunk.host, 5060), "sip:1002@192.0.2.1")
    value = told_of_inside(ladder)
    ladder.play(
        f"dave -> INVITE sdp | Replaces: {value}",
        "dave <- 100",
        f"callee <- INVITE sdp | Replaces: {INSIDE}",
        f"callee -> 302 | Contact: <sip:1002@{trunk.host}>",
        "callee <- ACK",
        "dave <- 480",
        "dave -> ACK",
    )
    assert any("leads nowhere new" in line for line in ladder.trail)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_all_names_have_to_be_those_that_were_told(three: Ladder, part: int) -> None:
    names = told_of_inside(three).split(";")
    names[part] = names[part][:-1] + ("a" if names[part][-1] != "a" else "e")
    three.play(f"dave -> INVITE sdp | Replaces: {';'.join(names)}", "dave <- 100", "dave <- 481", "dave -> ACK")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("Replaces: unknown@nowhere;to-tag=1;from-tag=2", 481),
        ("Replaces: $outer;to-tag=$far;from-tag=wrong", 481),
        ("Replaces: $outer;to-tag=wrong;from-tag=caller-tag-1", 481),
        ("Replaces: $outer;to-tag=$far", 400),
        ("Replaces: $outer;to-tag=$far;from-tag=caller-tag-1 | Join: x;to-tag=1;from-tag=2", 400),
    ],
)
def test_what_names_no_call_is_refused(three: Ladder, change: str, status: int) -> None:
    three.play(CALL)
    value = change.replace("$outer", three["outer"]).replace("$far", three["far"])
    three.play(f"dave -> INVITE sdp | {value}", "dave <- 100", f"dave <- {status}", "dave -> ACK")


def test_it_is_said_once(three: Ladder) -> None:
    three.play("dave -> INVITE sdp | Replaces: x;to-tag=1;from-tag=2 | +Replaces: x;to-tag=1;from-tag=2", "dave <- 400")


def test_a_call_that_is_over_is_declined(three: Ladder) -> None:
    three.play(CALL, "caller -> BYE", "caller <- 200 BYE", "callee <- BYE")
    three.play(
        f"""
        dave -> INVITE sdp | Replaces: {three["outer"]};to-tag={three["far"]};from-tag=caller-tag-1
        dave <- 100
        dave <- 603
        dave -> ACK
        callee -> 200 BYE
    """
    )


# -- in a Refer-To -----------------------------------------------------------------------------------------------------


def held_by(ladder: Ladder, name: str, flag: str = "") -> str:
    """The Replaces, escaped, by which a party names its call to the element at the other end of it."""
    identity = ladder.parties[name].identity
    assert identity is not None
    call_id, ours, theirs = identity
    return quote(f"{call_id};to-tag={theirs.rpartition('tag=')[2]};from-tag={ours.rpartition('tag=')[2]}{flag}")


def referred(ladder: Ladder, asks: str, asked: str, value: str) -> tuple[str, Replaces]:
    """`asks` refers `asked` to this Refer-To: where that leads `asked`, without headers, and its Replaces."""
    ladder.bound.pop("to", None)
    ladder.play(
        f"""
        {asks} -> REFER | Refer-To: <{value}>
        {asked} <- REFER | Refer-To: <$to>
        {asked} -> 202 REFER
        {asks} <- 202 REFER
    """
    )
    uri = parse_uri(ladder["to"])
    replaces = in_refer_to(uri)
    assert replaces is not None
    assert uri.headers.endswith("&Require=replaces")
    return str(uri.replace(headers="")), replaces


def test_two_elements_of_one_network_are_joined_without_us(three: Ladder) -> None:
    """The PBX has called dave and joins him with its caller."""
    three.play(CALL, CONSULTATION)
    place, replaces = referred(three, "callee", "caller", f"sip:2002@10.0.0.1?Replaces={held_by(three, 'second')}&X=y")
    assert place == "sip:dave@198.51.100.9:5090"
    assert replaces == Replaces(three["inner2"], "dave-own-tag", three["near2"])


def test_so_are_two_of_a_hidden_zone(three: Ladder) -> None:
    """A phone outside, which is in two calls with the PBX, joins its ends."""
    three.play(CALL, CONSULTATION)
    value = held_by(three, "dave", ";early-only")
    place, replaces = referred(three, "caller", "callee", f"sip:1002@192.0.2.1?replaces={value}")
    assert place == "sip:second@10.0.0.5:5062"
    assert replaces == Replaces(three["outer2"], "second-tag-3", three["far2"], True)


def test_an_element_behind_a_nat_is_joined_through_us(three: Ladder) -> None:
    three.play(
        CALL,
        CONSULTATION.replace(
            f"200 sdp | {ABLE}", "200 sdp | Supported: replaces | Contact: <sip:dave@192.168.1.2:5060>"
        ),
    )
    place, replaces = referred(three, "callee", "caller", f"sip:2002@10.0.0.1?Replaces={held_by(three, 'second')}")
    assert place == "sip:2002@192.0.2.1"
    assert replaces.call_id == replaces.to_tag == replaces.from_tag
    three.parties["caller"].identity = None
    three.play(
        f"""
        caller -> INVITE sdp {place} | Replaces: {replaces} | Require: replaces
        caller <- 100
        dave <- INVITE sdp sip:dave@192.168.1.2:5060
            | Replaces: {three["inner2"]};to-tag=dave-own-tag;from-tag={three["near2"]} | Require: replaces
        dave -> 200 sdp tag=again
        dave <- ACK
        caller <- 200 sdp
        caller -> ACK
    """
    )


@pytest.mark.parametrize(
    ("asks", "asked", "said", "told", "arrives"),
    [
        ("callee", "caller", "sip:1002@10.0.0.77:5070", "sip:1002@192.0.2.1", "callee"),
        ("caller", "callee", "sip:dave@198.51.100.9:5090", "sip:dave@10.0.0.1", "dave"),
    ],
)
def test_a_call_that_we_know_nothing_of_is_taken_over_through_us(
    three: Ladder, asks: str, asked: str, said: str, told: str, arrives: str
) -> None:
    """The transferor has its second call inside its own network."""
    three.play(CALL)
    host = parse_uri(said).host
    foreign = f"own@{host};to-tag=a;from-tag=b"
    place, replaces = referred(three, asks, asked, f"{said}?Replaces={quote(foreign)}")
    assert place == told
    three.parties[asked].identity = None
    three.play(
        f"""
        {asked} -> INVITE sdp {place} | Replaces: {replaces}
        {asked} <- 100
        {arrives} <- INVITE sdp {said} | Replaces: {foreign}
    """
    )


def test_an_alias_lives_as_long_as_its_call(three: Ladder) -> None:
    three.play(CALL)
    foreign = quote("own@10.0.0.77;to-tag=a;from-tag=b")
    _, replaces = referred(three, "callee", "caller", f"sip:1002@10.0.0.77?Replaces={foreign}")
    three.play("caller -> BYE", "caller <- 200 BYE", "callee <- BYE", "callee -> 200 BYE", "0.1 s")
    assert three.edge.b2bua.table_sizes()["aliases"] == 0
    three.play(f"dave -> INVITE sdp | Replaces: {replaces}", "dave <- 100", "dave <- 481", "dave -> ACK")


def test_aliases_of_one_call_have_a_limit(three: Ladder) -> None:
    three.play(CALL)
    foreign = quote("own@10.0.0.77;to-tag=a;from-tag=b")
    for _ in range(64):
        referred(three, "callee", "caller", f"sip:1002@10.0.0.77?Replaces={foreign}")
    three.play(f"callee -> REFER | Refer-To: <sip:1002@10.0.0.77?Replaces={foreign}>", "callee <- 500 REFER")


def test_a_call_that_is_over_cannot_be_referred_to(three: Ladder) -> None:
    three.play(CALL, CONSULTATION)
    value = held_by(three, "second")
    three.play("dave -> BYE", "dave <- 200 BYE", "second <- BYE")
    three.play(f"callee -> REFER | Refer-To: <sip:2002@10.0.0.1?Replaces={value}>", "callee <- 404 REFER")
