"""One stream, with a wire that takes as much as the test says."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from sbc.sip import Address, Hop, Limits, Packet, TransactionId
from sbc.transport.settings import TransportSettings
from sbc.transport.stream import SipStream
from tests.support.sockets import options

HOP = Hop("outside", "TCP", Address("127.0.0.1", 5060), Address("127.0.0.9", 4711), 7)
SETTINGS = TransportSettings(idle_timeout=60.0, message_timeout=10.0, output_limit=1000)


class Owner:
    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.ends: list[tuple[list[TransactionId], str]] = []
        self.answer: Any = None

    def received(self, packet: Packet) -> None:
        self.packets.append(packet)
        if self.answer:
            self.answer()

    def lost(self, stream: SipStream, unsent: list[TransactionId], reason: str) -> None:
        self.ends.append((unsent, reason))


class Wire:
    """Twisted's side of a stream: holds one batch until `take`."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.taken = b""
        self.producer: Any = None
        self.finished = self.aborted = False

    def setTcpNoDelay(self, on: bool) -> None: ...

    def setTcpKeepAlive(self, on: bool) -> None: ...

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        assert not streaming
        self.producer = producer
        producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.held.append(data)

    def take(self) -> None:
        """The kernel takes what there is."""
        self.taken += b"".join(self.held)
        self.held.clear()
        if self.producer is not None:
            self.producer.resumeProducing()

    def loseConnection(self) -> None:
        self.finished = True

    def abortConnection(self) -> None:
        self.aborted = True


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def wire() -> Wire:
    return Wire()


def stream_to(owner: Owner, limits: Limits | None = None) -> SipStream:
    return SipStream(owner, HOP, limits or Limits(), SETTINGS, False)


def opened(owner: Owner, wire: Wire, limits: Limits | None = None) -> SipStream:
    stream = stream_to(owner, limits)
    stream.makeConnection(wire)  # type: ignore[arg-type]
    return stream


def test_messages_are_cut_out_of_the_stream_however_it_is_split(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    sent = options("one", 3) + options("two")
    for octet in sent:
        stream.dataReceived(bytes([octet]))
    assert [packet.data for packet in owner.packets] == [options("one", 3), options("two")]
    assert owner.packets[0].hop == HOP


def test_a_ping_gets_its_pong_and_nobody_hears_of_it(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    stream.dataReceived(b"\r\n\r\n")
    wire.take()
    assert wire.taken == b"\r\n"
    assert owner.packets == []


def test_what_is_written_before_the_stream_is_open_goes_out_first_and_in_order(owner: Owner, wire: Wire) -> None:
    stream = stream_to(owner)
    stream.write(b"one", "1")
    stream.write(b"two", "2")
    stream.makeConnection(wire)  # type: ignore[arg-type]
    stream.write(b"three", "3")
    wire.take()
    wire.take()
    assert wire.taken == b"onetwothree"
    assert wire.producer is None


def test_a_stream_that_never_opens_fails_all_that_was_to_go_over_it(owner: Owner) -> None:
    stream = stream_to(owner)
    stream.write(b"one", "1")
    stream.write(b"response", None)
    stream.write(b"two", "2")
    stream.fail("refused")
    stream.fail("again")
    assert owner.ends == [(["1", "2"], "refused")]
    assert stream.write(b"three", "3") is False


def test_a_lost_stream_tells_what_the_kernel_had_not_taken(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    stream.write(b"one", "1")
    wire.take()
    stream.write(b"two", "2")
    stream.write(b"three", "3")
    stream.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]
    assert owner.ends[0][0] == ["2", "3"]


def test_a_peer_that_does_not_read_is_cut_off_at_the_limit(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    for number in range(10):
        stream.write(b"x" * 100, str(number))
    assert not wire.aborted
    stream.write(b"x", "last")
    assert wire.aborted
    stream.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]
    assert owner.ends == [([*map(str, range(10)), "last"], "the peer does not read")]


def test_what_is_taken_makes_room_under_the_limit(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    for number in range(50):
        stream.write(b"x" * 900, str(number))
        wire.take()
    assert not wire.aborted
    assert len(wire.taken) == 50 * 900


def test_lost_framing_hands_on_the_head_and_closes_after_the_answer(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    owner.answer = lambda: stream.write(b"400", None)
    stream.dataReceived(b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\n")
    assert owner.packets[0].data.startswith(b"OPTIONS")
    assert wire.held == [b"400"]
    assert wire.finished


def test_whole_messages_before_the_fault_are_not_lost(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    stream.dataReceived(options("good") + b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\n" + options("never"))
    assert [packet.data[:7] for packet in owner.packets] == [b"OPTIONS", b"OPTIONS"]
    assert owner.packets[0].data == options("good")
    assert wire.finished


def test_an_endless_head_ends_the_stream(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire, Limits(max_message=1000))
    for _ in range(30):
        stream.dataReceived(b"x" * 100)
    assert wire.finished
    assert sum(len(packet.data) for packet in owner.packets) <= 1001


def test_an_idle_stream_is_closed_and_a_used_one_is_not(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    for now in range(0, 200, 20):
        stream.write(b"x", None)
        wire.take()
        stream.check(float(now))
    assert not wire.finished
    stream.check(239.0)
    assert not wire.finished
    stream.check(240.0)
    assert wire.finished


def test_an_idle_stream_that_is_held_is_closed_when_that_is_over(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    stream.check(0.0)
    stream.hold(200.0)
    stream.check(1.0)
    stream.check(199.0)
    assert not wire.finished
    stream.check(200.0)
    assert wire.finished


def test_a_message_that_dribbles_in_is_cut_off(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    for now, octet in enumerate(options("slow")):
        stream.dataReceived(bytes([octet]))
        stream.check(float(now))
        if wire.aborted:
            break
    assert 10 <= now <= 15


def test_line_ends_between_messages_are_no_message_that_dribbles(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    stream.dataReceived(options("whole") + b"\r\n")
    for now in range(30):
        stream.check(float(now))
    assert not wire.aborted
    assert not wire.finished


def test_closing_does_not_wait_for_ever_for_a_peer_that_does_not_read(owner: Owner, wire: Wire) -> None:
    stream = opened(owner, wire)
    stream.write(b"x", None)
    stream.finish("shutting down")
    for now in range(12):
        assert not wire.aborted or now > 10
        stream.check(float(now))
    assert wire.aborted


def test_a_connection_that_comes_after_we_gave_up_is_dropped(owner: Owner, wire: Wire) -> None:
    stream = stream_to(owner)
    stream.finish("shutting down")
    stream.makeConnection(wire)  # type: ignore[arg-type]
    assert wire.aborted
    assert len(owner.ends) == 1
