"""Garbage on MSRP connections: what passes is always whole messages with paths of ours, and the worker goes on."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from sbc.media import MessagePath, SourceMismatch
from sbc.msrp import MessageStream, uri_text
from sbc.sip import Address
from tests.support.msrp import Speaker, accepted, connected, send
from tests.support.planes import Stage, UserspaceUnderTest, side

OURS, SECRET = "msrp://203.0.113.10:20000/oursTowardsThem;tcp", "msrp://10.0.0.5:2855/theirSecret;tcp"
TO, FROM = "msrp://bob.example.com:8888/bobs;tcp", "msrp://192.0.2.1:30000/oursTowardsBob;tcp"
PIECES = [
    b"MSRP tid1 SEND\r\n",
    b"MSRP tid1 200 OK\r\n",
    b"MSRP tid10 REPORT\r\n",
    f"To-Path: {OURS}\r\n".encode(),
    f"From-Path: {SECRET}\r\n".encode(),
    b"Message-ID: 1\r\n",
    f"Use-Path: {SECRET}\r\n".encode(),
    b"Content-Type: text/plain\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"-------",
    b"-------tid1$\r\n",
    b"-------tid10+\r\n",
    b"\r\n-------tid1",
    b"$",
    b"text",
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40), st.integers(1, 60))
def test_what_passes_is_messages_with_paths_of_ours(pieces: list[bytes], size: int) -> None:
    """Whatever comes: a reader that is as strict as ours finds nothing but messages for the other side in what goes
    out; no header field tells of who said it."""
    data = b"".join(pieces)
    one, reader = MessageStream("oursTowardsThem"), MessageStream("bobs")
    one.aim(TO, FROM)
    reader.aim("msrp://x:1/x;tcp", "msrp://y:1/y;tcp")
    out = b"".join(one.feed(data[at : at + size]) for at in range(0, len(data), size))
    for at in range(len(out)):
        reader.feed(out[at : at + 1])
        assert b"theirSecret" not in b" ".join(reader._head[1])
    assert reader.fault == ""
    assert one.messages - reader.messages in (0, 1), "of the last one the head alone may be there"
    whole = MessageStream("oursTowardsThem")
    whole.aim(TO, FROM)
    at_once = whole.feed(data)
    assert at_once == out or one.fault, "the network's cuts make no difference"


@given(st.binary(max_size=200), st.integers(0, 250), st.integers(0, 250))
def test_a_message_with_a_few_octets_changed(noise: bytes, at: int, length: int) -> None:
    message = send("tid1", OURS, SECRET, b"body\r\n" * 5, "Byte-Range: 1-30/30")
    broken = message[:at] + noise + message[at + length :]
    one, reader = MessageStream("oursTowardsThem"), MessageStream("bobs")
    one.aim(TO, FROM)
    reader.aim("msrp://x:1/x;tcp", "msrp://y:1/y;tcp")
    reader.feed(one.feed(broken + message))
    assert reader.fault == ""
    assert one.messages - reader.messages in (0, 1), "of the last one the head alone may be there"


def _garbage(chance: random.Random, ours: str) -> bytes:
    message = bytearray(send(f"t{chance.randrange(10**6):06}", ours, SECRET, chance.randbytes(chance.randrange(400))))
    for _ in range(chance.randrange(6)):
        message[chance.randrange(len(message))] = chance.randrange(256)
    return bytes(message[: chance.randrange(len(message) + 1)]) if chance.random() < 0.5 else bytes(message)


def test_nothing_that_comes_over_connections_ends_the_worker() -> None:
    chance = random.Random(4975)
    under_test = UserspaceUnderTest()
    stage = Stage(under_test)
    local_a, local_b = stage.ports()
    bobs = socket.create_server(("127.0.0.1", 0))
    ours_a, ours_b = uri_text(*local_a, "4alice"), uri_text(*local_b, "4bob")
    paths = MessagePath(ours_a, SECRET, False), MessagePath(ours_b, TO, True)
    place = Address(*bobs.getsockname()[:2])
    flow = stage.apply(
        side(local_a, None), side(local_b, place), kind="msrp", treatments=frozenset({"msrp"}), paths=paths
    )
    pid = under_test.pid
    for _ in range(300):
        alice = connected(local_a)
        with suppress(OSError):
            for _ in range(chance.randrange(1, 6)):
                alice.say(_garbage(chance, ours_a))
        bobs.settimeout(0)
        with suppress(OSError):
            while True:
                bobs.accept()[0].close()
        alice.close()
    alice, bob = _conversation(local_a, ours_a, bobs)
    assert under_test.pid == pid
    under_test.wait(SourceMismatch)
    stage.remove(flow)
    for each in (alice.sock, bob.sock, bobs):
        each.close()
    stage.close()
    under_test.close()


def _conversation(local: tuple[str, int], ours: str, bobs: socket.socket) -> tuple[Speaker, Speaker]:
    """After all that, the two still reach each other; what was left of the garbage may end a few more connections."""
    for _ in range(20):
        alice, bob = connected(local), None
        with suppress(AssertionError, OSError, ValueError):  # what is left of the garbage comes first
            alice.say(send("afterwards", ours, SECRET))
            bob = accepted(bobs)
            while bob.hear().tid != "afterwards":
                pass
            return alice, bob
        alice.close()
        if bob is not None:
            bob.close()
    raise AssertionError("nothing passes after the garbage")
