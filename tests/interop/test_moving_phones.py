"""Phones whose address changes in a call: baresip behind a router that dials in anew, against Kamailio; and thieves.

The router shows another address from one packet to the next, and what it knew is gone. The phone notices nothing.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import remote_phones
from tests.support.baresip import Baresip
from tests.support.border import Border
from tests.support.kamailio import Kamailio
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.nat import PHONES, SYMMETRIC, Home
from tests.support.raw import header_lines, offer, request, status
from tests.support.tap import Ear, Tap, wait_for_silence, wait_for_tones

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip", "kamailio", "kamcmd", "nft")]

ALICE, DESK = 440, 1320
"""Hz of the tone that each one plays."""
BEFORE, AFTER = PUBLIC.others[1], PUBLIC.others[0]
"""Addresses of the router."""
REFRESH = 30
"""Seconds after which the phone registers again, at the latest."""
CONFIG = (
    remote_phones.configuration(PUBLIC.edge, PRIVATE.edge, PRIVATE.host)
    + f"expires_udp = {REFRESH}\nexpires_stream = {REFRESH}\n"
)
_REGISTRAR = Path(__file__).parent / "kamailio_registrar.cfg"
_IN_DIALOG = "\tif (has_totag()) {\n"
_CHALLENGES = """\tif (has_totag() && is_method("INVITE|UPDATE") && src_ip == @BORDER@) {
\t\tif (!is_present_hf("Proxy-Authorization") || !pv_proxy_authenticate("example.com", "$sht(users=>$au)", "0")) {
\t\t\tproxy_challenge("example.com", "1");
\t\t\texit;
\t\t}
\t}
"""


class Talk:
    """Alice at home talks to the desk, and both are listened to."""

    def __init__(self, border: Border, home: Home, transport: str) -> None:
        self.border = border
        self.taps = Tap(home.phones), Tap(border.lab.private), Tap(border.lab.public)
        self.alice = Baresip(
            home.phones, "alice", PHONES[0], tone=ALICE, answers=True, port=5062, transport=transport,
            proxy=f"sip:{PUBLIC.edge};transport={transport}", domain="example.com", password="wonderland-1",
            numbers_flows=transport == "tcp",
        )  # fmt: skip
        wait_until(self.alice.registered, "alice is registered", 30)
        self.desk = Baresip(border.lab.private, "desk", PRIVATE.others[0], tone=DESK, proxy=f"sip:{PRIVATE.host}")
        self.ears = Ear(self.taps[0], self.alice.ports), Ear(self.taps[1], self.desk.ports)
        self.desk.dial(f"sip:alice@{PRIVATE.host}")
        wait_until(lambda: self.desk.calls() == self.alice.calls() == 1, "the call is answered", 30)
        self.both_hear()

    def close(self) -> None:
        for tap in self.taps:
            tap.close()

    def both_hear(self) -> None:
        wait_for_tones((self.ears[0], DESK), (self.ears[1], ALICE))

    def end(self) -> str:
        """Hang up inside, which reaches the phone; what the SBC says about the call."""
        self.desk.command("hangup")
        wait_until(lambda: "session closed" in self.alice.log(), "the call ends for the phone as well", 20)
        return self.border.edge.sbc("explain", "last")

    def place(self) -> str:
        """Where the phone is registered, if anywhere."""
        return str(self.border.edge.registrations("alice"))


@pytest.fixture
def border() -> Iterator[Border]:
    """One for each test: nobody else is registered."""
    with Border(CONFIG) as border:
        yield border


@pytest.fixture
def home(border: Border) -> Iterator[Home]:
    with Home(border.lab, SYMMETRIC, public=BEFORE) as home:
        yield home


@pytest.fixture
def pbx(border: Border) -> Kamailio:
    return Kamailio(border.lab, "kamailio_registrar.cfg")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_call_and_audio_follow_the_phone_once_it_has_registered_from_its_new_address(
    border: Border, pbx: Kamailio, home: Home, transport: str
) -> None:
    with closing(Talk(border, home, transport)) as talk:
        assert BEFORE in talk.place()
        home.move(AFTER)
        wait_for_silence(*talk.ears)
        if transport == "tcp":  # what it notices at its next refresh; it comes again half a minute later
            home.phones.run(["ss", "-K", "dst", PUBLIC.edge], stderr=subprocess.DEVNULL)
        wait_until(lambda: AFTER in talk.place(), "the phone registers from its new address", 3 * REFRESH, 0.2)
        talk.both_hear()
        told = talk.end()
        assert f"is at {AFTER} " in told
        assert "latched" in told


def test_a_re_invite_by_digest_from_the_new_address_brings_the_call_along_before_the_phone_has_registered_there(
    border: Border, home: Home
) -> None:
    """This PBX challenges in dialogs, too."""
    text = _REGISTRAR.read_text().replace(_IN_DIALOG, _CHALLENGES + _IN_DIALOG, 1)
    config = border.lab.private.directory() / "challenges.cfg"
    config.write_text(text)
    Kamailio(border.lab, config)
    with closing(Talk(border, home, "udp")) as talk:
        home.move(AFTER)
        wait_for_silence(*talk.ears)
        talk.alice.command("reinvite")
        talk.both_hear()
        assert BEFORE in talk.place(), "it has not registered from there"
        assert f"is at {AFTER} " in talk.end()


def test_who_has_seen_the_dialog_but_has_no_password_moves_nothing(border: Border, pbx: Kamailio, home: Home) -> None:
    with closing(Talk(border, home, "udp")) as talk:
        messages = talk.taps[2].messages
        (invite, *_) = messages(lambda data: data.startswith(b"INVITE sip:"))
        (answer, *_) = messages(lambda data: status(data) == 200 and b"CSeq: %d INVITE" % _cseq(invite) in data)
        with border.lab.public.udp((PUBLIC.host, 5077)) as thief, border.lab.public.udp((PUBLIC.host, 4000)) as media:
            thief.settimeout(5)
            registers = request("REGISTER", "sip:example.com", (PUBLIC.host, 5077))
            assert _answer_to(thief, registers.replace(b"To: <sip:", b"To: <sip:alice@")) == 401
            for method, body in (("INVITE", offer(PUBLIC.host, 4000)), ("UPDATE", b""), ("INFO", b""), ("REFER", b"")):
                assert _answer_to(thief, _stolen(method, invite, answer, body)) == 500
            for sequence in range(50):
                packet = b"\x80\x00" + sequence.to_bytes(2, "big") + bytes(8) + b"\x55" * 160
                for port in _media_ports(invite):
                    media.sendto(packet, (PUBLIC.edge, port))
            talk.both_hear()
            media.setblocking(False)
            with pytest.raises(BlockingIOError):
                media.recv(2048)
        told = talk.end()
        assert "leg moved" not in told
        assert "dropped" in told, "the SBC tells of packets from elsewhere"


def _cseq(message: bytes) -> int:
    (line,) = header_lines(message, "cseq")
    return int(line.split()[1])


def _media_ports(message: bytes) -> list[int]:
    """Where `message` wants media."""
    lines = message.partition(b"\r\n\r\n")[2].split(b"\r\n")
    return [int(line.split()[1]) for line in lines if line.startswith(b"m=")]


def _answer_to(thief: socket.socket, message: bytes) -> int:
    """The final status that `message` gets."""
    thief.sendto(message, (PUBLIC.edge, 5060))
    while status(answer := thief.recv(65535)) < 200:
        pass
    if message.startswith(b"INVITE "):
        ack = message.replace(b"INVITE", b"ACK").partition(b"Content-Type")[0].partition(b"Content-Length")[0]
        thief.sendto(ack + b"Content-Length: 0\r\n\r\n", (PUBLIC.edge, 5060))
    return status(answer)


_numbers = iter(range(1000, 2000))


def _stolen(method: str, invite: bytes, answer: bytes, body: bytes) -> bytes:
    """A request of the phone, which has answered `invite`, in its dialog: as the thief would write it."""
    number = next(_numbers)
    (contact,) = header_lines(invite, "contact", "m")
    (theirs,), (own,), (call_id,) = (header_lines(answer, name) for name in ("from", "to", "call-id"))
    lines = [
        b"%s %s SIP/2.0" % (method.encode(), contact.split(b"<")[1].split(b">")[0]),
        f"Via: SIP/2.0/UDP {PUBLIC.host}:5077;branch=z9hG4bKthief{number};rport".encode(),
        b"From:" + own.partition(b":")[2],
        b"To:" + theirs.partition(b":")[2],
        call_id,
        f"CSeq: {number} {method}".encode(),
        f"Contact: <sip:alice@{PUBLIC.host}:5077>".encode(),
        b"Max-Forwards: 70",
        *([b"Refer-To: <sip:toll@example.com>"] if method == "REFER" else []),
        *([b"Content-Type: application/sdp"] if body else []),
        b"Content-Length: %d" % len(body),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
