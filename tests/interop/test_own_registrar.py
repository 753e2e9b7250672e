"""baresip registers with digest at the SBC as registrar, and calls another one that does: on the same side, on the
other one, and by its GRUU. Measured on what was decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.baresip import Baresip, assert_heard_only, converse
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC, Namespace, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip")]

CONFIG = f"""
[zones.public]
address = "{PUBLIC.edge}"
[zones.private]
address = "{PRIVATE.edge}"
open = true
[access]
domain = "home.example"
registrar = "local"
algorithms = ["MD5"]  # baresip 1.0.0 gives up where another one is offered as well
zone = "public"
"""
ALICE, BOB = 440, 880
"""Hz of the tone that each one plays."""


@pytest.fixture(scope="module")
def passwords() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def border(passwords: dict[str, str]) -> Iterator[Border]:
    with Border(CONFIG) as border:
        for user in ("alice", "bob"):
            match = re.search(r"password +(\w+)", border.edge.sbc("user", "add", user))
            assert match is not None
            passwords[user] = match[1]
        wait_until(lambda: "accounts changed: 2 now" in border.edge.log(), "both accounts in force")
        yield border


def phone(
    namespace: Namespace, user: str, address: str, proxy: str, password: str, tone: int, port: int, flows: bool = False
) -> Baresip:
    """A registered one."""
    made = Baresip(
        namespace, user, address, tone=tone, answers=user == "bob", port=port, rtp=20000 + port, domain="home.example",
        password=password, proxy=f"sip:{proxy}", numbers_flows=flows,
    )  # fmt: skip
    wait_until(made.registered, f"{user} is registered", 10)
    return made


def talk(alice: Baresip, bob: Baresip, uri: str = "sip:bob@home.example") -> None:
    """Each must have heard the other and nothing else."""
    converse(alice, bob, uri)
    assert_heard_only(alice, BOB)
    assert_heard_only(bob, ALICE)


def test_two_phones_outside_call_each_other(border: Border, passwords: dict[str, str]) -> None:
    outside = border.lab.public
    alice = phone(outside, "alice", PUBLIC.host, PUBLIC.edge, passwords["alice"], ALICE, 5060)
    bob = phone(outside, "bob", PUBLIC.host, PUBLIC.edge, passwords["bob"], BOB, 5070)
    talk(alice, bob)


def test_a_phone_outside_calls_one_inside_and_learns_nothing_of_it(border: Border, passwords: dict[str, str]) -> None:
    """What the phone outside receives is searched for what the one inside says (`nothing_private_shows`)."""
    alice = phone(border.lab.public, "alice", PUBLIC.host, PUBLIC.edge, passwords["alice"], ALICE, 5080)
    bob = phone(border.lab.private, "bob", PRIVATE.host, PRIVATE.edge, passwords["bob"], BOB, 5060)
    talk(alice, bob)


def test_a_gruu_rings_the_one_phone_that_it_was_given_to(border: Border, passwords: dict[str, str]) -> None:
    """Bob has two, alike but for their instance; both number their flows and would answer."""
    outside = border.lab.public
    alice = phone(outside, "alice", PUBLIC.host, PUBLIC.edge, passwords["alice"], ALICE, 5100)
    wanted = phone(outside, "bob", PUBLIC.host, PUBLIC.edge, passwords["bob"], BOB, 5110, True)
    wait_until(lambda: len(gruus(border)) == 1, "bob's GRUU")
    (gruu,) = gruus(border)
    other = phone(outside, "bob", PUBLIC.others[0], PUBLIC.edge, passwords["bob"], BOB, 5120, True)
    wait_until(lambda: len(gruus(border)) == 2, "another GRUU")
    talk(alice, wanted, gruu)
    assert other.calls() == 0
    other.stop()


def gruus(border: Border) -> set[str]:
    """Those that phones of Bob have been given."""
    told = (str(flow["shown"]) for flow in border.edge.registrations("bob"))
    return {found[1] for found in map(re.compile(r'pub-gruu="([^"]*)"').search, told) if found}


def test_a_wrong_password_registers_nobody(border: Border, passwords: dict[str, str]) -> None:
    thief = Baresip(
        border.lab.public, "alice", PUBLIC.host, tone=ALICE, port=5090, domain="home.example", password="guessed",
        proxy=f"sip:{PUBLIC.edge}",
    )  # fmt: skip
    wait_until(lambda: "403 Too Many Wrong Passwords" in thief.log(), "it has tried it until nobody listens", 10)
    assert not thief.registered()
    thief.stop()
