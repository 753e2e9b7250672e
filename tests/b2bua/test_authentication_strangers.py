"""What somebody without an account can find out about who has one: nothing; and who may be called by anyone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from sbc.b2bua import authentication
from sbc.sip import ALGORITHMS, answer_challenge, ha1, parse_challenge
from tests.b2bua.test_authentication import DOMAIN, new_registrar
from tests.b2bua.test_registrar import register
from tests.support.ladder import Ladder
from tests.support.world import CALLER

__all__ = ["new_registrar"]

STRANGER = CALLER._replace(port=5099)
TARGETS = ("alice", "bob", "carol", "00441234", "%61lice", "alice%00")
"""Registered, an account that is not registered, nobody, a number, the first one in disguise, nonsense."""
METHODS = ("REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH", "OPTIONS", "NOTIFY", "REFER", "INFO", "NONSENSE")
CLAIMS = ("stranger@elsewhere.net", f"TARGET@{DOMAIN}", f"nobody@{DOMAIN}", f"alice@{DOMAIN}")
"""From; TARGET is whom the request is for."""


@pytest.fixture
def registrar(new_registrar: Callable[..., Ladder]) -> Ladder:
    ladder = new_registrar(wrong_passwords=0)
    ladder.party("phone", CALLER, "sip:x")
    register(ladder, party="phone", user="alice")
    return ladder


def heard(ladder: Ladder, method: str, target: str, claim: str, credentials: str = "") -> list[str]:
    """All that a stranger gets for a request, less what is different for everyone and what it said itself."""
    party = ladder.party("stranger", STRANGER, "sip:x")
    lines = [f"From: <sip:{claim.replace('TARGET', target)}>;tag=x", f"To: <sip:{target}@{DOMAIN}>", "Call-ID: same"]
    lines += [f"Subject: {'long ' * 60}"]  # there is room for all challenges
    lines += [credentials] if credentials else []
    uri = f"sip:{DOMAIN}" if method == "REGISTER" else f"sip:{target}@{DOMAIN}"
    more = ["Event: presence"] if method in ("SUBSCRIBE", "NOTIFY", "PUBLISH") else []
    words = [method, uri, *(["sdp"] if method == "INVITE" else [])]
    party.send(words, [*lines, *more])
    ladder.wait(5.0)
    got = [message.raw.decode() for message in party.inbox]
    if method == "INVITE" and party.answered >= 200:
        party.send(["ACK"], [])
    ladder.wait(40.0)
    party.inbox.clear()
    said = r"(?m)^(Via|From|To): .*|(?<=nonce=\")[^\"]*|(?<=CSeq: )\d+"
    return [re.sub(said, "", text) for text in got]


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("method", METHODS)
def test_all_targets_look_the_same_without_credentials(registrar: Ladder, method: str, claim: str) -> None:
    answers = {target: heard(registrar, method, target, claim) for target in TARGETS}
    assert len({tuple(answer) for answer in answers.values()}) == 1, answers
    (answer,) = answers["alice"]
    refused = {"REGISTER": "401", "REFER": "405", "INFO": "481", "NONSENSE": "405"}
    assert answer.startswith(f"SIP/2.0 {refused.get(method, '407')} ")


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
def test_users_and_nobody_look_the_same_with_a_wrong_password(registrar: Ladder, method: str) -> None:
    """And cost the same: what is computed is counted."""
    answers = set()
    computed = []
    prove = authentication.proves

    def counted(*arguments: object) -> bool:
        computed.append(arguments)
        return bool(prove(*arguments))  # type: ignore[arg-type]

    for user in ("alice", "bob", "carol"):
        heard(registrar, method, user, f"{user}@{DOMAIN}")
        message = registrar.parties["stranger"].heard
        assert message is not None
        values = message.headers.get_all("WWW-Authenticate") or message.headers.get_all("Proxy-Authenticate")
        challenge = parse_challenge(values[1])
        assert challenge is not None
        secret = ha1(ALGORITHMS[1], user, DOMAIN, "guessed")
        proof = answer_challenge(challenge, user, secret, method, f"sip:{user}@{DOMAIN}", "0a4f113b", 1)
        name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(authentication, "proves", counted)
            answers.add(tuple(heard(registrar, method, user, f"{user}@{DOMAIN}", f"{name}: {proof}")))
        assert len(computed) == 1
        (credentials, compared, _) = computed.pop()
        assert len(str(compared)) == 64
        assert getattr(credentials, "algorithm", "") == ALGORITHMS[1]
    assert len(answers) == 1, answers


def call(ladder: Ladder, target: str, *lines: str) -> None:
    ladder.party("stranger", STRANGER, "sip:x")
    ladder.play(f"stranger -> INVITE sip:{target} sdp | From: <sip:carol@elsewhere.net>;tag=x", *lines)


CHALLENGED = """
    stranger <- 407
    stranger -> ACK
"""


def test_users_are_called_by_nobody_who_is_none(registrar: Ladder) -> None:
    call(registrar, f"alice@{DOMAIN}", CHALLENGED)


def test_where_strangers_may_call_they_reach_who_is_registered_and_hear_the_same_of_all_others(
    new_registrar: Callable[..., Ladder],
) -> None:
    ladder = new_registrar(strangers=True)
    ladder.party("phone", CALLER, "sip:x")
    register(ladder, party="phone", user="alice")
    call(ladder, f"alice@{DOMAIN}", """
        stranger <- 100
        phone <- INVITE sdp
        phone -> 486
        phone <- ACK
        stranger <- 486
        stranger -> ACK
    """)  # fmt: skip
    answers = {
        target: heard(ladder, method, target, CLAIMS[0])[0].split()[1]
        for method in ("INVITE", "MESSAGE", "OPTIONS")
        for target in TARGETS[1:4]
    }
    assert set(answers.values()) == {"407"}
    for claim in CLAIMS[1:]:
        assert heard(ladder, "INVITE", "alice", claim)[0].startswith("SIP/2.0 407")
    ladder.wait(100.0)  # alice is not registered any more
    call(ladder, f"alice@{DOMAIN}", CHALLENGED)


def test_the_sbc_itself_is_asked_by_anyone_and_names_behind_it_by_who_may(registrar: Ladder) -> None:
    registrar.party("stranger", STRANGER, "sip:x")
    registrar.play("""
        stranger -> OPTIONS sip:192.0.2.1
        stranger <- 200 OPTIONS
        stranger -> OPTIONS sip:alice@192.0.2.1
        stranger <- 407 OPTIONS
        stranger -> OPTIONS sip:nobody@192.0.2.1
        stranger <- 407 OPTIONS
        callee -> OPTIONS sip:nobody@10.0.0.1
        callee <- 200 OPTIONS
    """)
