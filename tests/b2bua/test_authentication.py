"""Who has to show who it is before it is served, and what does not count as showing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import Access, Account, CallOpened, MessageSeen, Settings, UsersChanged
from sbc.sip import ALGORITHMS, answer_challenge, ha1, parse_challenge
from tests.support.ladder import Ladder
from tests.support.world import CALLER, PBX

DOMAIN = "example.com"
ALICE = f"From: <sip:alice@{DOMAIN}>;tag=alice-tag"
SECOND = CALLER._replace(port=5090)


def account(name: str) -> Account:
    return Account(name, DOMAIN, {each: ha1(each, name, DOMAIN, f"secret of {name}") for each in ALGORITHMS})


USERS = {f"{name}@{DOMAIN}": account(name) for name in ("alice", "bob")}


@pytest.fixture
def new_registrar(new_ladder: Callable[..., Ladder]) -> Callable[..., Ladder]:
    """A world whose SBC is the registrar of alice and bob; `access` changes its settings."""

    def make(edge: dict[str, Any] | None = None, **access: Any) -> Ladder:
        settings = Settings(access=Access("public", (DOMAIN,), "", **access))
        ladder = new_ladder(settings=settings, **(edge or {}))
        ladder.edge.tell(UsersChanged(USERS))
        return ladder

    return make


@pytest.fixture
def registrar(new_registrar: Callable[..., Ladder]) -> Ladder:
    return new_registrar()


def credentials(
    ladder: Ladder,
    method: str,
    uri: str,
    *,
    party: str = "caller",
    user: str = "alice",
    password: str = "",
    algorithm: str = "",
    count: int = 1,
    qop: bool = True,
) -> str:
    """The header field that answers the challenge of `algorithm`, or the topmost one, that `party` got last."""
    heard = ladder.parties[party].heard
    assert heard is not None
    name = "WWW-Authenticate" if "WWW-Authenticate" in heard.headers else "Proxy-Authenticate"
    challenges = {each.algorithm: each for each in map(parse_challenge, heard.headers.get_all(name)) if each}
    algorithm = algorithm or next(iter(challenges))
    challenge = challenges[algorithm] if qop else challenges[algorithm]._replace(qop=())
    secret = ha1(algorithm, user, DOMAIN, password or f"secret of {user}")
    value = answer_challenge(challenge, user, secret, method, uri, "0a4f113b", count)
    return f"{'Authorization' if name[0] == 'W' else 'Proxy-Authorization'}: {value}"


def challenged(ladder: Ladder, uri: str = "sip:1001@192.0.2.1", headers: str = ALICE) -> None:
    ladder.play(f"""
        caller -> INVITE {uri} sdp | {headers}
        caller <- 407 | Proxy-Authenticate: Digest realm="{DOMAIN}", nonce=*, algorithm=SHA-512-256, qop="auth"
        caller -> ACK
    """)


def test_a_user_of_ours_is_challenged_and_then_connected(registrar: Ladder) -> None:
    challenged(registrar)
    proof = credentials(registrar, "INVITE", "sip:1001@192.0.2.1")
    registrar.play(f"""
        caller -> INVITE sdp | {ALICE} | {proof}
        caller <- 100
        callee <- INVITE sdp | -Proxy-Authorization | -Authorization
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """)
    assert "admit registrar: pass (it is from alice@example.com)" in registrar.trail


def test_every_algorithm_is_offered_the_strongest_first_and_each_does(registrar: Ladder) -> None:
    for algorithm in ALGORITHMS:
        challenged(registrar)
        heard = registrar.parties["caller"].heard
        assert heard is not None
        offered = [parse_challenge(value) for value in heard.headers.get_all("Proxy-Authenticate")]
        assert [each.algorithm for each in offered if each] == list(ALGORITHMS)
        proof = credentials(registrar, "INVITE", "sip:1001@192.0.2.1", algorithm=algorithm)
        registrar.play(f"""
            caller -> INVITE sdp | {ALICE} | {proof}
            caller <- 100
            callee <- INVITE sdp
            callee -> 486
            callee <- ACK
            caller <- 486
            caller -> ACK
        """)
        registrar.wait(40.0)


@pytest.mark.parametrize(
    "how",
    [
        {"password": "guessed"},
        {"user": "carol"},
        {"uri": "sip:0900@192.0.2.1"},
        {"uri": "sip:1001@elsewhere.net"},
        {"uri": "nonsense"},
        {"method": "REGISTER"},
        {"qop": False, "algorithm": "MD5"},
    ],
    ids=str,
)
def test_what_proves_nothing_is_challenged_again_and_kept_nowhere(registrar: Ladder, how: dict[str, object]) -> None:
    challenged(registrar)
    arguments = {"method": "INVITE", "uri": "sip:1001@192.0.2.1"} | how
    proof = credentials(registrar, **arguments)  # type: ignore[arg-type]
    challenged(registrar, headers=f"{ALICE} | {proof}")
    assert not any(isinstance(command, CallOpened | MessageSeen) for command in registrar.edge.commands)
    assert all(not size for size in registrar.edge.b2bua.table_sizes().values())


def test_credentials_are_good_once_and_a_replay_gets_a_stale_challenge(registrar: Ladder) -> None:
    challenged(registrar)
    proof = credentials(registrar, "INVITE", "sip:1001@192.0.2.1")
    registrar.play(f"""
        caller -> INVITE sdp | {ALICE} | {proof}
        caller <- 100
        callee <- INVITE sdp
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """)
    registrar.party("thief", SECOND, "sip:1001@192.0.2.1")
    registrar.play(f"""
        thief -> INVITE sdp | {ALICE} | {proof}
        thief <- 407 | Proxy-Authenticate: *stale=true*
        thief -> ACK
    """)


REFUSED = """
    caller <- 100
    callee <- INVITE sdp | -Proxy-Authorization | -Authorization
    callee -> 486
    callee <- ACK
    caller <- 486
    caller -> ACK
"""


@pytest.mark.parametrize(
    "claim",
    [
        "From: <sip:bob@example.com>;tag=x",
        "From: <sip:director@bank.example.net>;tag=x",
        f"{ALICE} | P-Preferred-Identity: <sip:bob@example.com>",
        f"{ALICE} | P-Preferred-Identity: nonsense",
    ],
)
def test_a_user_can_be_nobody_else(registrar: Ladder, claim: str) -> None:
    challenged(registrar, headers=claim)
    proof = credentials(registrar, "INVITE", "sip:1001@192.0.2.1")
    registrar.play(f"""
        caller -> INVITE sdp | {claim} | {proof}
        caller <- 403
        caller -> ACK
        0.1 s
    """)
    assert registrar.trail[0] == "admit registrar: reject 403 (alice@example.com says to be somebody else)"


def test_a_user_can_be_anonymous_and_we_know_who_it_is(registrar: Ladder) -> None:
    claim = 'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=x | Privacy: id'
    claim += " | P-Preferred-Identity: <sip:alice@example.com>"
    challenged(registrar, headers=claim)
    registrar.play(f"caller -> INVITE sdp | {claim} | {credentials(registrar, 'INVITE', registrar_uri())}", REFUSED)
    assert "admit registrar: pass (it is from alice@example.com)" in registrar.trail


def registrar_uri() -> str:
    return "sip:1001@192.0.2.1"


def test_our_own_addresses_are_our_domain(registrar: Ladder) -> None:
    claim = "From: <sip:alice@192.0.2.1>;tag=x"
    challenged(registrar, headers=claim)
    registrar.play(f"caller -> INVITE sdp | {claim} | {credentials(registrar, 'INVITE', registrar_uri())}", REFUSED)


def test_peers_are_believed(registrar: Ladder) -> None:
    registrar.play("""
        callee -> INVITE sip:alice@example.com sdp | From: <sip:bob@example.com>;tag=x
        callee <- 100
        callee <- 480
        callee -> ACK
    """)


def test_emergency_calls_are_not_challenged(new_registrar: Callable[..., Ladder]) -> None:
    ladder = new_registrar(edge={"emergency": ("112",)})
    ladder.play(f"caller -> INVITE sip:112@192.0.2.1 sdp | {ALICE}", REFUSED)


def test_credentials_for_us_go_no_further_in_a_call_and_those_for_others_cross(registrar: Ladder) -> None:
    challenged(registrar)
    ours = credentials(registrar, "INVITE", registrar_uri())
    others = ours.replace('realm="example.com"', 'realm="pbx.example.net"')
    registrar.play(f"""
        caller -> INVITE sdp | {ALICE} | {ours} | +{others}
        caller <- 100
        callee <- INVITE sdp | Proxy-Authorization: *realm="pbx.example.net"*
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK | {ALICE} | {ours}
        caller -> BYE | {ALICE} | {ours} | +Authorization: Digest broken
        caller <- 200 BYE
        callee <- BYE | -Proxy-Authorization | -Authorization
        callee -> 200 BYE
    """)
    crossed = [data for _, _, to, data in registrar.network.sent if to == PBX]
    assert crossed
    assert not any(b'realm="example.com"' in data for data in crossed)


def test_old_phones_are_served_where_that_is_allowed(new_registrar: Callable[..., Ladder]) -> None:
    ladder = new_registrar(without_qop=True, algorithms=("MD5",))
    challenged_with_md5 = f"""
        caller -> INVITE sdp | {ALICE}
        caller <- 407 | Proxy-Authenticate: *algorithm=MD5*
        caller -> ACK
    """
    ladder.play(challenged_with_md5)
    proof = credentials(ladder, "INVITE", registrar_uri(), qop=False, algorithm="MD5")
    ladder.play(f"caller -> INVITE sdp | {ALICE} | {proof}", REFUSED)
    ladder.play(f"""
        caller -> INVITE sdp | {ALICE} | {proof}
        caller <- 407 | Proxy-Authenticate: *stale=true*
        caller -> ACK
    """)


def guess(ladder: Ladder, status: int, user: str = "alice", party: str = "guesser") -> None:
    """A challenged INVITE with a wrong password, and what it gets."""
    ladder.play(f"""
        {party} -> INVITE sdp | {ALICE}
        {party} <- 407
        {party} -> ACK
    """)
    proof = credentials(ladder, "INVITE", registrar_uri(), party=party, user=user, password="guessed")
    told = " | Retry-After: *" if status == 403 else ""
    ladder.play(f"""
        {party} -> INVITE sdp | {ALICE} | {proof}
        {party} <- {status}{told}
        {party} -> ACK
    """)


@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_guessing_is_not_listened_to_for_a_while_and_leaves_nothing_behind(registrar: Ladder, user: str) -> None:
    for number in range(50):
        registrar.party("guesser", CALLER._replace(port=6000 + number), registrar_uri())
        guess(registrar, 407 if number < 5 else 403, user)
    assert not any(isinstance(command, CallOpened | MessageSeen) for command in registrar.edge.commands)
    registrar.wait(40.0)
    assert not any(registrar.edge.left_over().values())
    who = "admit registrar: INVITE of sip:alice@example.com from 198.51.100.7 refused"
    assert registrar.trail[:5] == [f"{who}: 407 (wrong user or password)"] * 5
    assert registrar.trail[5].startswith(
        f"{who}: 403 (too many wrong passwords from 198.51.100.7: nothing is looked at"
    )
    assert len(registrar.trail) == 50
    guess(registrar, 407, user)
    guess(registrar, 403, user)


def test_during_the_pause_the_right_password_is_not_looked_at_and_other_users_are(registrar: Ladder) -> None:
    registrar.party("guesser", SECOND, registrar_uri())
    for _ in range(5):
        guess(registrar, 407)
    challenged(registrar)
    proof = credentials(registrar, "INVITE", registrar_uri())
    registrar.play(f"""
        caller -> INVITE sdp | {ALICE} | {proof}
        caller <- 403 | Retry-After: 10
        caller -> ACK
        10.1 s
        caller -> INVITE sdp | {ALICE} | {proof}
    """, REFUSED)  # fmt: skip
    for _ in range(4):  # the count has started anew
        guess(registrar, 407)
    bob = ALICE.replace("alice", "bob")
    challenged(registrar, headers=bob)
    proof = credentials(registrar, "INVITE", registrar_uri(), user="bob")
    registrar.play(f"caller -> INVITE sdp | {bob} | {proof}", REFUSED)


@pytest.mark.parametrize(("lines", "offered"), [(0, 1), (4, 2), (20, 3)])
def test_a_challenge_over_udp_is_little_longer_than_what_it_answers(
    registrar: Ladder, lines: int, offered: int
) -> None:
    """The source may be forged. Where not all algorithms fit the last one is there, which all phones know."""
    more = "".join(f" | +Supported: extension-{number}" for number in range(lines))
    register = f"caller -> REGISTER sip:{DOMAIN} | -User-Agent{more}"
    registrar.play(register, "caller <- 401 REGISTER")
    heard, asked = registrar.parties["caller"].heard, registrar.parties["caller"].last
    assert heard is not None
    challenges = [parse_challenge(value) for value in heard.headers.get_all("WWW-Authenticate")]
    assert [each.algorithm for each in challenges if each] == list(ALGORITHMS[-offered:])
    assert len(heard.raw) <= 1.5 * len(asked)
    registrar.party("caller", CALLER, registrar_uri(), "TCP", 7)
    registrar.play(register, "caller <- 401 REGISTER")
    heard = registrar.parties["caller"].heard
    assert heard is not None
    assert len(heard.headers.get_all("WWW-Authenticate")) == len(ALGORITHMS)


BARESIP = """\
REGISTER sip:home.example SIP/2.0
Via: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bK3d6c3f4e6a1f0b2c;rport
Contact: <sip:alice-0x55c3a0b7c5f0@203.0.113.20:5060>;expires=3600;+sip.instance="<urn:uuid:9f7f1d2e-9d3b-4b7f-8f6e-2c7c7b0d3f11>"
Max-Forwards: 70
To: <sip:alice@home.example>
From: <sip:alice@home.example>;tag=0c5f7b8a9d1e2f30
Call-ID: 5b8f2d3e9a7c6b10
CSeq: 41251 REGISTER
User-Agent: baresip v1.0.0 (x86_64/linux)
Supported: gruu
Content-Length: 0

"""  # noqa: E501
DESK_PHONE = BARESIP.replace(
    "Supported: gruu",
    "Supported: replaces, outbound, gruu, path\nExpires: 3600\nAccept: application/sdp, text/plain\n"
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, UPDATE",
)
SHORTEST = """\
REGISTER sip:home.example SIP/2.0
v: SIP/2.0/UDP 203.0.113.20;branch=z9hG4bK1
t: <sip:a@home.example>
f: <sip:a@home.example>;tag=1
i: 1
CSeq: 1 REGISTER

"""


@pytest.mark.parametrize(
    ("request_text", "offered", "ratio"), [(BARESIP, 3, 1.4), (DESK_PHONE, 3, 1.05), (SHORTEST, 1, 1.95)]
)
def test_what_a_challenge_over_udp_amplifies(registrar: Ladder, request_text: str, offered: int, ratio: float) -> None:
    """The figures of the guide. The shortest request has next to nothing that need not be repeated."""
    party = registrar.party("phone", CALLER._replace(host="203.0.113.20", port=5060), registrar_uri())
    data = request_text.replace("\n", "\r\n").encode()
    party.put(data)
    registrar.wait(0.1)
    answer = party.inbox.popleft()
    assert len(answer.headers.get_all("WWW-Authenticate")) == offered
    assert len(answer.raw) <= ratio * len(data)
