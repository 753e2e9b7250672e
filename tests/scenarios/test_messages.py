"""MSRP sessions (RFC 4975) through a real SBC: signalling as ladders on the wire, messages by plain TCP both ways, and
the search for private tokens."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sbc.sip import Address
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.msrp import PATIENCE, Message, Speaker, accepted, ok, send
from tests.support.wire_ladder import WireLadder, wire_ladder

pytestmark = pytest.mark.needs_root

ALICE, BOB = Address(PUBLIC.host, 5060), Address(PRIVATE.host, 5060)
A_PATH = f"msrp://{PUBLIC.host}:7654/jshA7weztas;tcp"
B_PATH = f"msrp://{PRIVATE.host}:12763/kjhd37s2s20w2a;tcp"
TYPES = "a=accept-types:message/cpim text/plain text/html"
CALL = """
    alice -> INVITE %s
    alice <- 100
    bob <- INVITE sdp
    bob -> 200 %s
    bob <- ACK
    alice <- 200 sdp
    alice -> ACK
"""
CALL_OF_BOB = CALL.replace("alice", "third").replace("bob", "alice").replace("third", "bob")
END = """
    alice -> BYE
    alice <- 200 BYE
    bob <- BYE
    bob -> 200 BYE
"""


def message(path: str, *more: str) -> str:
    port = path.split(":")[2].split("/")[0]
    return "|".join((f"message {port} TCP/MSRP *", TYPES, f"a=path:{path}", *more))


class Call:
    """Alice outside, Bob inside, and their connections."""

    def __init__(self, border: Border, ladder: WireLadder, opened: ExitStack) -> None:
        self.lab, self.ladder, self._opened = border.lab, ladder, opened
        ladder.join("alice", ALICE, f"sip:1001@{PUBLIC.edge}")
        ladder.join("bob", BOB, f"sip:1001@{PUBLIC.host}")
        self.at_bob = self._listener(border.lab.private, (PRIVATE.host, 12763))
        self.at_alice = self._listener(border.lab.public, (PUBLIC.host, 7654))

    def _listener(self, namespace: object, address: tuple[str, int]) -> socket.socket:
        made: socket.socket = namespace.socket(socket.SOCK_STREAM, address)  # type: ignore[attr-defined]
        made.listen(5)
        return self._opened.enter_context(made)

    def says(self, word: str, host: str, *media: str) -> None:
        """`word` in a ladder is a description by who is at `host`; of each m-line, lines are separated by "|"."""
        lines = ["v=0", f"o=teller 7 {len(self.ladder.bodies)} IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
        lines += [line for stream in media for line in f"m={stream}".split("|")]
        self.ladder.bodies[word] = ("application/sdp", "\r\n".join([*lines, ""]).encode())

    def play(self, text: str, *words: str) -> None:
        self.ladder.play(text % words if words else text)

    def told(self, name: str) -> list[str]:
        return self.ladder.parties[name].described.decode().split("\r\n")

    def ours(self, name: str) -> str:
        """The path of the SBC as `name` was told it."""
        (line,) = [line for line in self.told(name) if line.startswith("a=path:")]
        return line.removeprefix("a=path:")

    def connect(self, name: str, source: str = "") -> Speaker:
        """`name` connects to where it was told to."""
        match = re.fullmatch(r"msrp://([0-9.]+):(\d+)/([0-9a-f]{20,});tcp", self.ours(name))
        assert match is not None, self.ours(name)
        namespace, host = (self.lab.public, PUBLIC.host) if name == "alice" else (self.lab.private, PRIVATE.host)
        return self.speaker(namespace.connect(source or host, (match[1], int(match[2])), PATIENCE))

    def speaker(self, sock: socket.socket) -> Speaker:
        return Speaker(self._opened.enter_context(sock))

    def taken(self, listener: socket.socket) -> Speaker:
        speaker = accepted(listener)
        return self.speaker(speaker.sock)

    def established(self) -> tuple[Speaker, Speaker]:
        """Alice has called Bob, and both are connected: she to us, we to him."""
        self.says("alice", PUBLIC.host, message(A_PATH, "a=setup:actpass", "a=msrp-cema"))
        self.says("bob", PRIVATE.host, message(B_PATH, "a=setup:passive"))
        self.play(CALL, "alice", "bob")
        bob = self.taken(self.at_bob)
        assert bob.hear().body is None  # says whose connection it is
        alice = self.connect("alice")
        alice.say(send("h29sk1", self.ours("alice"), A_PATH, None))
        assert bob.hear().tid == "h29sk1"
        return alice, bob


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border() as border:
        yield border


@pytest.fixture
def call(border: Border) -> Iterator[Call]:
    with wire_ladder(border) as ladder, ExitStack() as opened:
        yield Call(border, ladder, opened)
    assert border.leaks() == []


def at_once(*doing: Callable[[], object]) -> None:
    threads = [threading.Thread(target=each) for each in doing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


CPIM = (
    b"To: Bob <sip:bob@example.com>\r\nFrom: Alice <sip:alice@example.com>\r\n"
    b"DateTime: 2006-05-15T15:02:31-03:00\r\nContent-Type: text/plain\r\n\r\nABCD"
)


def test_a_session_between_two_who_know_only_us(call: Call, border: Border) -> None:
    """RFC 4975 sections 11.1 and 11.5: messages, responses, chunks and reports both ways."""
    alice, bob = call.established()
    for name, host in (("alice", PUBLIC.edge), ("bob", PRIVATE.edge)):
        told = call.told(name)
        assert f"c=IN IP4 {host}" in told
        assert TYPES in told
        assert [line for line in told if "cema" in line] == []
    assert "a=setup:passive" in call.told("alice")
    assert "a=setup:actpass" in call.told("bob")

    alice.say(send("d93kswow", call.ours("alice"), A_PATH, b"Hi, I'm Alice!", "Byte-Range: 1-14/14"))
    heard = bob.hear()
    assert heard == Message(
        "d93kswow",
        "SEND",
        {
            "To-Path": B_PATH,
            "From-Path": call.ours("bob"),
            "Message-ID": "m.d93kswow",
            "Byte-Range": "1-14/14",
            "Content-Type": "application/octet-stream",
        },
        b"Hi, I'm Alice!",
        "$",
    )
    bob.say(ok("d93kswow", call.ours("bob"), B_PATH))
    assert alice.hear() == Message(
        "d93kswow", "200 OK", {"To-Path": A_PATH, "From-Path": call.ours("alice")}, None, "$"
    )

    bob.say(send("dkei38sd", call.ours("bob"), B_PATH, CPIM[:50], "Success-Report: yes", flag="+"))
    bob.say(send("dkei38ia", call.ours("bob"), B_PATH, CPIM[50:], "Byte-Range: 51-*/*"))
    parts = [alice.hear(), alice.hear()]
    assert [(part.tid, part.flag) for part in parts] == [("dkei38sd", "+"), ("dkei38ia", "$")]
    assert b"".join(part.body or b"" for part in parts) == CPIM
    alice.say(
        f"MSRP dkei38rp REPORT\r\nTo-Path: {call.ours('alice')}\r\nFrom-Path: {A_PATH}\r\nMessage-ID: m.dkei38sd\r\n"
        f"Byte-Range: 1-{len(CPIM)}/{len(CPIM)}\r\nStatus: 000 200 OK\r\n-------dkei38rp$\r\n".encode()
    )
    report = bob.hear()
    assert (report.what, report.to_path, report.headers["Status"]) == ("REPORT", B_PATH, "000 200 OK")
    call.play(END)
    assert alice.hears_the_end()
    assert bob.hears_the_end()
    record = border.record_where(lambda record: bool(record["streams"]))
    (stream,) = record["streams"]
    assert (stream["kind"], stream["a"]["packets"], stream["b"]["packets"]) == ("message", 3, 3)


def test_files_pass_both_ways_at_once(call: Call) -> None:
    """Several megabytes in chunks, each way; what arrives is compared by its digest."""
    alice, bob = call.established()
    chance = random.Random(5547)
    files = {"alice": chance.randbytes(5_000_000), "bob": chance.randbytes(3_000_000)}
    paths, speakers = {"alice": A_PATH, "bob": B_PATH}, {"alice": alice, "bob": bob}
    sums: dict[str, str] = {}

    def speak(name: str) -> None:
        data, size = files[name], 100_000
        for at in range(0, len(data), size):
            flag = "$" if at + size >= len(data) else "+"
            where = f"Byte-Range: {at + 1}-*/{len(data)}"
            tid = f"{name}{at}"
            speakers[name].say(send(tid, call.ours(name), paths[name], data[at : at + size], where, flag=flag))

    def hear(name: str) -> None:
        digest, flag = hashlib.sha256(), ""
        while flag != "$":
            heard = speakers[name].hear()
            digest.update(heard.body or b"")
            flag = heard.flag
        sums[name] = digest.hexdigest()

    at_once(*[lambda do=do, name=name: do(name) for do in (speak, hear) for name in ("alice", "bob")])  # type: ignore[misc]
    assert sums["bob"] == hashlib.sha256(files["alice"]).hexdigest()
    assert sums["alice"] == hashlib.sha256(files["bob"]).hexdigest()
    call.play(END)


def test_a_call_out_of_the_private_zone_is_answered_by_a_phone_that_connects(call: Call) -> None:
    """RFC 6135: a phone behind a NAT answers "active", and may connect before its answer is through."""
    call.says("bob", PRIVATE.host, message(B_PATH))
    call.says("alice", PUBLIC.host, message("msrp://192.168.7.7:9/behindnat;tcp", "a=setup:active"))
    call.play("bob -> INVITE bob\nbob <- 100\nalice <- INVITE sdp")
    assert "a=setup:actpass" in call.told("alice")
    alice = call.connect("alice")
    path = "msrp://192.168.7.7:9/behindnat;tcp"
    alice.say(send("a001", call.ours("alice"), path))
    call.play("alice -> 200 alice\nalice <- ACK\nbob <- 200 sdp\nbob -> ACK")
    assert "a=setup:passive" in call.told("bob")
    bob = call.connect("bob")
    bob.say(send("b001", call.ours("bob"), B_PATH))
    assert bob.hear().to_path == B_PATH
    assert alice.hear().to_path == path
    call.play(END)
    assert alice.hears_the_end()


def test_hold_keeps_the_connections_and_a_change_of_path_makes_a_new_one(call: Call) -> None:
    alice, bob = call.established()
    call.says("held", PUBLIC.host, message(A_PATH, "a=setup:actpass", "a=sendonly"))
    call.says("so be it", PRIVATE.host, message(B_PATH, "a=setup:passive", "a=recvonly"))
    call.says("holding", PUBLIC.host, message(A_PATH, "a=setup:actpass", "a=sendonly"))
    call.says("held too", PRIVATE.host, message(B_PATH, "a=setup:passive", "a=recvonly"))
    call.play(CALL, "holding", "bob")
    alice.say(send("a001", call.ours("alice"), A_PATH))
    assert bob.hear().tid == "a001"

    path = A_PATH.replace("jshA7weztas", "anotherone")
    call.says("anew", PUBLIC.host, message(path, "a=setup:active"))
    call.play(CALL, "anew", "bob")
    assert alice.hears_the_end()
    again = call.connect("alice")
    again.say(send("a002", call.ours("alice"), path))
    assert bob.hear().tid == "a002"
    bob.say(ok("a002", call.ours("bob"), B_PATH))
    assert again.hear().to_path == path
    call.play(END)


def test_messages_join_a_call_and_leave_it(call: Call) -> None:
    audio = "audio {} RTP/AVP 0|a=rtpmap:0 PCMU/8000"
    call.says("alice", PUBLIC.host, audio.format(6000))
    call.says("bob", PRIVATE.host, audio.format(6100))
    call.play(CALL, "alice", "bob")
    call.says("more", PUBLIC.host, audio.format(6000), message(A_PATH))
    call.says("agreed", PRIVATE.host, audio.format(6100), message(B_PATH))
    call.play(CALL, "more", "agreed")
    bob, alice = call.taken(call.at_bob), call.connect("alice")
    alice.say(send("a001", call.ours("alice"), A_PATH))
    assert bob.hear().body is None
    assert bob.hear().tid == "a001"
    call.says("less", PUBLIC.host, audio.format(6000), "message 0 TCP/MSRP *")
    call.says("refused", PRIVATE.host, audio.format(6100), "message 0 TCP/MSRP *")
    call.play(CALL, "less", "refused")
    assert alice.hears_the_end()
    assert bob.hears_the_end()
    call.play(END)


def test_strangers_are_turned_away_and_the_session_goes_on(call: Call) -> None:
    call.says("alice", PUBLIC.host, message(A_PATH, "a=setup:active"))
    call.says("bob", PRIVATE.host, message(B_PATH, "a=setup:passive"))
    call.play(CALL, "alice", "bob")
    bob = call.taken(call.at_bob)
    bob.hear()
    stranger = call.connect("alice", PUBLIC.others[0])
    guessed = re.sub(r"/[0-9a-f]+;", "/0123456789abcdef01234567;", call.ours("alice"))
    stranger.say(send("s001", guessed, "msrp://203.0.113.21:2855/x;tcp"))
    assert stranger.hear().what.startswith("481")
    assert stranger.hears_the_end()
    garbage = call.connect("alice", PUBLIC.others[1])
    garbage.say(b"\x16\x03\x01\x02\x00\x01\x00" + b"\0" * 512)
    assert garbage.hears_the_end()
    alice = call.connect("alice")
    alice.say(send("a001", call.ours("alice"), A_PATH))
    assert bob.hear().tid == "a001"
    late = call.connect("alice", PUBLIC.others[0])
    late.say(send("s002", call.ours("alice"), "msrp://203.0.113.21:2855/x;tcp"))
    assert late.hear().what.startswith("506")
    call.play(END)


def test_messages_over_tls_are_refused_and_the_audio_stays(call: Call) -> None:
    audio = "audio {} RTP/AVP 0|a=rtpmap:0 PCMU/8000"
    tls = f"message 7654 TCP/TLS/MSRP *|{TYPES}|a=path:msrps://{PUBLIC.host}:7654/jshA7weztas;tcp"
    call.says("alice", PUBLIC.host, audio.format(6000), tls)
    call.says("bob", PRIVATE.host, audio.format(6100), "message 0 TCP/TLS/MSRP *")
    call.play(CALL, "alice", "bob")
    for name in ("alice", "bob"):
        assert "m=message 0 TCP/TLS/MSRP *" in call.told(name)
        assert not any(line.startswith("a=path") for line in call.told(name))
    call.play(END)


def test_a_call_for_nothing_but_messages_over_tls_is_refused(call: Call) -> None:
    call.says("alice", PUBLIC.host, f"message 7654 TCP/TLS/MSRP *|a=path:msrps://{PUBLIC.host}:7654/jshA7weztas;tcp")
    call.play("alice -> INVITE alice\nalice <- 100\nalice <- 488\nalice -> ACK")


def test_the_end_of_a_connection_is_the_end_of_the_other(call: Call) -> None:
    alice, bob = call.established()
    bob.close()
    assert alice.hears_the_end()
    call.play(END)
