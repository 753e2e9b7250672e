"""Kamailio as the MSRP relay of a phone inside (RFC 4976): it reads what we write, and we what it writes."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sbc.sip import Address
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC, end_process, wait_until
from tests.support.msrp import PATIENCE, Speaker, accepted, ok, send
from tests.support.wire_ladder import WireLadder, wire_ladder

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("kamailio")]

RELAY, BOB = PRIVATE.others[0], PRIVATE.host
RELAY_URI, BOB_URI = f"msrp://{RELAY}:2855/relayed4bob;tcp", f"msrp://{BOB}:12763/kjhd37s2s20w2a;tcp"
ALICE_URI = f"msrp://{PUBLIC.host}:7654/jshA7weztas;tcp"


@pytest.fixture
def border() -> Iterator[Border]:
    with Border() as border:
        yield border
        assert border.leaks() == []


@pytest.fixture
def relay(border: Border) -> Iterator[None]:
    directory = border.lab.private.directory()
    text = (Path(__file__).parent / "kamailio_msrp.cfg").read_text()
    for name, value in {"LISTEN": RELAY, "PHONE": BOB, "EDGE": PRIVATE.edge}.items():
        text = text.replace(f"@{name}@", value)
    (directory / "kamailio.cfg").write_text(text)
    with (directory / "log").open("wb") as log:
        command = ["kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", "16", "-Y", directory]
        running = border.lab.private.popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=directory)
    wait_until(lambda: border.lab.private.is_bound(2855, "tcp"), "Kamailio listens")
    yield
    end_process(running)


def described(ladder: WireLadder, word: str, host: str, port: int, path: str, setup: str) -> None:
    lines = ["v=0", f"o=- 7 7 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=message {port} TCP/MSRP *"]
    lines += ["a=accept-types:*", f"a=path:{path}", f"a=setup:{setup}", ""]
    ladder.bodies[word] = ("application/sdp", "\r\n".join(lines).encode())


def path_told(ladder: WireLadder, name: str) -> str:
    (line,) = [line for line in ladder.parties[name].described.decode().split("\r\n") if line.startswith("a=path:")]
    return line.removeprefix("a=path:")


def test_a_phone_behind_a_relay_is_reached_and_speaks_through_it(border: Border, relay: None) -> None:
    with wire_ladder(border) as ladder, ExitStack() as opened:
        ladder.join("alice", Address(PUBLIC.host, 5060), f"sip:1001@{PUBLIC.edge}")
        ladder.join("bob", Address(BOB, 5060), f"sip:1001@{PUBLIC.host}")
        listener = opened.enter_context(border.lab.private.socket(socket.SOCK_STREAM, (BOB, 12763)))
        listener.listen(5)
        described(ladder, "offer", PUBLIC.host, 7654, ALICE_URI, "active")
        described(ladder, "answer", RELAY, 2855, f"{RELAY_URI} {BOB_URI}", "passive")
        ladder.play(
            "alice -> INVITE offer\nalice <- 100\nbob <- INVITE sdp\nbob -> 200 answer\nbob <- ACK\n"
            "alice <- 200 sdp\nalice -> ACK"
        )
        to_alice, to_bob = path_told(ladder, "alice"), path_told(ladder, "bob")
        place = (PUBLIC.edge, int(to_alice.split(":")[2].split("/")[0]))
        alice = Speaker(opened.enter_context(border.lab.public.connect(PUBLIC.host, place, PATIENCE)))
        alice.say(send("a001", to_alice, ALICE_URI, b"hello Bob", "Success-Report: yes", "Byte-Range: 1-9/9"))
        bob = accepted(listener)
        opened.enter_context(bob.sock)
        opening, hello = bob.hear(), bob.hear()
        assert opening.body is None
        assert (hello.tid, hello.to_path, hello.body) == ("a001", BOB_URI, b"hello Bob")
        assert hello.from_path == f"{RELAY_URI} {to_bob}", "the relay has put itself before us"
        answer = alice.hear()
        assert (answer.tid, answer.what, answer.to_path, answer.from_path) == ("a001", "200 OK", ALICE_URI, to_alice)

        bob.say(
            f"MSRP r001 REPORT\r\nTo-Path: {RELAY_URI} {to_bob}\r\nFrom-Path: {BOB_URI}\r\nMessage-ID: m.a001\r\n"
            "Byte-Range: 1-9/9\r\nStatus: 000 200 OK\r\n-------r001$\r\n".encode()
        )
        report = alice.hear()
        assert (report.what, report.to_path, report.from_path) == ("REPORT", ALICE_URI, to_alice)

        data, size = random.Random(4976).randbytes(200_000), 2000
        expected, got = hashlib.sha256(data).digest(), b""
        for at in range(0, len(data), size):
            flag = "$" if at + size >= len(data) else "+"
            where = f"Byte-Range: {at + 1}-{at + size}/{len(data)}"
            bob.say(send(f"b{at:06}", f"{RELAY_URI} {to_bob}", BOB_URI, data[at : at + size], where, flag=flag))
            assert bob.hear().what == "200 OK"
            heard = alice.hear()
            assert (heard.tid, heard.flag) == (f"b{at:06}", flag)
            got += heard.body or b""
            alice.say(ok(heard.tid, to_alice, ALICE_URI))
        assert hashlib.sha256(got).digest() == expected
        ladder.play("alice -> BYE\nalice <- 200 BYE\nbob <- BYE\nbob -> 200 BYE")
        assert alice.hears_the_end()
