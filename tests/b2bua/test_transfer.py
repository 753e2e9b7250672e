"""Transfer by the elements: REFER and its NOTIFYs cross."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Peer
from sbc.policy import RouteRule
from sbc.sip import Address
from tests.support.ladder import HUNG_UP, SIPFRAGS, Ladder
from tests.support.world import PBX, PBX2

ALLOWING = """
    caller -> INVITE sdp | Allow: INVITE, ACK, BYE, CANCEL, REFER, NOTIFY | Supported: replaces
    caller <- 100
    callee <- INVITE sdp
    callee -> 200 sdp | Allow: INVITE, ACK, BYE, CANCEL, REFER, NOTIFY | Supported: replaces
    callee <- ACK
    caller <- 200 sdp
    caller -> ACK
"""
OTHER_OF = {"caller": "callee", "callee": "caller"}


@pytest.fixture
def call(ladder: Ladder) -> Ladder:
    """A call between elements that both allow REFER."""
    ladder.bodies |= SIPFRAGS
    ladder.bodies["telling"] = (
        "message/sipfrag",
        b"SIP/2.0 200 pbx.secret.example says ok\r\nContact: <sip:10.0.0.9>\r\nServer: SecretPBX\r\n",
    )
    ladder.play(ALLOWING)
    return ladder


@pytest.mark.parametrize(
    ("asks", "said", "told"),
    [
        # a user behind us, by our name: the PBX is told its own
        ("caller", "<sip:1002@192.0.2.1>", "<sip:1002@10.0.0.5>"),
        ("caller", "sip:1002@192.0.2.1", "<sip:1002@10.0.0.5>"),
        ("caller", '"Bob" <sip:1002@192.0.2.1:5060;transport=udp;method=INVITE?Subject=x>', "<sip:1002@10.0.0.5>"),
        ("caller", "<tel:+4930123>", "<sip:+4930123@10.0.0.5;user=phone>"),
        # somebody of its own side
        ("caller", "<sip:dave@198.51.100.9:5090;user=phone?X=y>", "<sip:dave@198.51.100.9:5090;user=phone>"),
        # a user of the PBX, by its own name: others are told ours
        ("callee", "<sip:1002@10.0.0.5>", "<sip:1002@192.0.2.1>"),
        ("callee", '"Bob at 10.0.0.5" <sip:1002@10.0.0.77:5070;transport=tcp>', "<sip:1002@192.0.2.1>"),
        ("callee", "<sip:bob%4010.0.0.9@10.0.0.5>", "<sip:bob@192.0.2.1>"),
    ],
)
def test_refer_to_means_the_same_user_on_the_other_side(call: Ladder, asks: str, said: str, told: str) -> None:
    asked = OTHER_OF[asks]
    call.play(
        f"""
        {asks} -> REFER | Refer-To: {said}
        {asked} <- REFER | Refer-To: {told} | Contact: <sip:*> | Max-Forwards: 69
        {asked} -> 202 REFER
        {asks} <- 202 REFER | Contact: <sip:*>
    """,
        HUNG_UP,
    )
    assert any("REFER passed on" in line for line in call.trail)


@pytest.mark.parametrize("asks", ["caller", "callee"])
def test_notifies_cross_with_the_id_of_the_refer_on_their_side(call: Ladder, asks: str) -> None:
    asked = OTHER_OF[asks]
    call.play(
        f"""
        {asks} -> INFO
        {asked} <- INFO
        {asked} -> 200 INFO
        {asks} <- 200 INFO
        {asks} -> REFER | Refer-To: <sip:1002@{"192.0.2.1" if asks == "caller" else "10.0.0.5"}>
        {asked} <- REFER | CSeq: $theirs REFER
        {asked} -> 202 REFER
        {asks} <- 202 REFER | CSeq: $ours REFER
    """
    )
    for body, state in (("frag100", "active;expires=60"), ("frag180", "active"), ("frag200", "terminated")):
        call.play(
            f"""
            {asked} -> NOTIFY {body} | Event: refer;id={call["theirs"]} | Subscription-State: {state}
            {asks} <- NOTIFY {body} | Event: refer;id=$ours | Subscription-State: {state} | Contact: <sip:*>
            {asks} -> 200 NOTIFY
            {asked} <- 200 NOTIFY
        """
        )
    call.play(HUNG_UP)


def test_several_refers_are_told_apart(call: Ladder) -> None:
    call.play(
        """
        callee -> REFER | Refer-To: <sip:1@10.0.0.5>
        caller <- REFER | CSeq: $first REFER
        caller -> 202 REFER
        callee <- 202 REFER | CSeq: $mine REFER
        callee -> REFER | Refer-To: <sip:2@10.0.0.5>
        caller <- REFER | CSeq: $second REFER
        caller -> 202 REFER
        callee <- 202 REFER | CSeq: $mine2 REFER
    """
    )
    assert call["first"] != call["second"]
    call.play(
        f"""
        caller -> NOTIFY frag100 | Event: refer ; id={call["second"]};x=1 | Subscription-State: active
        callee <- NOTIFY frag100 | Event: refer;id=$mine2
        callee -> 200 NOTIFY
        caller <- 200 NOTIFY
        caller -> NOTIFY frag100 | Event: refer;id={call["first"]} | Subscription-State: active
        callee <- NOTIFY frag100 | Event: refer;id=$mine
        callee -> 481 NOTIFY
        caller <- 481 NOTIFY
    """
    )


def test_nothing_of_a_fragment_crosses_but_its_status(call: Ladder) -> None:
    call.play(
        """
        caller -> REFER | Refer-To: <sip:1002@192.0.2.1>
        callee <- REFER
        callee -> 202 REFER
        caller <- 202 REFER
        callee -> NOTIFY telling | Event: refer;x=10.0.0.9
            | Subscription-State: terminated;reason=noresource;retry-after=5;x=pbx.secret.example;expires=10.0.0.9
        caller <- NOTIFY frag200 | Event: refer
            | Subscription-State: terminated;reason=noresource;retry-after=5
            | Content-Type: message/sipfrag;version=2.0
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY
        callee -> NOTIFY | Event: refer | Subscription-State: nonsense;reason=10.0.0.9
        caller <- NOTIFY | Event: refer | Subscription-State: active | -Content-Type
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY
    """
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("NOTIFY frag200 | Event: presence", 489),
        ("NOTIFY frag200 | -Event", 489),
        ("NOTIFY text | Event: refer", 400),
        ("REFER", 400),
        ("REFER | Refer-To: <sip:1@192.0.2.1> | +Refer-To: <sip:2@192.0.2.1>", 400),
        ("REFER | Refer-To: <sip:@@@>", 400),
        ("REFER | Refer-To: <sip:1@192.0.2.1?Replaces=x>", 400),
        ("REFER | Refer-To: <sip:1@192.0.2.1?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2%0D%0AX:%20y>", 400),
        ("REFER | Refer-To: <sip:1@192.0.2.1?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=x>", 400),
        ("REFER | Refer-To: <sips:1@192.0.2.1>", 416),
        ("REFER | Refer-To: <http://192.0.2.1/>", 416),
        ("REFER | Refer-To: <sip:1@192.0.2.1;method=BYE>", 603),
        ("REFER | Refer-To: <sip:1@192.0.2.1?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>", 404),
        ("REFER | Refer-To: <sip:1@192.0.2.1> | Require: multiple-refer", 420),
    ],
)
def test_what_cannot_cross_is_refused_and_the_call_goes_on(call: Ladder, line: str, status: int) -> None:
    call.play(f"caller -> {line}", f"caller <- {status} {line.split()[0]}", HUNG_UP)


def test_who_referred_crosses_as_who_it_is_to_the_other_side(call: Ladder) -> None:
    call.play(
        """
        callee -> REFER | Refer-To: <sip:1002@10.0.0.5>
            | Referred-By: "Ann" <sip:ann@pbx.secret.example>;cid="2@10.0.0.5"
        caller <- REFER | Referred-By: "Ann" <sip:ann@192.0.2.1>
        caller -> 202 REFER
        callee <- 202 REFER
        caller -> REFER | Refer-To: <sip:1002@192.0.2.1> | Referred-By: <sip:me@example.com>;cid="x"
        callee <- REFER | Referred-By: <sip:me@example.com>
        callee -> 202 REFER
        caller <- 202 REFER
        callee -> REFER | Refer-To: <sip:1002@10.0.0.5> | Referred-By: <<>
        caller <- REFER | -Referred-By
        caller -> 202 REFER
        callee <- 202 REFER
    """
    )


def test_norefersub_is_agreed_on_by_the_elements(call: Ladder) -> None:
    call.play(
        """
        caller -> REFER | Refer-To: <sip:1002@192.0.2.1> | Refer-Sub: false | Require: norefersub | Supported: x
        callee <- REFER | Refer-Sub: false | Require: norefersub | -Supported
        callee -> 200 REFER | Refer-Sub: false
        caller <- 200 REFER | Refer-Sub: false
    """,
        HUNG_UP,
    )


@pytest.mark.parametrize("status", [403, 488, 503, 603])
def test_a_refusal_crosses_and_the_call_goes_on(call: Ladder, status: int) -> None:
    call.play(
        f"""
        callee -> REFER | Refer-To: <sip:1002@10.0.0.5>
        caller <- REFER
        caller -> {status} REFER
        callee <- {status} REFER
    """,
        HUNG_UP,
    )
    assert call.record.cause == "BYE"


def test_a_transferor_that_hangs_up_at_once_hears_no_more(call: Ladder) -> None:
    """Its BYE ends both legs; the transferee's NOTIFYs have nobody to go to (RFC 5057 section 5.1)."""
    call.play(
        """
        caller -> REFER | Refer-To: <sip:1002@192.0.2.1>
        callee <- REFER
        callee -> 202 REFER
        caller <- 202 REFER
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE
        callee -> NOTIFY frag100 | Event: refer | Subscription-State: active
        callee <- 481 NOTIFY
        callee -> 200 BYE
    """
    )


def test_a_user_of_a_configured_trunk_is_named_to_the_trunk(new_ladder: Callable[..., Ladder]) -> None:
    """A PBX refers a caller of the public side to somebody whom the configuration knows there."""
    trunk = Peer("trunk", "public", "198.51.100.20", 5062)
    ladder = new_ladder(peers=(Peer("pbx", "private", PBX.host, None), trunk))
    ladder.play(
        ALLOWING,
        """
        callee -> REFER | Refer-To: <sip:+4930@198.51.100.20:5062>
        caller <- REFER | Refer-To: <sip:+4930@198.51.100.20:5062>
        caller -> 202 REFER
        callee <- 202 REFER
    """,
    )


def test_a_zone_that_is_not_hidden_may_be_named(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(hidden=False)
    ladder.play(
        ALLOWING,
        """
        callee -> REFER | Refer-To: <sip:1002@10.0.0.77:5070> | Referred-By: <sip:ann@pbx.secret.example>
        caller <- REFER | Refer-To: <sip:1002@10.0.0.77:5070> | Referred-By: <sip:ann@pbx.secret.example>
        caller -> 202 REFER
        callee <- 202 REFER
    """,
    )


def test_two_elements_of_one_network_are_told_each_others_names(new_ladder: Callable[..., Ladder]) -> None:
    """Two PBXs in one zone; a phone on the public side refers one to the other, by its number at the SBC."""
    ladder = new_ladder(
        peers=(Peer("pbx", "private", PBX.host, None), Peer("pbx2", "private", PBX2.host, None)),
        routes=(RouteRule("two", numbers=("2*",), to=("pbx2",)), RouteRule("one", to=("pbx",))),
    )
    ladder.play(
        ALLOWING,
        """
        caller -> REFER | Refer-To: <sip:2003@192.0.2.1>
        callee <- REFER | Refer-To: <sip:2003@10.0.0.6>
        callee -> 202 REFER
        caller <- 202 REFER
    """,
    )


def test_a_caller_knows_us_by_the_name_that_it_dialled(ladder: Ladder) -> None:
    ladder.party("caller", Address("198.51.100.7", 5070), "sip:1001@192.0.2.1:5060")
    ladder.play(
        ALLOWING,
        """
        callee -> REFER | Refer-To: <sip:1002@10.0.0.5>
        caller <- REFER | Refer-To: <sip:1002@192.0.2.1:5060>
        caller -> 202 REFER
        callee <- 202 REFER
    """,
    )
