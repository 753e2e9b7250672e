"""Garbage does no harm: mutated messages, random datagrams, split, slow and broken streams against a running SBC."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.border import PLAIN, Border
from tests.support.edge import answers_options
from tests.support.garbage import mutated, noise
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.raw import in_dialog, offer, request, response, status
from tests.support.scenario import INWARDS, place

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

T1 = 0.05
QUIET = 64 * T1 + 1
"""Seconds after which nothing that was sent is waited for any more."""
DATAGRAMS = 100_000
STRANGER = PUBLIC.others[1]
BURST = 250
"""Datagrams sent in a row; then the SBC must answer before it gets more, so that none is lost in a full buffer."""
EDGE = (PUBLIC.edge, 5060)
URI = f"sip:1001@{PUBLIC.edge}"
SDP = ("Content-Type: application/sdp",)
CONTACT = f"Contact: <sip:pbx@{PRIVATE.host}>"
RTP = bytes.fromhex("80000001000000a012345678") + bytes(160)

CONFIG = f"""
[sip]
t1 = {T1}
t2 = 0.2
t4 = 0.25
[sip.tcp]
message_timeout = 1
[calls]
target_timeout = 0.5
no_answer = 1
{PLAIN}"""
"""Timers so short that what a message may leave behind is gone soon. Nobody is at home at the PBX."""


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border(CONFIG) as border:
        yield border
        time.sleep(QUIET)
        border.edge.stop()
        assert set(border.edge.table_sizes().values()) == {0}


@pytest.fixture(autouse=True)
def unharmed(border: Border) -> Iterator[None]:
    """After each of these tests the SBC answers, has nothing to complain about, and still carries a call."""
    yield
    assert answers_options(border.lab.public, EDGE, 2)
    assert border.edge.trouble() == []
    record = place(border, INWARDS, "caller", "callee", {"talk": 50}, {"delay": 20})
    assert record["status"] == 200


@pytest.mark.slow
def test_mutated_messages_and_random_datagrams(border: Border) -> None:
    seed = int(os.environ.get("SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"SEED={seed}")
    draw = random.Random(seed)
    with border.lab.public.udp((STRANGER, 5060)) as sender:
        sender.setblocking(False)
        for sent in range(0, DATAGRAMS, BURST):
            for _ in range(BURST):
                data = noise(draw) if draw.random() < 0.2 else mutated(draw, PUBLIC.edge, STRANGER)
                sender.sendto(data[:65000], EDGE)
                _forget(sender)
            assert answers_options(border.lab.public, EDGE, 5), f"no answer after {sent + BURST} datagrams"
            if sent % 25_000 == 0:
                assert border.leaks() == []
    time.sleep(QUIET)


def _forget(sender: socket.socket) -> None:
    try:
        while True:
            sender.recv(65535)
    except (BlockingIOError, ConnectionRefusedError):
        return


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stream(border: Border) -> Iterator[socket.socket]:
    with border.lab.public.connect(PUBLIC.host, EDGE) as connection:
        yield connection


def _options(connection: socket.socket) -> bytes:
    return request("OPTIONS", f"sip:{PUBLIC.edge}", connection.getsockname()[:2], transport="TCP")


def _answer(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65535)
        if not part:
            break
        data += part
    return data


def _closed(connection: socket.socket, patience: float) -> bool:
    """Whether the other end closes within `patience` seconds."""
    connection.settimeout(patience)
    try:
        while connection.recv(65535):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_a_message_that_comes_byte_by_byte_is_answered(stream: socket.socket) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in _options(stream):
        stream.sendall(bytes([byte]))
    assert status(_answer(stream)) == 200


def test_many_messages_in_one_piece_are_each_answered(stream: socket.socket) -> None:
    stream.sendall(b"".join(_options(stream) for _ in range(50)))
    data = b""
    while data.count(b"SIP/2.0 200 ") < 50:
        part = stream.recv(65535)
        assert part
        data += part
    assert data.count(b"SIP/2.0 200 ") == 50


def test_a_keep_alive_is_answered(stream: socket.socket) -> None:
    stream.sendall(b"\r\n\r\n")
    assert stream.recv(16) == b"\r\n"  # RFC 5626 section 4.4.1


def test_a_message_that_never_ends_is_cut_off(stream: socket.socket) -> None:
    stream.sendall(_options(stream)[:-10])
    assert _closed(stream, 3)


def test_bytes_that_trickle_do_not_keep_an_unfinished_message_alive(stream: socket.socket) -> None:
    begun = time.monotonic()
    try:
        for byte in _options(stream)[:-10]:
            stream.sendall(bytes([byte]))
            time.sleep(0.05)
            if time.monotonic() - begun > 4:
                break
    except (BrokenPipeError, ConnectionResetError):
        return
    assert _closed(stream, 0.5)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100_000,
        b"x" * 1_000_000,
        b"OPTIONS sip:a SIP/2.0\r\n" + b"Via: x\r\n" * 100_000,
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 4,
    ],
    ids=["zeros", "one line", "headers", "huge length", "negative length", "two lengths", "http", "tls"],
)
def test_a_stream_of_something_else_is_closed(stream: socket.socket, data: bytes) -> None:
    try:
        stream.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return
    assert _closed(stream, 3)


def test_random_streams_in_random_pieces(border: Border) -> None:
    draw = random.Random(5)
    for _ in range(100):
        with border.lab.public.connect(PUBLIC.host, EDGE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = b"".join(mutated(draw, PUBLIC.edge, STRANGER) for _ in range(3))
            try:
                while data:
                    size = draw.choice((1, 7, 100, 1000))
                    connection.sendall(data[:size])
                    data = data[size:]
            except (BrokenPipeError, ConnectionResetError):
                pass


def test_a_flood_of_connections_that_say_nothing_leaves_room_for_others(border: Border) -> None:
    silent = []
    try:
        for _ in range(300):
            try:
                silent.append(border.lab.public.connect(PUBLIC.host, EDGE, timeout=1))
            except OSError:
                break
        with border.lab.public.connect(PUBLIC.others[0], EDGE) as other:
            other.sendall(_options(other))
            assert status(_answer(other)) == 200
    finally:
        for connection in silent:
            connection.close()


def test_a_peer_that_never_reads_is_given_up(border: Border) -> None:
    """It asks and asks and reads no answer: what waits for it must not grow without limit."""
    with border.lab.public.connect(PUBLIC.host, EDGE) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(2)
        ask = b"".join(_options(deaf) for _ in range(200))
        try:
            for _ in range(100):
                deaf.sendall(ask)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            return  # it stopped reading, or closed
    # 20,000 answers of some 300 bytes: had it taken them all, they would have been read by nobody
    pytest.fail("20,000 requests were taken from somebody who reads no answer")


# -- media ------------------------------------------------------------------------------------------------------------


def test_noise_at_the_media_ports_of_a_call_does_no_harm(border: Border) -> None:
    draw = random.Random(7)
    pbx = border.lab.private.udp((PRIVATE.host, 5060))
    phone = border.lab.public.udp((PUBLIC.host, 5060))
    near, far = border.lab.public.udp((PUBLIC.host, 7000)), border.lab.private.udp((PRIVATE.host, 7000))
    stranger = border.lab.public.udp((STRANGER, 7000))
    with pbx, phone, near, far, stranger:
        asked = request("INVITE", URI, (PUBLIC.host, 5060), headers=SDP, body=offer(PUBLIC.host, 7000))
        phone.sendto(asked, EDGE)
        invite, edge = _wait_for(pbx, b"INVITE ")
        pbx.sendto(response(invite, "200 OK", "pbx", (*SDP, CONTACT), offer(PRIVATE.host, 7000)), edge)
        answer, _ = _wait_for(phone, b"SIP/2.0 200 ")
        phone.sendto(in_dialog("ACK", asked, answer), EDGE)
        outside, inside = (PUBLIC.edge, _media_port(answer)), (PRIVATE.edge, _media_port(invite))
        for _ in range(2000):
            for sender, (host, port) in ((near, outside), (stranger, outside), (far, inside)):
                sender.sendto(noise(draw)[:1400], (host, port + draw.randrange(2)))
        far.settimeout(0.02)
        wait_until(lambda: _passes(near, outside, far), "what is in order still passes")
        phone.sendto(in_dialog("BYE", asked, answer), EDGE)
        bye, edge = _wait_for(pbx, b"BYE ")
        pbx.sendto(response(bye, "200 OK", ""), edge)
        _wait_for(phone, b"SIP/2.0 200 ")


def _passes(near: socket.socket, outside: tuple[str, int], far: socket.socket) -> bool:
    """A packet of `near` arrives at `far`. The noise may have filled a buffer on its way, so one may be lost."""
    near.sendto(RTP, outside)
    try:
        return far.recvfrom(65535)[0].startswith(RTP)
    except TimeoutError:
        return False


def _wait_for(receiver: socket.socket, start: bytes, patience: float = 3) -> tuple[bytes, tuple[str, int]]:
    """The next datagram that begins so, and where it came from. Raises TimeoutError."""
    receiver.settimeout(patience)
    while True:
        data, source = receiver.recvfrom(65535)
        if data.startswith(start):
            return data, source


def _media_port(message: bytes) -> int:
    return int(message.split(b"m=audio ")[1].split()[0])
