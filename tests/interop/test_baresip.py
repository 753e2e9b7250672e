"""baresip to baresip: each side must hear the other's tone. Measured on what was decoded."""

from __future__ import annotations

import pytest

from tests.support.baresip import Baresip, assert_heard_only, converse
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC, Lab

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip")]

ALICE, BOB = 440, 880
"""Hz of the tone that each one plays."""


def talk(alice: Baresip, bob: Baresip, uri: str) -> None:
    converse(alice, bob, uri)
    assert_heard_only(alice, BOB)
    assert_heard_only(bob, ALICE)


def test_two_phones_without_an_sbc_hear_each_other() -> None:
    with Lab(routed=True) as lab:
        alice = Baresip(lab.public, "alice", PUBLIC.host, tone=ALICE)
        bob = Baresip(lab.private, "bob", PRIVATE.host, tone=BOB, answers=True)
        talk(alice, bob, f"sip:bob@{PRIVATE.host}")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_from_the_public_side_is_heard_both_ways(border: Border, transport: str) -> None:
    alice = Baresip(border.lab.public, "alice", PUBLIC.host, tone=ALICE, transport=transport)
    bob = Baresip(border.lab.private, "bob", PRIVATE.host, tone=BOB, answers=True)
    talk(alice, bob, f"sip:bob@{PUBLIC.edge}")


def test_a_call_from_the_private_side_is_heard_both_ways(border: Border) -> None:
    alice = Baresip(border.lab.private, "alice", PRIVATE.host, tone=ALICE, proxy=f"sip:{PRIVATE.edge}")
    bob = Baresip(border.lab.public, "bob", PUBLIC.host, tone=BOB, answers=True)
    talk(alice, bob, f"sip:bob@{PUBLIC.host}")


def test_ipv6_outside_and_ipv4_inside_are_heard_both_ways(border: Border) -> None:
    alice = Baresip(border.lab.public, "alice", PUBLIC.host6, tone=ALICE)
    bob = Baresip(border.lab.private, "bob", PRIVATE.host, tone=BOB, answers=True)
    talk(alice, bob, f"sip:bob@[{PUBLIC.edge6}]")
