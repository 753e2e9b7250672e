"""What a `DataPlane` that moves packets does to them beyond forwarding: treatments, and streams that change."""

from __future__ import annotations

import struct

import pytest

from sbc.media.flow import (
    DtmfReceived,
    FlowEvents,
)
from sbc.rtp import RtpView
from sbc.sip import Address
from tests.support.planes import (
    SETTLED,
    MemoryUnderTest,
    Phone,
    Stage,
    UserspaceUnderTest,
    flow,
    rtp,
    settle,
    side,
)

PLANES = {"memory": MemoryUnderTest, "userspace": UserspaceUnderTest}


# -- payload numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settled", [False, True])
def test_payload_numbers_are_those_of_the_reader(stage: Stage, settled: bool) -> None:
    made, near, far = stage.call(treatments=frozenset({"payload-map"}), map_a=((0, 8), (101, 96)), map_b=((96, 101),))
    if settled:
        for sequence in range(SETTLED):
            near.send(made.a.local, rtp(sequence))
            far.receive()
            far.send(made.b.local, rtp(sequence))
            near.receive()
    for number, becomes in ((0, 8), (8, 8), (101, 96), (96, 96), (0x80 | 101, 0x80 | 96)):
        near.send(made.a.local, rtp(100, number=number))
        assert far.receive()[0] == rtp(100, number=becomes)
    for number, becomes in ((96, 101), (0, 0), (0x80 | 96, 0x80 | 101)):
        far.send(made.b.local, rtp(100, number=number))
        assert near.receive()[0] == rtp(100, number=becomes)
    report = stage.remove(made)
    assert (report.a.packets, report.b.packets) == (5 + SETTLED * settled, 3 + SETTLED * settled)


def test_payload_numbers_are_mapped_as_of_the_exchange_that_makes_them_differ(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    mapped = made._replace(treatments=frozenset({"payload-map"}), map_a=((0, 8),))
    for again, becomes in ((mapped, 8), (made, 0)):
        stage.again(again)
        stage.under_test.run(0.05)
        for sequence in range(100, 110):
            near.send(made.a.local, rtp(sequence))
            assert far.receive()[0] == rtp(sequence, number=becomes)


# -- telephone-events --------------------------------------------------------------------------------------------------

EVENTS = FlowEvents(((101, 8000),), (101, 8000))
ENDING = EVENTS._replace(report=True, swallow=True)
DTMF = frozenset({"dtmf"})


def press(phone: Phone, to: Address, digit: int, sequence: int, start: int) -> int:
    """One event in eight packets; gives the next sequence number."""
    for n in range(8):
        end = n > 4
        payload = struct.pack("!BBH", digit, 0x8A if end else 0x0A, 160 * min(n + 1, 6))
        phone.send(to, rtp(sequence + n, timestamp=start, number=101, payload=payload))
    return sequence + 8


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("swallow", [False, True])
def test_events_are_told_once_and_pass_or_not(stage: Stage, settled: bool, swallow: bool) -> None:
    events = ENDING._replace(swallow=swallow)
    made, near, far = stage.call(treatments=DTMF, events_a=events, events_b=EVENTS)
    first = 1
    if settled:
        settle(near, made.a.local, far)
        first += SETTLED
    near.send(made.a.local, rtp(first))
    assert far.receive()[0] == rtp(first)
    following = press(near, made.a.local, 5, first + 1, 160 * first + 160)
    following = press(near, made.a.local, 11, following, 160 * first + 3200)
    near.send(made.a.local, rtp(following, timestamp=5000))
    heard = [RtpView.of(far.receive()[0]) for _ in range(1 if swallow else 17)]
    assert [view.sequence for view in heard] == list(range(first + 1, first + 1 + len(heard)))
    assert heard[-1].payload_type == 0
    assert far.hears_nothing()
    stage.under_test.wait(DtmfReceived, lambda e: e.flow_id == made.id and e.digit == "#")
    told = [e for e in stage.under_test.all(DtmfReceived) if e.flow_id == made.id]
    assert told == [DtmfReceived(made.id, "a", "5", 120), DtmfReceived(made.id, "a", "#", 120)]
    assert stage.remove(made).a.packets == 18 + SETTLED * settled


def test_an_event_whose_end_is_lost_is_told_all_the_same(stage: Stage) -> None:
    made, near, far = stage.call(treatments=DTMF, events_a=ENDING, events_b=EVENTS)
    near.send(made.a.local, rtp(1, timestamp=0, number=101, payload=struct.pack("!BBH", 9, 10, 800)))
    told = stage.under_test.wait(DtmfReceived, lambda e: e.flow_id == made.id)
    assert told == DtmfReceived(made.id, "a", "9", 100)
    assert far.hears_nothing()


def test_a_digit_is_sent_within_the_relayed_stream(stage: Stage) -> None:
    made, near, far = stage.call(treatments=DTMF, events_a=EVENTS, events_b=FlowEvents((), (96, 8000)))
    sequence = 65_500
    for _ in range(SETTLED):
        near.send(made.a.local, rtp(sequence, ssrc=77))
        assert RtpView.of(far.receive()[0]).sequence == sequence & 0xFFFF
        sequence += 1
    stage.under_test.plane.send_dtmf(made.id, "b", "7", 100)
    stage.under_test.plane.send_dtmf(made.id, "b", "7", 100)
    heard: list[bytes] = []
    while sum(is_end(datagram) for datagram in heard) < 6:
        stage.under_test.run(0.01)
        near.send(made.a.local, rtp(sequence, ssrc=77))
        sequence += 1
        heard += far.pending()
    for _ in range(3):
        near.send(made.a.local, rtp(sequence, ssrc=77))
        sequence += 1
        heard.append(far.receive()[0])
    views = [RtpView.of(datagram) for datagram in heard]
    assert {view.ssrc for view in views} == {77}
    numbers = [view.sequence for view in views]
    first = (65_500 + SETTLED) & 0xFFFF
    assert numbers == [(first + n) & 0xFFFF for n in range(len(numbers))]
    events = [(view, datagram) for view, datagram in zip(views, heard, strict=True) if view.payload_type == 96]
    starts = list(dict.fromkeys(view.timestamp for view, _ in events))
    assert len(starts) == 2
    relayed_until = 160 * (65_500 + SETTLED - 1)
    assert 0 <= starts[0] - relayed_until < 8000, "what the stream would say by then"
    for start in starts:
        of_one = [(view, datagram) for view, datagram in events if view.timestamp == start]
        assert [view.marker for view, _ in of_one] == [True] + [False] * (len(of_one) - 1)
        assert [is_end(datagram) for _, datagram in of_one] == [False] * (len(of_one) - 3) + [True] * 3
        durations = [struct.unpack("!H", datagram[14:])[0] for _, datagram in of_one]
        assert durations == sorted(durations)
        assert durations[-1] == 800
        assert {datagram[12] for _, datagram in of_one} == {7}
    assert stage.remove(made).b.packets == 0


def is_end(datagram: bytes) -> bool:
    return len(datagram) == 16 and bool(datagram[13] & 0x80)


def test_a_digit_is_sent_where_nothing_is_relayed(stage: Stage) -> None:
    made, near, far = stage.call(treatments=DTMF, events_a=EVENTS, events_b=EVENTS)
    for digit in "1#":
        stage.under_test.plane.send_dtmf(made.id, "a", digit, 60)
    heard: list[bytes] = []
    while sum(is_end(datagram) for datagram in heard) < 6:
        stage.under_test.run(0.01)
        heard += near.pending()
    views = [RtpView.of(datagram) for datagram in heard]
    assert len({view.ssrc for view in views}) == 1
    assert [view.sequence for view in views] == [(views[0].sequence + n) & 0xFFFF for n in range(len(views))]
    first, second = dict.fromkeys(view.timestamp for view in views)
    assert 0 < (second - first) & 0xFFFFFFFF < 8000
    far.send(made.b.local, rtp(5, ssrc=9))
    assert near.receive()[0] == rtp(5, ssrc=9), "a stream that begins now is not touched"


@pytest.mark.parametrize(
    ("side", "digit"), [("a", "1"), ("b", "x"), ("b", ""), ("b", "123")], ids=["takes none", "x", "nothing", "three"]
)
def test_what_cannot_be_sent_does_no_harm(stage: Stage, side: str, digit: str) -> None:
    made, near, far = stage.call(treatments=DTMF, events_a=FlowEvents(), events_b=EVENTS)
    stage.under_test.plane.send_dtmf(made.id, side, digit, 100)
    stage.under_test.plane.send_dtmf("unknown/0", "a", "1", 100)
    assert far.hears_nothing()
    assert near.hears_nothing()
    settle(near, made.a.local, far)


def test_events_are_mapped_where_they_pass(stage: Stage) -> None:
    made, near, far = stage.call(
        treatments=DTMF | {"payload-map"},
        map_a=((101, 96),),
        events_a=ENDING._replace(swallow=False),
        events_b=FlowEvents(((96, 8000),), (96, 8000)),
    )
    press(near, made.a.local, 1, 1, 160)
    assert {RtpView.of(far.receive()[0]).payload_type for _ in range(8)} == {96}
    stage.under_test.wait(DtmfReceived, lambda e: e.flow_id == made.id)


def test_a_shifted_stream_goes_on_without_a_step_when_events_are_nobody_s_business_any_more(stage: Stage) -> None:
    made, near, far = stage.call(treatments=DTMF, events_a=ENDING, events_b=EVENTS)
    near.send(made.a.local, rtp(1))
    far.receive()
    following = press(near, made.a.local, 1, 2, 160)
    near.send(made.a.local, rtp(following))
    assert RtpView.of(far.receive()[0]).sequence == 2
    stage.again(made._replace(treatments=frozenset(), events_a=FlowEvents(), events_b=FlowEvents()))
    stage.under_test.run(0.05)
    for n in range(SETTLED):
        near.send(made.a.local, rtp(following + 1 + n))
        assert RtpView.of(far.receive()[0]).sequence == 3 + n


def test_a_memory_plane_keeps_the_digits_that_could_be_sent() -> None:
    plane = MemoryUnderTest().plane
    nowhere = side(Address("127.0.0.1", 9), None)
    plane.apply(flow("x/0", nowhere, nowhere, treatments=DTMF, events_b=EVENTS))
    plane.send_dtmf("x/0", "b", "1", 100)
    plane.send_dtmf("x/0", "a", "1", 100)
    plane.send_dtmf("y/0", "b", "1", 100)
    assert plane.digits == [("x/0", "b", "1", 100)]


# -- from RTP to opaque and back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("settled", [False, True])
def test_audio_becomes_fax_and_fax_audio_on_the_same_ports(stage: Stage, settled: bool) -> None:
    made, near, far = stage.call()
    if settled:
        settle(near, made.a.local, far)
        settle(far, made.b.local, near)
    stage.again(made._replace(kind="udp"))
    stage.under_test.run(0.05)
    for n in range(SETTLED):
        near.send(made.a.local, b"\x00%d udptl" % n)
        assert far.receive()[0] == b"\x00%d udptl" % n
    stage.again(made)
    stage.under_test.run(0.05)
    near.send(made.a.local, b"\x00no fax")
    assert far.hears_nothing()
    settle(near, made.a.local, far, first=100)


def test_a_port_goes_over_to_another_flow_at_once(stage: Stage) -> None:
    """A transfer: a leg of one call becomes one of another, and its port goes with it."""
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    settle(far, made.b.local, near)
    third = stage.phone()
    local = stage.ports(count=1)[0]
    bridged = stage.apply(side(local, third.address), made.b._replace(generation=2))
    stage.under_test.run(0.05)
    stage.under_test.plane.remove(made.id)
    third.send(bridged.a.local, rtp(1))
    assert far.receive()[0] == rtp(1)
    far.send(made.b.local, rtp(2))
    assert third.receive()[0] == rtp(2)
    assert near.hears_nothing()
    settle(third, bridged.a.local, far)
    stage.under_test.run(0.2)
    settle(far, made.b.local, third)
