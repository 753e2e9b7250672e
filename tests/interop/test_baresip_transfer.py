"""baresip transfers baresip: passed on by the SBC, and done by it. Measured on what was heard afterwards."""

from __future__ import annotations

import time

import pytest

from tests.support.baresip import Baresip, tone_share
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip")]

TALK = 2.0
ALICE, BOB, CAROL = 440, 880, 1320
"""Hz of the tone that each one plays."""
CONFIG = f"""
[zones.public]
address = "{PUBLIC.edge}"
refer = "%s"
[zones.private]
address = "{PRIVATE.edge}"
refer = "%s"
[peers.bob]
zone = "private"
address = "{PRIVATE.host}"
refer = "%s"
[peers.carol]  # in one namespace with bob: her packets leave with his address
latching = "any"
zone = "private"
address = "{PRIVATE.others[0]}"
refer = "%s"
[[routes]]
from = "public"
number = "carol"
to = ["carol"]
[[routes]]
from = "public"
to = ["bob"]
"""


@pytest.mark.parametrize("refer", ["auto", "end"])
def test_whom_alice_called_transfers_her_to_somebody_else(refer: str) -> None:
    with Border(CONFIG % ((refer,) * 4)) as border:
        transfer(border)
        assert border.leaks() == []
        trails = [border.edge.sbc("explain", call["id"]) for call in border.edge.calls()]
        assert any("transfer done here" in trail for trail in trails) is (refer == "end"), trails


def transfer(border: Border) -> None:
    lab = border.lab
    alice = Baresip(lab.public, "alice", PUBLIC.host, tone=ALICE)
    bob = Baresip(lab.private, "bob", PRIVATE.host, tone=BOB, answers=True)
    carol = Baresip(lab.private, "carol", PRIVATE.others[0], tone=CAROL, answers=True, proxy=f"sip:{PRIVATE.edge}")
    alice.dial(f"sip:bob@{PUBLIC.edge}")
    wait_until(lambda: alice.established() and bob.established(), "the call is answered")
    time.sleep(1)
    bob.command("transfer", f"sip:carol@{PRIVATE.others[0]}")
    wait_until(carol.established, "carol is called")
    time.sleep(TALK + 1)
    carol.command("hangup")
    wait_until(lambda: alice.log().count("terminated (duration") > 0, "the call ends for alice as well")
    for phone in (alice, bob, carol):
        phone.stop()
    for phone, tone in ((alice, CAROL), (carol, ALICE)):
        samples, rate = phone.heard_last(TALK)
        assert tone_share(samples, rate, tone) >= 0.95
