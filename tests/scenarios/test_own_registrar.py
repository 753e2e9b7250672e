"""The SBC as registrar, by SIPp: digest, credentials that come twice, guessed passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.raw import request
from tests.support.sipp import Sipp

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp")]

CONFIG = f"""
[zones.public]
address = "{PUBLIC.edge}"
[zones.private]
address = "{PRIVATE.edge}"
[peers.pbx]
zone = "private"
address = "{PRIVATE.host}"
[access]
domain = "home.example"
registrar = "local"
algorithms = ["MD5"]
wrong_passwords = 0
"""


@pytest.fixture
def border() -> Iterator[Border]:
    with Border(CONFIG) as border:
        border.edge.sbc("user", "add", "alice", "--password", "secret")
        wait_until(lambda: "accounts changed: 1 now" in border.edge.log(), "the account in force")
        yield border


def phone(border: Border, password: str, answer: int, expect: str, calls: int = 1) -> Sipp:
    return Sipp(
        border.lab.public,
        "registers_here",
        PUBLIC.host,
        5060,
        target=f"{PUBLIC.edge}:5060",
        replace={"password": password, "answer": answer, "expect": expect},
        calls=calls,
        extra=["-auth_uri", "home.example", "-r", "100"],
    )


def test_a_phone_registers_and_each_of_its_credentials_is_good_once(border: Border) -> None:
    registering = phone(border, "secret", 200, "Contact: &lt;sip:alice@[0-9.:]*>;expires=90")
    registering.wait()
    wait_until(lambda: border.edge.registrations() != [], "the registration written down", timeout=8)
    overheard = re.findall(r"Authorization: Digest .*", registering.messages())
    assert len(overheard) == 2
    thief = (PUBLIC.others[0], 5060)
    with border.lab.public.udp(thief) as socket:
        socket.settimeout(5)
        for credentials in overheard:
            asked = request("REGISTER", "sip:home.example", thief, headers=(credentials.strip(),))
            asked = asked.replace(b"To: <sip:home.example>", b"To: <sip:alice@home.example>")
            socket.sendto(asked, (PUBLIC.edge, 5060))
            answer = socket.recv(65535).decode()
            assert answer.startswith("SIP/2.0 401 Unauthorized")
            assert "stale=true" in answer
    (binding,) = border.edge.registrations()
    assert binding["aor"] == "alice@home.example"
    assert PUBLIC.others[0] not in str(binding)


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "PUBLISH"])
def test_a_stranger_hears_the_same_of_a_registered_user_and_of_nobody(border: Border, method: str) -> None:
    """What is asked for, and what is answered, differ in nothing but the name, the nonce and what numbers messages."""
    phone(border, "secret", 200, "Contact:").wait()
    wait_until(lambda: border.edge.registrations() != [], "alice is registered", timeout=8)
    stranger = (PUBLIC.others[0], 5070)
    answers = []
    with border.lab.public.udp(stranger) as socket:
        socket.settimeout(5)
        for user in ("alice", "nobdy"):
            event = ("Event: presence",) if method in ("SUBSCRIBE", "PUBLISH") else ()
            asked = request(method, f"sip:{user}@home.example", stranger, headers=event)
            socket.sendto(asked, (PUBLIC.edge, 5060))
            answer = socket.recv(65535).decode()
            assert answer.startswith("SIP/2.0 407 Proxy Authentication Required")
            if method == "INVITE":
                socket.sendto(acknowledged(asked, answer), (PUBLIC.edge, 5060))
            answers.append(re.sub(r"(?m)^(Via|From|To|Call-ID): .*|nonce=\"[^\"]*\"", "", answer))
    assert answers[0] == answers[1]


def acknowledged(invite: bytes, answer: str) -> bytes:
    """The ACK of a refusal (RFC 3261 section 17.1.1.3)."""
    kept = [
        line for line in invite.decode().splitlines() if line.startswith(("Via", "From", "Call-ID", "Max-Forwards"))
    ]
    to = next(line for line in answer.splitlines() if line.startswith("To:"))
    uri = invite.decode().split()[1]
    return "\r\n".join([f"ACK {uri} SIP/2.0", *kept, to, "CSeq: 1 ACK", "Content-Length: 0", "", ""]).encode()


def test_guessing_registers_nobody_and_takes_no_more_than_its_transactions(border: Border) -> None:
    before = border.edge.memory()
    phone(border, "guessed", 401, "WWW-Authenticate: Digest", calls=1500).wait()
    assert border.edge.registrations() == []
    assert border.edge.memory() - before < 24 << 20, "3 transactions a guess, for half a minute, and nothing else"
