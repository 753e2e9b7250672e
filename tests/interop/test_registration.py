"""Remote phones: baresip behind each type of NAT, registered through the SBC with Kamailio, which knows nothing of NAT.

Each is called when its NAT would have forgotten it, and heard both ways. Measured on what was decoded.
"""

from __future__ import annotations

import re
import time
from contextlib import closing

import pytest

from tests.support import remote_phones
from tests.support.baresip import TALK, Baresip, assert_heard, converse, tone_share
from tests.support.border import Border
from tests.support.capture import Capture, Frame
from tests.support.kamailio import Kamailio
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.leaks import Token, address_tokens, find_leaks, sightings
from tests.support.nat import KINDS, PHONES, PORT_RESTRICTED, SYMMETRIC, Home, Kind

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip", "kamailio", "kamcmd", "nft")]

ALICE, BOB, DESK = 440, 880, 1320
"""Hz of the tone that each one plays."""
FORGETS = 5
"""Seconds of silence after which the NATs forget a mapping."""
CONFIG = remote_phones.configuration(PUBLIC.edge, PRIVATE.edge, PRIVATE.host) + "keepalive_interval = 2\n"
"""As the page on remote phones says; these NATs forget sooner than any that one meets."""


@pytest.fixture
def pbx(border: Border) -> Kamailio:
    return Kamailio(border.lab, "kamailio_registrar.cfg")


def remote(
    home: Home,
    user: str,
    tone: int,
    number: int = 0,
    transport: str = "udp",
    answers: bool = True,
    numbers_flows: bool = False,
) -> Baresip:
    """A phone at home, set up as its owner would: account, password, and the SBC as outbound proxy."""
    passwords = {"alice": "wonderland-1", "bob": "builder-2"}
    phone = Baresip(
        home.phones, user, PHONES[number], tone=tone, answers=answers, port=5062 + 2 * number, rtp=20000 + 200 * number,
        transport=transport, proxy=f"sip:{PUBLIC.edge};transport={transport}",
        domain="example.com", password=passwords[user], numbers_flows=numbers_flows,
    )  # fmt: skip
    wait_until(phone.registered, f"{user} is registered")
    return phone


def desk(border: Border) -> Baresip:
    """A phone of the PBX's own network."""
    return Baresip(border.lab.private, "desk", PRIVATE.others[0], tone=DESK, proxy=f"sip:{PRIVATE.host}")


def they_hear_each_other(calling: Baresip, called: Baresip, uri: str, tones: tuple[int, int]) -> None:
    converse(calling, called, uri)
    assert_heard(calling, tones[1])
    assert_heard(called, tones[0])


def assert_only_we_are_known(pbx: Kamailio, *users: str) -> None:
    """One contact for each device, at the SBC; no phone's address, nor that of its NAT."""
    contacts = pbx.contacts()
    assert contacts.keys() == set(users)
    for found in contacts.values():
        (contact,) = found
        assert re.fullmatch(rf"sip:[0-9a-f]{{24}}@{re.escape(PRIVATE.edge)}:5060", contact)
    assert not re.search(r"192\.168\.|203\.0\.113\.", pbx.dump())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_phone_is_called_when_its_nat_would_have_forgotten_it(border: Border, pbx: Kamailio, kind: Kind) -> None:
    with (
        Home(border.lab, kind, timeout=FORGETS) as home,
        closing(Capture(home.phones)) as at_phone,
        closing(Capture(border.lab.private)) as at_pbx,
    ):
        alice = remote(home, "alice", ALICE)
        assert_only_we_are_known(pbx, "alice")
        assert sightings(at_pbx.take(), address_tokens((*PHONES, home.public))) == []
        office = desk(border)
        time.sleep(FORGETS + 1.5)
        they_hear_each_other(office, alice, f"sip:alice@{PRIVATE.host}", (DESK, ALICE))

        secrets = address_tokens(PRIVATE.addresses()) | {Token("name", b"pbx.home.example")}
        assert find_leaks(at_phone.take(), secrets) == []


def test_a_phone_that_its_nat_has_forgotten_is_not_reached(border: Border, pbx: Kamailio) -> None:
    """What the keep-alives are good for. Ours do not come again before the call does."""
    with Home(border.lab, SYMMETRIC) as home, closing(Capture(home.phones)) as at_phone:
        remote(home, "alice", ALICE)
        home.forget()
        with closing(Capture(border.lab.public)) as outside:
            desk(border).dial(f"sip:alice@{PRIVATE.host}")
            sent: list[Frame] = []

            def invited_twice() -> bool:
                sent.extend(outside.take())
                return sum(b"INVITE sip:" in frame.data for frame in sent) >= 2

            wait_until(invited_twice, "the SBC calls where the phone was, and again")
        assert not any(b"INVITE sip:" in frame.data for frame in at_phone.take())


def test_two_phones_behind_one_nat_call_each_other_through_the_pbx(border: Border, pbx: Kamailio) -> None:
    with Home(border.lab, PORT_RESTRICTED, timeout=FORGETS) as home:
        alice = remote(home, "alice", ALICE)
        bob = remote(home, "bob", BOB, 1)
        assert_only_we_are_known(pbx, "alice", "bob")
        seen = re.compile(rf"bob@example\.com +{home.public}:\d+/UDP .* yes ")
        wait_until(lambda: seen.search(border.edge.sbc("registrations")) is not None, "the operator sees bob")
        time.sleep(FORGETS + 1.5)
        they_hear_each_other(alice, bob, "sip:bob@example.com", (ALICE, BOB))


def test_a_phone_is_called_over_the_connection_that_it_registered_on(border: Border, pbx: Kamailio) -> None:
    with Home(border.lab, SYMMETRIC, timeout=FORGETS) as home:
        alice = remote(home, "alice", ALICE, transport="tcp")
        assert_only_we_are_known(pbx, "alice")
        they_hear_each_other(desk(border), alice, f"sip:alice@{PRIVATE.host}", (DESK, ALICE))


def test_all_phones_of_a_user_ring_and_who_answers_has_the_call(border: Border, pbx: Kamailio) -> None:
    """The PBX forks: two INVITEs that differ in their Request-URI only."""
    with Home(border.lab, PORT_RESTRICTED, timeout=FORGETS) as home:
        phones = [remote(home, "alice", ALICE, number, answers=False) for number in (0, 1)]
        office = desk(border)
        office.dial(f"sip:alice@{PRIVATE.host}")
        wait_until(lambda: all("Incoming call" in phone.log() for phone in phones), "both ring")
        phones[1].command("accept")
        wait_until(lambda: office.calls() == phones[1].calls() == 1, "the call is answered")
        wait_until(lambda: "session closed" in phones[0].log(), "the other one stops ringing")
        time.sleep(TALK)
        office.command("hangup")
        wait_until(lambda: "terminated (duration" in phones[1].log(), "it ends for the phone as well")
        assert phones[0].calls() == 0
        for phone, tone in ((office, ALICE), (phones[1], DESK)):
            phone.stop()
            assert tone_share(*phone.heard_last(TALK), tone) >= 0.95


def test_a_gruu_that_kamailio_has_given_reaches_that_phone_from_outside_and_from_inside(
    border: Border, pbx: Kamailio
) -> None:
    """Two phones of one user, both of which would answer at once; they are told of them by the SBC."""
    with Home(border.lab, PORT_RESTRICTED, timeout=FORGETS) as home:
        first = remote(home, "alice", ALICE, numbers_flows=True)
        wait_until(lambda: len(gruus(border)) == 1, "the first one's is known")
        (of_first,) = gruus(border)
        second = remote(home, "alice", BOB, 1, numbers_flows=True)
        wait_until(lambda: len(gruus(border)) == 2, "the second one's is known")
        (of_second,) = gruus(border) - {of_first}
        assert re.fullmatch(r"sip:alice@example\.com;gr=urn:uuid:[0-9a-f-]{36}", of_second)
        talk(first, second, of_second)
        for called, other, gruu in ((first, second, of_first), (second, first, of_second)):
            before = other.calls()
            office = desk(border)
            talk(office, called, gruu.replace("example.com", PRIVATE.host))
            office.stop()
            assert other.calls() == before


def talk(calling: Baresip, called: Baresip, uri: str) -> None:
    """One calls the other, and hangs up when it has answered."""
    before, ended = called.calls(), called.log().count("session closed")
    calling.dial(uri)
    wait_until(lambda: calling.calls() > 0 and called.calls() == before + 1, f"{uri} answers")
    calling.command("hangup")
    wait_until(lambda: called.log().count("session closed") == ended + 1, "the call ends for it as well")


def gruus(border: Border) -> set[str]:
    """Those that phones of Alice were told."""
    told = (str(flow["shown"]) for flow in border.edge.registrations("alice"))
    return {found[1] for found in map(re.compile(r'pub-gruu="([^"]*)"').search, told) if found}
