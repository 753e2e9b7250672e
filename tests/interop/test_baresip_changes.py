"""What phones change while they talk: hold and resume, video that comes and goes, attended transfer, also between
codecs of different payload numbers. After each change both sides must hear each other again, measured on what arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.baresip import Baresip, tone_share
from tests.support.border import PBX, ZONES, Border, calls_to, peer
from tests.support.kamailio import PHONE, start_pbx
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.tap import Ear, Tap, wait_for_no_video, wait_for_silence, wait_for_tones, wait_for_video

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip", "kamailio")]

ALICE, BOB, CAROL = 440, 880, 1320
"""Hz of the tone that each one plays."""
OPUS = "opus/48000/2"
CONFIG = f"""{ZONES}
{PBX}
{peer("gateway", PRIVATE.others[1], 'latching = "any"', 'codecs_denied = ["opus"]')}
{calls_to("gateway", "gateway")}
{calls_to("", "pbx")}
"""
"""The gateway's packets leave with the address of the PBX, which is in its namespace."""


@pytest.fixture
def outside(border: Border) -> Iterator[Tap]:
    with Tap(border.lab.public) as tap:
        yield tap


@pytest.fixture
def inside(border: Border) -> Iterator[Tap]:
    with Tap(border.lab.private) as tap:
        yield tap


def inner_phone(border: Border, pbx: str, **more: Any) -> Baresip:
    """Bob, who is the PBX, or a phone behind it."""
    if pbx == "kamailio":
        start_pbx(border)
    address, proxy = (PHONE, PRIVATE.host) if pbx == "kamailio" else (PRIVATE.host, PRIVATE.edge)
    return Baresip(border.lab.private, "bob", address, tone=BOB, answers=True, proxy=f"sip:{proxy}", **more)


@pytest.mark.parametrize("pbx", ["phone", "kamailio"])
def test_hold_and_video_from_either_side(border: Border, outside: Tap, inside: Tap, pbx: str) -> None:
    bob = inner_phone(border, pbx, video=True)
    alice = Baresip(border.lab.public, "alice", PUBLIC.host, tone=ALICE, video=True)
    ears = at_alice, at_bob = Ear(outside, alice.ports), Ear(inside, bob.ports)

    def they_talk() -> None:
        wait_for_tones((at_alice, BOB), (at_bob, ALICE))

    alice.dial(f"sip:bob@{PUBLIC.edge}")
    they_talk()
    for phone in (alice, bob):
        phone.command("video_dir", "inactive")  # m=video with port 0
        wait_for_no_video(*ears)
        they_talk()
        phone.command("hold")
        wait_for_silence(*ears)
        phone.command("resume")
        they_talk()
        phone.command("video_dir", "sendrecv")
        wait_for_video(*ears)
        they_talk()
    alice.command("hangup")
    record = border.record_where(lambda each: each["a"]["remote"].startswith(PUBLIC.host))
    assert [stream["kind"] for stream in record["streams"]] == ["audio", "video"]
    assert all(
        stream[side]["packets"] > 8 and not stream[side]["lost"] for stream in record["streams"] for side in "ab"
    )


@pytest.mark.parametrize("pbx", ["phone", "kamailio"])
def test_bob_transfers_alice_to_carol_whom_he_has_asked(border: Border, outside: Tap, inside: Tap, pbx: str) -> None:
    """Attended: he speaks to Carol first, and the REFER names that call (RFC 5589 section 7)."""
    bob = inner_phone(border, pbx)
    alice = Baresip(border.lab.public, "alice", PUBLIC.host, tone=ALICE)
    carol = Baresip(border.lab.public, "carol", PUBLIC.host, tone=CAROL, answers=True, port=5070, rtp=21000)
    at_alice, at_bob, at_carol = Ear(outside, alice.ports), Ear(inside, bob.ports), Ear(outside, carol.ports)

    alice.dial(f"sip:bob@{PUBLIC.edge}")
    wait_for_tones((at_alice, BOB), (at_bob, ALICE))
    bob.command("hold")
    wait_for_silence(at_alice)
    bob.dial(f"sip:carol@{PUBLIC.host}:5070")
    wait_for_tones((at_carol, BOB), (at_bob, CAROL))
    transfer(bob, f"sip:carol@{PUBLIC.host}:5070", inside)
    wait_for_tones((at_alice, CAROL), (at_carol, ALICE))
    carol.command("hangup")
    wait_until(lambda: "terminated (duration" in alice.log(), "the call ends for alice as well")


def test_alice_transfers_bob_to_another_phone_inside(border: Border, outside: Tap, inside: Tap) -> None:
    """Attended, from the public side: the two who are left are both private, and speak through the SBC."""
    alice = Baresip(border.lab.public, "alice", PUBLIC.host, tone=ALICE)
    bob = inner_phone(border, "phone")
    other = Baresip(border.lab.private, "gateway", PRIVATE.others[1], tone=CAROL, answers=True, rtp=21000)
    at_alice, at_bob, at_other = Ear(outside, alice.ports), Ear(inside, bob.ports), Ear(inside, other.ports)

    alice.dial(f"sip:bob@{PUBLIC.edge}")
    wait_for_tones((at_alice, BOB), (at_bob, ALICE))
    alice.command("hold")
    wait_for_silence(at_bob)
    alice.dial(f"sip:gateway@{PUBLIC.edge}")
    wait_for_tones((at_alice, CAROL), (at_other, ALICE))
    transfer(alice, f"sip:gateway@{PUBLIC.edge}", outside)
    wait_for_tones((at_bob, CAROL), (at_other, BOB))
    bob.command("hangup")
    wait_until(lambda: "terminated (duration" in other.log(), "the call ends for the other one as well")


def transfer(phone: Baresip, uri: str, tap: Tap) -> None:
    """The other one of its first call to whom it has called in its second one."""
    phone.command("line", "1")
    phone.command("transfer", f"<{uri}?Replaces={quote(dialog_of_consultation(tap, uri.partition('@')[0]))}>")


def dialog_of_consultation(tap: Tap, called: str) -> str:
    """Of the call to whom is `called`, as Replaces has it (RFC 3891 section 6.1: the tags as that side sees them)."""

    def said(message: bytes, header: str) -> str:
        found = re.search(rf"^{header}: *(.*?)\r?$", message.decode(), re.MULTILINE)
        assert found, message
        return found[1]

    answers = tap.messages(lambda data: data.startswith(b"SIP/2.0 200") and f"\nTo: <{called}@".encode() in data)
    answer = next(each for each in answers if "INVITE" in said(each, "CSeq"))
    to_tag, from_tag = (said(answer, name).rpartition("tag=")[2] for name in ("To", "From"))
    return f"{said(answer, 'Call-ID')};to-tag={to_tag};from-tag={from_tag}"


def test_two_who_know_a_codec_by_different_numbers_are_joined(border: Border, outside: Tap, inside: Tap) -> None:
    """Alice has offered Opus as her first codec; Carol has taken it as the third of Bob's."""
    alice = Baresip(border.lab.public, "alice", PUBLIC.host, tone=ALICE, codecs=OPUS)
    bob = Baresip(
        border.lab.private, "bob", PRIVATE.host, tone=BOB, answers=True, proxy=f"sip:{PRIVATE.edge}",
        codecs=f"L16/16000/1,L16/8000/1,{OPUS}",
    )  # fmt: skip
    carol = Baresip(
        border.lab.public, "carol", PUBLIC.host, tone=CAROL, answers=True, port=5070, rtp=21000, codecs=OPUS
    )
    alice.dial(f"sip:bob@{PUBLIC.edge}")
    wait_until(lambda: alice.established() and bob.established(), "the call is answered")
    bob.dial(f"sip:carol@{PUBLIC.host}:5070")
    wait_until(carol.established, "Carol answers")
    wait_for_speech(outside, alice, carol)
    transfer(bob, f"sip:carol@{PUBLIC.host}:5070", inside)
    wait_until(lambda: len(inside.messages(lambda data: data.startswith(b"BYE"))) > 1, "Bob is out of both calls")
    since = wait_for_speech(outside, alice, carol)
    assert (payload_numbers(outside, alice, since), payload_numbers(outside, carol, since)) == ({96}, {98})
    for phone, tone in ((alice, CAROL), (carol, ALICE)):
        phone.stop()
        samples, rate = phone.heard_last(0.5)
        assert tone_share(samples, rate, tone) >= 0.95


def wait_for_speech(tap: Tap, *phones: Baresip) -> int:
    """Wait until each got more than a second of it; the moment when that began."""
    since = len(tap.datagrams())
    wait_until(lambda: all(len(tap.arrived(phone.ports, since)) > 60 for phone in phones), "speech", 30)
    return since


def payload_numbers(tap: Tap, phone: Baresip, since: int = 0) -> set[int]:
    """Of the RTP that arrives at it."""
    return {each.data[1] & 127 for each in tap.arrived(phone.ports, since) if not 192 <= each.data[1] <= 223}


def test_a_codec_that_a_peer_must_not_be_offered(border: Border, outside: Tap, inside: Tap) -> None:
    both = f"{OPUS},PCMU/8000/1"
    alice = Baresip(border.lab.public, "alice", PUBLIC.host, tone=ALICE, codecs=both)
    gateway = Baresip(border.lab.private, "gateway", PRIVATE.others[1], tone=BOB, answers=True, codecs=both)
    alice.dial(f"sip:gateway@{PUBLIC.edge}")
    wait_for_tones((Ear(outside, alice.ports), BOB), (Ear(inside, gateway.ports), ALICE))
    (offer,) = inside.messages(lambda data: data.startswith(b"INVITE"))
    assert b"PCMU" in offer
    assert b"opus" not in offer
