"""Whose redirections are followed, and what they show."""

from __future__ import annotations

from collections.abc import Callable

from sbc.b2bua import Interworking, Peer, Redirection
from tests.support.ladder import Ladder
from tests.support.world import CALLER, PBX

CALLED_OUT = f"sip:2002@{CALLER.host}:{CALLER.port}"


def test_a_stranger_sends_nobody_anywhere_at_our_expense(ladder: Ladder) -> None:
    """Whoever is called decides by a 3xx what we call next, as ourselves: a trunk, a number that costs money."""
    ladder.party("callee", PBX, CALLED_OUT)
    ladder.play("""
        callee -> INVITE sdp
        callee <- 100
        caller <- INVITE sdp
        caller -> 302 | Contact: <sip:0900123@203.0.113.9>
        caller <- ACK
        callee <- 480
        callee -> ACK
    """)
    assert not [sent for sent in ladder.network.sent if sent[2].host == "203.0.113.9"]


def test_where_a_hidden_element_redirects_to_is_not_shown(new_ladder: Callable[..., Ladder]) -> None:
    how = Interworking(redirect=Redirection.PASS)
    ladder = new_ladder(peers=(Peer("pbx", "private", PBX.host, how=how),))
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 302 | Contact: <sip:1002%4010.0.0.9;phone-context=corp.example@10.0.0.9>
        callee <- ACK
        caller <- 302 | Contact: <sip:1002@192.0.2.1>
        caller -> ACK
    """)
