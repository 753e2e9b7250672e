"""The PBX goes away: remote phones stay registered, call each other and reach help; afterwards they call through it.

Kamailio with digest, and its registrations in memory; two baresips behind one NAT, which measure what they hear.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support import remote_phones
from tests.support.baresip import Baresip, assert_heard, converse
from tests.support.border import Border
from tests.support.capture import Capture, Frame
from tests.support.kamailio import Kamailio
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.nat import PHONES, PORT_RESTRICTED, Home

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip", "kamailio", "kamcmd", "nft")]

ALICE, BOB, HELP = 440, 880, 1320
"""Hz of the tone that each one plays."""
CONFIG = f"""{remote_phones.configuration(PUBLIC.edge, PRIVATE.edge, PRIVATE.host)}
watch = 2
expires_udp = 30
expires_inside = 60
[peers.help]
zone = "private"
address = "{PRIVATE.others[1]}"
latching = "any"
[calls]
emergency = ["112"]
[[routes]]
from = "public"
to = ["pbx"]
[[routes]]
emergency = true
to = ["pbx", "help"]
"""
"""As the page on remote phones says, with a second way for emergency calls. The PBX grants a minute."""


@pytest.fixture
def border() -> Iterator[Border]:
    with Border(CONFIG) as border:
        yield border


def remote(home: Home, user: str, password: str, tone: int, number: int) -> Baresip:
    phone = Baresip(
        home.phones, user, PHONES[number], tone=tone, answers=True, port=5062 + 2 * number, rtp=20000 + 200 * number,
        proxy=f"sip:{PUBLIC.edge}", domain="example.com", password=password,
    )  # fmt: skip
    wait_until(phone.registered, f"{user} is registered")
    return phone


def answers_us(frame: Frame) -> bool:
    data = frame.data
    return b"SIP/2.0 200" in data and b"OPTIONS" in data and b"From: <sip:%b:5060>" % PRIVATE.edge.encode() in data


def granted_until(border: Border) -> float:
    """Until when the PBX has granted what is registered, in seconds since the epoch; after that it is our word only."""
    return max(float(each["checked"]) + float(each["inside_granted"]) for each in border.edge.registrations())


def test_phones_do_without_the_pbx_and_return_to_it(border: Border) -> None:
    with closing(Capture(border.lab.private)) as at_pbx:
        pbx = Kamailio(border.lab, "kamailio_registrar.cfg")
        wait_until(lambda: any(map(answers_us, at_pbx.take())), "it answers the SBC")
    with Home(border.lab, PORT_RESTRICTED) as home:
        alice = remote(home, "alice", "wonderland-1", ALICE, 0)
        bob = remote(home, "bob", "builder-2", BOB, 1)
        helper = Baresip(border.lab.private, "112", PRIVATE.others[1], tone=HELP, answers=True)
        wait_until(lambda: len(border.edge.registrations()) == 2, "both are written down", step=0.2)

        pbx.stop()
        wait_until(lambda: "peer pbx does not answer" in border.edge.log(), "its silence is noticed", 30, 0.2)
        granted = granted_until(border)
        wait_until(lambda: time.time() > granted + 1, "what it has granted is over", 90, 0.2)
        assert {each["aor"] for each in border.edge.registrations()} == {"alice@example.com", "bob@example.com"}
        assert granted_until(border) == granted
        converse(alice, bob, "sip:bob@example.com")
        converse(alice, helper, "sip:112@example.com")

        pbx = Kamailio(border.lab, "kamailio_registrar.cfg")
        wait_until(lambda: "peer pbx answers again" in border.edge.log(), "its return is noticed", 30, 0.2)
        wait_until(lambda: pbx.contacts().keys() == {"alice", "bob"}, "it knows both again", 60, 0.2)
        converse(alice, bob, "sip:bob@example.com")

        assert_heard(alice, BOB, HELP, BOB)
        assert_heard(bob, ALICE, ALICE)
        assert_heard(helper, ALICE)
    direct, emergency, *through = reversed(
        [record for record in border.records(5) if record["status"] == 200 or record["cause"]]
    )
    assert (direct["status"], direct["b"]["zone"], direct["b"]["peer"]) == (200, "public", "")
    assert (emergency["status"], emergency["b"]["peer"]) == (200, "help")
    assert [record["b"]["peer"] for record in through if record["a"]["zone"] == "public"][-1] == "pbx"
