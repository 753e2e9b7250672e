"""A request in a phone's call that comes from elsewhere: the phone that has moved, or a thief?"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256

import pytest

from sbc.b2bua import Access, Account, Settings, UsersChanged
from sbc.media import Latching
from sbc.sip import Address, ha1, parse_credentials
from tests.support.ladder import HUNG_UP, Ladder
from tests.support.registered import REGISTERED
from tests.support.world import CALLER

ELSEWHERE = Address("203.0.113.99", 1024)
CALLED = """
    callee -> INVITE sip:$token@10.0.0.1 sdp | Allow: INVITE, ACK, BYE, CANCEL, UPDATE
    callee <- 100
    caller <- INVITE sdp
    caller -> 200 sdp | Allow: INVITE, ACK, BYE, CANCEL, UPDATE
    caller <- ACK
    callee <- 200 sdp
    callee -> ACK
"""
CHALLENGE = 'Proxy-Authenticate: Digest realm="example.com", nonce="n", qop="auth"'
SHOWN = 'Proxy-Authorization: Digest username="1001", realm="example.com", nonce="n", uri="sip:x", response="00"'
REFUSED = 500


@pytest.fixture
def called(access: Ladder) -> Ladder:
    """A phone in a call with the PBX; party "elsewhere" knows its dialog."""
    access.play(REGISTERED, CALLED)
    appears(access, "elsewhere", ELSEWHERE)
    return access


def appears(ladder: Ladder, name: str, address: Address, of: str = "caller") -> None:
    """A party that knows all of the dialog of another one."""
    ladder.party(name, address, "sip:example.com")
    party, phone = ladder.parties[name], ladder.parties[of]
    party.identity, party.target, party.cseq, party.sdp_version = phone.identity, phone.target, phone.cseq, 10


def signalling(ladder: Ladder, side: str = "b") -> tuple[str | None, int]:
    """Where the media of the phone may come from besides its SDP, and how often its signalling has moved."""
    (flow,) = ladder.edge.flows.values()
    found = getattr(flow, side)
    assert found.latching is Latching.SIGNALLING
    return found.signalling, found.moves


def moved(ladder: Ladder) -> bool:
    return any("leg moved" in line for line in ladder.trail)


AT_HOME = (CALLER.host, 0)
PROBED = """
    elsewhere -> INVITE sdp
    elsewhere <- 100
    callee <- INVITE sdp | -Proxy-Authorization
"""


def hang_up_with(party: str) -> str:
    """The PBX ends the call, and this party hears of it."""
    return f"callee -> BYE\ncallee <- 200 BYE\n{party} <- BYE\n{party} -> 200 BYE\n0.1 s"


def test_a_re_invite_from_elsewhere_moves_the_call_when_the_registrar_has_been_shown_who_it_is_from(
    called: Ladder,
) -> None:
    called.play(
        PROBED,
        f"""
        callee -> 407 | {CHALLENGE}
        callee <- ACK
        elsewhere <- 407 | {CHALLENGE}
        elsewhere -> ACK
        """,
    )
    assert signalling(called) == AT_HOME
    assert not moved(called)
    called.play(
        f"""
        elsewhere -> INVITE sdp | {SHOWN}
        elsewhere <- 100
        callee <- INVITE sdp | {SHOWN}
        callee -> 200 sdp
        callee <- ACK
        elsewhere <- 200 sdp
        elsewhere -> ACK
        """
    )
    assert signalling(called) == (ELSEWHERE.host, 1)
    assert moved(called)
    (flow,) = called.edge.flows.values()
    assert flow.b.remote == Address(ELSEWHERE.host, 4000)
    called.play(hang_up_with("elsewhere"))


def test_an_update_from_elsewhere_does_so_too(called: Ladder) -> None:
    called.play(
        f"""
        elsewhere -> UPDATE
        callee <- UPDATE
        callee -> 401 UPDATE | WWW-Authenticate: Digest realm="example.com", nonce="n"
        elsewhere <- 401 UPDATE
        elsewhere -> UPDATE | {SHOWN}
        callee <- UPDATE | {SHOWN}
        callee -> 200 UPDATE
        elsewhere <- 200 UPDATE
        """
    )
    assert signalling(called) == (ELSEWHERE.host, 1)
    called.play(hang_up_with("elsewhere"))


def test_a_registrar_that_asks_nobody_proves_nothing(called: Ladder) -> None:
    """It is asked with what the session is already, so that its 200 changes nothing; and only once."""
    called.play(
        f"""
        elsewhere -> INVITE sdp | {SHOWN}
        elsewhere <- 100
        callee <- INVITE sdp | -Proxy-Authorization
        callee -> 200 sdp
        callee <- ACK
        elsewhere <- {REFUSED} INVITE | Retry-After: 2
        elsewhere -> ACK
        elsewhere -> INVITE sdp | {SHOWN}
        elsewhere <- {REFUSED} INVITE | Retry-After: 2
        elsewhere -> ACK
        """
    )
    assert signalling(called) == AT_HOME
    (flow,) = called.edge.flows.values()
    assert flow.b.remote == Address(CALLER.host, 4000)
    called.play("caller -> INVITE sdp\ncaller <- 100\ncallee <- INVITE sdp")
    called.play("callee -> 200 sdp\ncallee <- ACK\ncaller <- 200 sdp\ncaller -> ACK", hang_up_with("caller"))


def test_wrong_credentials_get_another_challenge_and_nothing_moves(called: Ladder) -> None:
    refused = f"callee -> 407 | {CHALLENGE}\ncallee <- ACK\nelsewhere <- 407\nelsewhere -> ACK"
    again = f"elsewhere -> INVITE sdp | {SHOWN}\nelsewhere <- 100\ncallee <- INVITE sdp | {SHOWN}"
    called.play(PROBED, refused, again, refused, again, refused)
    assert signalling(called) == AT_HOME
    assert not moved(called)
    called.play(hang_up_with("caller"))


@pytest.mark.parametrize("method", ["INFO", "REFER", "MESSAGE", "OPTIONS", "PRACK"])
def test_anything_else_from_elsewhere_has_to_wait_until_the_phone_has_registered_there(
    called: Ladder, method: str
) -> None:
    called.play(f"elsewhere -> {method}\nelsewhere <- {REFUSED} {method} | Retry-After: 2")
    assert not moved(called)
    called.play(hang_up_with("caller"))


def test_a_high_cseq_from_elsewhere_does_not_lock_the_phone_out(called: Ladder) -> None:
    called.play(f"elsewhere -> INFO | CSeq: 999999 INFO\nelsewhere <- {REFUSED} INFO")
    called.play("caller -> INFO\ncallee <- INFO\ncallee -> 200 INFO\ncaller <- 200 INFO", hang_up_with("caller"))


def test_an_older_request_with_good_credentials_does_not_move_it_when_it_is_sent_again(called: Ladder) -> None:
    refused = f"callee -> 407 | {CHALLENGE}\ncallee <- ACK\nelsewhere <- 407\nelsewhere -> ACK"
    called.play(PROBED, refused)
    called.play("caller -> INFO\ncallee <- INFO\ncallee -> 200 INFO\ncaller <- 200 INFO")
    called.play(f"elsewhere -> INVITE sdp | {SHOWN} | CSeq: 0 INVITE\nelsewhere <- {REFUSED}\nelsewhere -> ACK")
    assert not moved(called)
    called.play(hang_up_with("caller"))


def test_a_phone_that_has_moved_may_hang_up(called: Ladder) -> None:
    called.play(
        "elsewhere -> BYE\nelsewhere <- 200 BYE\ncallee <- BYE\ncallee -> 200 BYE\n0.1 s",
    )
    assert not moved(called)


def test_another_port_of_the_same_nat_needs_no_proof_and_its_media_may_follow(called: Ladder) -> None:
    appears(called, "remapped", Address(CALLER.host, 31000))
    called.play("remapped -> INFO\ncallee <- INFO\ncallee -> 200 INFO\nremapped <- 200 INFO")
    assert signalling(called) == (CALLER.host, 1)
    called.play(hang_up_with("remapped"))


def test_a_caller_is_known_by_its_flow_too(access: Ladder) -> None:
    access.play(
        REGISTERED,
        """
        caller -> INVITE sip:2002@example.com sdp | From: <sip:1001@example.com>;tag=t
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        """,
    )
    phone = access.parties["caller"]
    assert phone.identity is not None
    phone.identity = phone.identity[0], "<sip:1001@example.com>;tag=t", phone.identity[2]
    appears(access, "elsewhere", ELSEWHERE)
    access.play(f"elsewhere -> REFER | Refer-To: <sip:toll@example.com>\nelsewhere <- {REFUSED} REFER")
    assert signalling(access, "a") == AT_HOME
    access.play(HUNG_UP)


# -- where this SBC is the registrar -----------------------------------------------------------------------------------

USERS = {
    f"{name}@example.com": Account(name, "example.com", {"SHA-256": ha1("SHA-256", name, "example.com", f"of {name}")})
    for name in ("1001", "1002")
}


def digest(ladder: Ladder, method: str, name: str, party: str) -> str:
    """What `name` answers to the challenge that `party` has heard last."""
    heard = ladder.parties[party].heard
    assert heard is not None
    header = "WWW-Authenticate" if method == "REGISTER" else "Proxy-Authenticate"
    nonce = re.search(r'nonce="([^"]+)"', heard.headers.get(header) or "")
    assert nonce
    uri = "sip:example.com" if method == "REGISTER" else ladder.parties[party].target

    def hashed(text: str) -> str:
        return sha256(text.encode()).hexdigest()

    secret = hashed(f"{name}:example.com:of {name}")
    proof = hashed(f"{secret}:{nonce[1]}:00000001:c:auth:{hashed(f'{method}:{uri}')}")
    name_of = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    value = (
        f'Digest username="{name}", realm="example.com", nonce="{nonce[1]}", uri="{uri}", response="{proof}", '
        f'algorithm=SHA-256, cnonce="c", qop=auth, nc=00000001'
    )
    assert parse_credentials(value)
    return f"{name_of}: {value}"


@pytest.fixture
def own(new_ladder: Callable[..., Ladder]) -> Ladder:
    """A phone of ours that is called by the peer inside; party "elsewhere" knows its dialog."""
    access = Access("public", ("example.com",), "", expires_udp=60, algorithms=("SHA-256",), key=b"site")
    ladder = new_ladder(settings=Settings(access=access))
    ladder.edge.tell(UsersChanged(USERS))
    register = "caller -> REGISTER sip:example.com | To: <sip:1001@example.com> | From: <sip:1001@example.com>;tag=p"
    ladder.play(register, "caller <- 401 REGISTER")
    ladder.play(f"{register} | {digest(ladder, 'REGISTER', '1001', 'caller')}", "caller <- 200 REGISTER")
    ladder.play(CALLED.replace("$token@10.0.0.1", "1001@example.com"))
    appears(ladder, "elsewhere", ELSEWHERE)
    return ladder


def test_our_own_user_is_challenged_and_has_moved_when_it_has_shown_who_it_is(own: Ladder) -> None:
    own.play("elsewhere -> INVITE sdp\nelsewhere <- 407\nelsewhere -> ACK")
    assert signalling(own) == AT_HOME
    own.play(
        f"""
        elsewhere -> INVITE sdp | {digest(own, "INVITE", "1001", "elsewhere")}
        elsewhere <- 100
        callee <- INVITE sdp | -Proxy-Authorization
        callee -> 200 sdp
        callee <- ACK
        elsewhere <- 200 sdp
        elsewhere -> ACK
        """
    )
    assert signalling(own) == (ELSEWHERE.host, 1)
    own.play(hang_up_with("elsewhere"))


def test_another_user_of_ours_does_not_get_the_call(own: Ladder) -> None:
    own.play("elsewhere -> INFO\nelsewhere <- 407 INFO")
    own.play(f"elsewhere -> INFO | {digest(own, 'INFO', '1002', 'elsewhere')}", "elsewhere <- 403 INFO")
    assert signalling(own) == AT_HOME
    own.play(hang_up_with("caller"))
