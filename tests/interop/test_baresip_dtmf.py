"""Digits of baresip, which sends telephone-events (RFC 4733) and understands those and INFO (dtmf-relay)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.baresip import Baresip
from tests.support.border import PLAIN, Border
from tests.support.lab import PRIVATE, PUBLIC, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip")]


HEARD = {"auto": "received event: '{}' (end=1)", "info": "received DTMF: '{}'"}
"""What baresip writes when it has heard a digit as a telephone-event, or by INFO."""


@pytest.fixture(scope="module", params=HEARD)
def border(request: pytest.FixtureRequest) -> Iterator[Border]:
    """The parameter says how the private side gets digits."""
    with Border(f'{PLAIN}dtmf = "{request.param}"\n') as border:
        yield border


@pytest.fixture
def heard(request: pytest.FixtureRequest) -> str:
    return HEARD[request.node.callspec.params["border"]]


@pytest.mark.parametrize("caller", ["alice", "bob"])
def test_digits_pressed_outside_are_heard_inside(border: Border, heard: str, caller: str) -> None:
    alice = Baresip(border.lab.public, "alice", PUBLIC.host, tone=440, answers=caller == "bob")
    bob = Baresip(
        border.lab.private, "bob", PRIVATE.host, tone=880, answers=caller == "alice", proxy=f"sip:{PRIVATE.edge}"
    )
    if caller == "alice":
        alice.dial(f"sip:bob@{PUBLIC.edge}")
    else:
        bob.dial(f"sip:alice@{PUBLIC.host}")
    wait_until(lambda: alice.established() and bob.established(), "the call is answered")
    for digit in "7#":
        alice.command("sndcode", digit)
        told = heard.format(digit)
        wait_until(lambda told=told: told in bob.log(), told)
    alice.command("hangup")
    wait_until(lambda: "session closed" in bob.log(), "the call ends for bob as well")
    for phone in (alice, bob):
        phone.stop()
