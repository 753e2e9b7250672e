"""Media that are no telephone audio: video with its feedback, fax over UDPTL, floor control. Signalling as ladders on
the wire, and datagrams by plain sockets both ways."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from sbc.rtp import rtcp_packets
from sbc.sip import Address
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.planes import rtp
from tests.support.wire_ladder import WireLadder, wire_ladder

pytestmark = pytest.mark.needs_root

ALICE, BOB = Address(PUBLIC.host, 5060), Address(PRIVATE.host, 5060)
PATIENCE = 15.0
"""Seconds in which a datagram must come."""
CALL = """
    alice -> INVITE %s
    alice <- 100
    bob <- INVITE sdp
    bob -> 200 %s
    bob <- ACK
    alice <- 200 sdp
    alice -> ACK
"""
CHANGE = """
    alice -> INVITE %s
    alice <- 100
    bob <- INVITE sdp
    bob -> 200 %s
    bob <- ACK
    alice <- 200 sdp
    alice -> ACK
"""
CHANGE_OF_BOB = CHANGE.replace("alice", "third").replace("bob", "alice").replace("third", "bob")
END = """
    alice -> BYE
    alice <- 200 BYE
    bob <- BYE
    bob -> 200 BYE
"""


class Ports(NamedTuple):
    """Where the two take a stream."""

    alice: int
    bob: int


class Call:
    """Alice, outside, and Bob, inside, with sockets for their media at whatever port their descriptions say."""

    def __init__(self, border: Border, ladder: WireLadder, opened: ExitStack) -> None:
        self._lab, self._ladder, self._opened = border.lab, ladder, opened
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        ladder.join("alice", ALICE, f"sip:1001@{PUBLIC.edge}")
        ladder.join("bob", BOB, f"sip:1001@{PUBLIC.host}")

    def says(self, word: str, host: str, *media: str) -> None:
        """`word` in a ladder is a description by who is at `host`; each of `media` is an m-line's value and further
        lines, separated by "|"."""
        lines = ["v=0", f"o=teller 7 {len(self._ladder.bodies)} IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
        lines += [line for stream in media for line in f"m={stream}".split("|")]
        self._ladder.bodies[word] = ("application/sdp", "\r\n".join([*lines, ""]).encode())

    def play(self, text: str, *words: str) -> None:
        self._ladder.play(text % words if words else text)

    def told(self, name: str) -> list[str]:
        """The m-lines that `name` heard last, with what follows each, as `says` takes them."""
        return self._ladder.parties[name].described.decode().rstrip("\r\n").replace("\r\n", "|").split("|m=")[1:]

    def crosses(self, stream: int, ports: Ports, datagram: bytes, beside: int = 0) -> None:
        """A datagram of each comes to the other one as it is. `ports` are theirs; `beside` is 1 for RTCP, which the SBC
        takes at the port after that of the stream."""
        self.becomes("alice", stream, ports, datagram, datagram, beside)
        self.becomes("bob", stream, ports, datagram, datagram, beside)

    def becomes(self, name: str, stream: int, ports: Ports, said: bytes, heard: bytes, beside: int = 0) -> None:
        """A datagram of one comes to the other one as that."""
        self.arrives(name, stream, ports, said, lambda datagram: datagram == heard, beside)

    def arrives(
        self, name: str, stream: int, ports: Ports, said: bytes, wanted: Callable[[bytes], bool], beside: int = 0
    ) -> bytes:
        """What is wanted of what comes to the other one. It is said again until then: the answer of a description may
        be there before the worker has the flow."""
        alice, bob = self._socket("alice", ports.alice), self._socket("bob", ports.bob)
        speaker, hearer = (alice, bob) if name == "alice" else (bob, alice)
        to, until = self._place(name, stream, beside), time.monotonic() + PATIENCE
        speaker.sendto(said, to)
        while time.monotonic() < until:
            try:
                heard = hearer.recv(65535)
            except TimeoutError:
                speaker.sendto(said, to)
                continue
            if wanted(heard):  # others are of before
                return heard
        raise AssertionError(f"{said!r} of {name} did not arrive")

    def _place(self, name: str, stream: int, beside: int) -> Address:
        edge = PUBLIC.edge if name == "alice" else PRIVATE.edge
        return Address(edge, int(self.told(name)[stream].split()[1]) + beside)

    def _socket(self, name: str, port: int) -> socket.socket:
        if (name, port) not in self._sockets:
            namespace, host = (self._lab.public, ALICE.host) if name == "alice" else (self._lab.private, BOB.host)
            self._sockets[name, port] = self._opened.enter_context(namespace.udp((host, port)))
            self._sockets[name, port].settimeout(0.2)
        return self._sockets[name, port]


@pytest.fixture
def call(border: Border) -> Iterator[Call]:
    with wire_ladder(border) as ladder, ExitStack() as opened:
        yield Call(border, ladder, opened)


def audio(port: int) -> str:
    return f"audio {port} RTP/AVP 0|a=rtpmap:0 PCMU/8000"


ALICE_AUDIO, BOB_AUDIO = audio(6000), audio(6100)
AUDIO = Ports(6000, 6100)


def talk(call: Call) -> None:
    """They are in a call and hear each other."""
    call.says("alice", ALICE.host, ALICE_AUDIO)
    call.says("bob", BOB.host, BOB_AUDIO)
    call.play(CALL, "alice", "bob")
    call.crosses(0, AUDIO, rtp(1))


# -- video -------------------------------------------------------------------------------------------------------------

FEEDBACK = (
    "a=rtpmap:97 VP8/90000|a=rtpmap:98 rtx/90000|a=fmtp:98 apt=97|a=rtcp-fb:97 nack|a=rtcp-fb:97 nack pli"
    "|a=rtcp-fb:97 ccm fir|a=rtcp-fb:* ccm tmmbr smaxpr=120|a=rtcp-rsize|a=framerate:30"
)
VIDEO = Ports(6010, 6110)
SOURCE, OTHER = 0x51DE0, 0xA11CE
"""SSRCs of the video of Bob and of Alice."""


def rtcp(kind: int, count: int, *words: int, text: bytes = b"") -> bytes:
    body = struct.pack(f"!{len(words)}I", *words) + text
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def description(cname: bytes) -> bytes:
    item = b"\x01" + bytes([len(cname)]) + cname
    return rtcp(202, 1, SOURCE, text=item + bytes(4 - len(item) % 4))


REPORT = rtcp(201, 1, SOURCE, OTHER, 0x01000002, 70000, 12, 0x1234, 5)
FEEDBACK_MESSAGES = {
    "PLI": rtcp(206, 1, SOURCE, OTHER),
    "FIR": rtcp(206, 4, SOURCE, 0, OTHER, 0x07000000),
    "NACK": rtcp(205, 1, SOURCE, OTHER, 0x10FF8001),
    "TMMBR": rtcp(205, 3, SOURCE, 0, OTHER, 0x0A03E81C),
    "slices": rtcp(206, 2, SOURCE, OTHER, 0x00C8_1234),
    "REMB": rtcp(206, 15, SOURCE, 0, text=b"REMB\x01\x0b\xd0\x90\x00\x0a\x11\xce"),
}
"""RFC 4585 section 6, RFC 5104 section 4."""


def test_video_is_added_and_its_feedback_crosses(call: Call) -> None:
    talk(call)
    video = f"video %d RTP/AVPF 97 98|{FEEDBACK}|a=ssrc:%d cname:%s"
    call.says("more", ALICE.host, ALICE_AUDIO, video % (VIDEO.alice, OTHER, "alice"))
    call.says("agreed", BOB.host, BOB_AUDIO, video % (VIDEO.bob, SOURCE, f"bob@{BOB.host}"))
    call.play(CHANGE, "more", "agreed")
    for name, cname in (("alice", None), ("bob", "alice")):
        lines = call.told(name)[1].split("|")
        assert lines[0].endswith(" RTP/AVPF 97 98")
        assert "|".join(lines[1:-1]) == FEEDBACK
        assert cname is None or lines[-1] == f"a=ssrc:{OTHER} cname:{cname}"
    call.crosses(1, VIDEO, rtp(5, ssrc=OTHER, number=97, payload=b"v" * 1100))
    call.crosses(0, AUDIO, rtp(2))

    for message in FEEDBACK_MESSAGES.values():  # alone (RFC 5506), and behind a report
        call.crosses(1, Ports(VIDEO.alice + 1, VIDEO.bob + 1), message, beside=1)
    compound = REPORT + description(b"bob@" + BOB.host.encode()) + b"".join(FEEDBACK_MESSAGES.values())
    ports = Ports(VIDEO.alice + 1, VIDEO.bob + 1)
    heard = call.arrives("bob", 1, ports, compound, lambda datagram: datagram.startswith(REPORT), 1)
    said, cname = list(rtcp_packets(compound)), call.told("alice")[1].rpartition("cname:")[2].encode()
    assert [each for each in rtcp_packets(heard) if each.packet_type != 202] == said[:1] + said[2:]
    assert next(each.to_bytes() for each in rtcp_packets(heard) if each.packet_type == 202) == description(cname)

    call.says("less", ALICE.host, ALICE_AUDIO, "video 0 RTP/AVPF 97")
    call.says("refused", BOB.host, BOB_AUDIO, "video 0 RTP/AVPF 97")
    call.play(CHANGE, "less", "refused")
    call.crosses(0, AUDIO, rtp(3))
    call.play(END)


# -- fax (T.38 over UDPTL) ---------------------------------------------------------------------------------------------

T38 = (
    "a=T38FaxVersion:0|a=T38MaxBitRate:14400|a=T38FaxRateManagement:transferredTCF|a=T38FaxMaxBuffer:262"
    "|a=T38FaxMaxDatagram:176|a=T38FaxUdpEC:t38UDPRedundancy"
)
UDPTL = [
    bytes.fromhex("0000 01 06 0000"),  # t30-indicator: v21-preamble comes later; this one says no signal
    bytes.fromhex("8001 06 c0018000ff 01 01 06"),  # looks like RTP by its first byte
    bytes.fromhex("16fe 02 00 00"),  # and like DTLS
]


def test_a_call_becomes_a_fax_on_its_ports_and_a_call_again(call: Call) -> None:
    """The m-line of the audio becomes that of the fax (ITU-T T.38 annex D)."""
    talk(call)
    call.says("fax", BOB.host, f"image {AUDIO.bob} udptl t38|{T38}")
    call.says("agreed", ALICE.host, f"image {AUDIO.alice} udptl t38|{T38}")
    ports = [line.split()[1] for name in ("alice", "bob") for line in call.told(name)]
    call.play(CHANGE_OF_BOB, "fax", "agreed")
    assert [line.split()[1] for name in ("alice", "bob") for line in call.told(name)] == ports
    for name in ("alice", "bob"):
        assert call.told(name)[0].partition("|")[2] == T38
    for datagram in UDPTL:
        call.crosses(0, AUDIO, datagram)
    call.play(CHANGE_OF_BOB, "bob", "alice")
    call.crosses(0, AUDIO, rtp(9))
    call.play(END)


def test_a_refused_fax_leaves_the_audio_alone(call: Call) -> None:
    talk(call)
    call.says("fax", BOB.host, f"image {AUDIO.bob} udptl t38|{T38}")
    call.play(
        """
        bob -> INVITE fax
        bob <- 100
        alice <- INVITE sdp
        alice -> 488
        alice <- ACK
        bob <- 488
        bob -> ACK
    """
    )
    call.crosses(0, AUDIO, rtp(2))
    call.play(END)


def test_a_fax_beside_the_audio_that_rests_and_comes_back(call: Call) -> None:
    """The audio has port 0 while the fax is sent, and the fax afterwards (RFC 3264 section 8.2)."""
    talk(call)
    fax = Ports(6020, 6120)
    silent, still = "audio 0 RTP/AVP 0", f"image 0 udptl t38|{T38}"
    call.says("fax", BOB.host, silent, f"image {fax.bob} udptl t38|{T38}")
    call.says("agreed", ALICE.host, silent, f"image {fax.alice} udptl t38|{T38}")
    call.play(CHANGE_OF_BOB, "fax", "agreed")
    assert all(call.told(name)[0].startswith("audio 0 ") for name in ("alice", "bob"))
    for datagram in UDPTL:
        call.crosses(1, fax, datagram)
    call.says("voice", BOB.host, BOB_AUDIO, still)
    call.says("heard", ALICE.host, ALICE_AUDIO, still)
    call.play(CHANGE_OF_BOB, "voice", "heard")
    assert all(call.told(name)[1].startswith("image 0 ") for name in ("alice", "bob"))
    call.crosses(0, AUDIO, rtp(9))
    call.play(END)


# -- floor control (BFCP over UDP) -------------------------------------------------------------------------------------


def test_floor_control_over_udp_passes(call: Call) -> None:
    """RFC 8856: with the video that it is about, and with `setup` and `connection`, as conference systems say it."""
    talk(call)
    floor, slides = Ports(6030, 6130), "a=rtpmap:97 H264/90000|a=content:slides|a=label:10"
    offered = "a=floorctrl:c-only|a=setup:actpass|a=connection:new|a=bfcpver:2"
    answered = "a=floorctrl:s-only|a=setup:passive|a=connection:new|a=confid:4321|a=userid:1234|a=floorid:1 mstrm:10"
    call.says(
        "more", ALICE.host, ALICE_AUDIO, f"application {floor.alice} UDP/BFCP *|{offered}",
        f"video {VIDEO.alice} RTP/AVP 97|{slides}|a=sendonly",
    )  # fmt: skip
    call.says(
        "agreed", BOB.host, BOB_AUDIO, f"application {floor.bob} UDP/BFCP *|{answered}",
        f"video {VIDEO.bob} RTP/AVP 97|{slides}|a=recvonly",
    )  # fmt: skip
    call.play(CHANGE, "more", "agreed")
    for name, said in (("alice", answered), ("bob", offered)):
        line, _, attributes = call.told(name)[1].partition("|")
        assert line.endswith(" UDP/BFCP *")
        assert attributes == said
        assert call.told(name)[2].split("|")[1:4] == slides.split("|")
    hello = struct.pack("!BBHIHH", 2 << 5, 11, 0, 4321, 1, 1234)  # RFC 8855 section 5.1
    call.crosses(1, floor, hello)
    call.crosses(0, AUDIO, rtp(2))
    call.play(END)


# -- payload numbers ---------------------------------------------------------------------------------------------------


def test_numbers_of_an_answerer_that_has_its_own_are_changed_in_the_packets(call: Call) -> None:
    """RFC 3264 section 6.1 would have it take those of the offer; not everybody does."""
    spoken = "a=rtpmap:{0} opus/48000/2|a=fmtp:{0} useinbandfec=1; stereo=0|a=rtpmap:{1} telephone-event/8000"
    spoken += "|a=fmtp:{1} 0-15|a=ptime:40|a=maxptime:60"
    call.says("alice", ALICE.host, f"audio {AUDIO.alice} RTP/AVP 96 97|{spoken.format(96, 97)}")
    call.says("bob", BOB.host, f"audio {AUDIO.bob} RTP/AVP 111 101|{spoken.format(111, 101)}")
    call.play(CALL, "alice", "bob")
    assert call.told("alice")[0].partition(" RTP/AVP ")[2] == f"96 97|{spoken.format(96, 97)}"
    assert call.told("bob")[0].partition(" RTP/AVP ")[2] == f"96 97|{spoken.format(96, 97)}"
    for number, his in ((96, 111), (97, 101), (96 | 128, 111 | 128)):
        call.becomes("alice", 0, AUDIO, rtp(1, number=number), rtp(1, number=his))
        call.becomes("bob", 0, AUDIO, rtp(1, number=his), rtp(1, number=number))
        call.becomes("bob", 0, AUDIO, rtp(1, number=number), rtp(1, number=number))  # as he was told
    call.play(END)
