"""What every `DataPlane` does. One that moves packets shows all of it; one that does not, what it is told and tells."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from sbc.media.flow import (
    Flow,
    Latched,
    Latching,
    PlaneLost,
    PortsReady,
    Silent,
    SourceMismatch,
    StatsReport,
)
from sbc.sip import Address
from tests.support.planes import (
    SETTLED,
    WIDTH,
    MemoryUnderTest,
    Phone,
    PlaneUnderTest,
    Stage,
    UserspaceUnderTest,
    flow,
    rtp,
    settle,
    side,
)

PLANES = {"memory": MemoryUnderTest, "userspace": UserspaceUnderTest}


@pytest.fixture(scope="module", params=PLANES)
def under_test(request: pytest.FixtureRequest) -> Iterator[PlaneUnderTest]:
    made = PLANES[request.param]()
    yield made
    made.close()


# -- what every plane is told and tells -------------------------------------------------------------------------------


def test_ports_are_even_and_within_the_range(under_test: PlaneUnderTest) -> None:
    under_test.events.clear()
    under_test.plane.bind("127.0.0.1", 5)
    ready = under_test.wait(PortsReady)
    assert ready.host == "127.0.0.1"
    assert len(set(ready.ports)) == 5
    assert all(port % 2 == 0 and under_test.low <= port < under_test.high for port in ready.ports)


def test_ports_are_given_out_once(under_test: PlaneUnderTest) -> None:
    under_test.events.clear()
    under_test.plane.bind("127.0.0.1", 4)
    under_test.plane.bind("127.0.0.1", 4)
    under_test.wait(PortsReady, lambda e: len(under_test.all(PortsReady)) == 2)
    first, second = under_test.all(PortsReady)
    assert not set(first.ports) & set(second.ports)


def test_a_range_that_is_used_up_gives_fewer_ports(under_test: PlaneUnderTest) -> None:
    under_test.events.clear()
    under_test.plane.bind("::1", 10_000)
    assert len(under_test.wait(PortsReady).ports) <= WIDTH // 2
    under_test.events.clear()
    under_test.plane.bind("::1", 1)
    assert under_test.wait(PortsReady).ports == ()


def test_a_removed_flow_reports_once_and_an_unknown_one_never(under_test: PlaneUnderTest) -> None:
    under_test.events.clear()
    made = flow(
        "once/0", side(Address("127.0.0.1", under_test.low), None), side(Address("127.0.0.1", under_test.low + 2), None)
    )
    under_test.plane.apply(made)
    under_test.plane.apply(made)
    under_test.plane.remove("once/0")
    under_test.plane.remove("once/0")
    under_test.plane.remove("never/0")
    assert under_test.wait(StatsReport).final
    under_test.run(0.1)
    assert [report.flow_id for report in under_test.all(StatsReport)] == ["once/0"]


def test_a_flow_may_come_again_at_once_under_its_old_name(under_test: PlaneUnderTest) -> None:
    under_test.events.clear()
    made = flow(
        "again/0",
        side(Address("127.0.0.1", under_test.low), None),
        side(Address("127.0.0.1", under_test.low + 2), None),
    )
    for _ in range(3):
        under_test.plane.apply(made)
        under_test.plane.remove("again/0")
    under_test.wait(StatsReport, lambda e: len(under_test.all(StatsReport)) == 3)


def test_a_treatment_that_the_plane_lacks_is_refused(under_test: PlaneUnderTest) -> None:
    nowhere = side(Address("127.0.0.1", under_test.low), None)
    with pytest.raises(ValueError, match="alchemy"):
        under_test.plane.apply(flow("x/0", nowhere, nowhere, treatments=frozenset({"alchemy"})))


# -- forwarding -------------------------------------------------------------------------------------------------------


def test_packets_pass_both_ways_from_the_port_that_the_sdp_named(stage: Stage) -> None:
    made, near, far = stage.call()
    for sequence in range(2 * SETTLED):
        near.send(made.a.local, rtp(sequence, payload=b"to far"))
        datagram, source = far.receive()
        assert (datagram, source) == (rtp(sequence, payload=b"to far"), made.b.local)
        far.send(made.b.local, rtp(sequence, payload=b"to near"))
        datagram, source = near.receive()
        assert (datagram, source) == (rtp(sequence, payload=b"to near"), made.a.local)


def test_each_side_latches_once(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    settle(far, made.b.local, near)
    stage.under_test.wait(Latched, lambda event: event.flow_id == made.id and event.side == "b")
    stage.under_test.run(0.05)
    told = [event for event in stage.under_test.all(Latched) if event.flow_id == made.id]
    assert told == [Latched(made.id, "a", near.address), Latched(made.id, "b", far.address)]


def test_a_datagram_of_any_size_passes(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    for size in (0, 1, 160, 1400, 2036, 2037, 9000, 60_000):
        near.send(made.a.local, rtp(1000 + size, payload=b"x" * size))
        assert len(far.receive()[0]) == 12 + size


def test_ipv6_outside_and_ipv4_inside(stage: Stage) -> None:
    near, far = stage.phone("::1"), stage.phone()
    local_a, local_b = stage.ports("::1", count=1)[0], stage.ports(count=1)[0]
    made = stage.apply(side(local_a, near.address), side(local_b, far.address))
    settle(near, made.a.local, far)
    settle(far, made.b.local, near)
    assert stage.remove(made).a.source == near.address


def test_an_opaque_stream_passes_whatever_it_is(stage: Stage) -> None:
    made, near, far = stage.call(kind="udp")
    for n in range(SETTLED):
        near.send(made.a.local, b"\x00%d udptl" % n)
        assert far.receive() == (b"\x00%d udptl" % n, made.b.local)
    report = stage.remove(made)
    assert (report.a.packets, report.a.lost, report.a.jitter) == (SETTLED, 0, 0.0)


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80\x00short", id="rtp that is cut off"),
        pytest.param(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"t" * 12, id="stun"),
        pytest.param(b"\x16\xfe\xff" + b"d" * 60, id="dtls"),
        pytest.param(b"\xc0" + b"v" * 60, id="version 3"),
    ],
)
def test_what_is_not_rtp_neither_passes_nor_latches(stage: Stage, datagram: bytes) -> None:
    made, near, far = stage.call()
    near.send(made.a.local, datagram)
    assert far.hears_nothing()
    settle(near, made.a.local, far)
    near.send(made.a.local, datagram)
    assert far.hears_nothing()
    assert stage.remove(made).a.packets == SETTLED


def test_a_side_whose_place_is_unknown_is_not_sent_to(stage: Stage) -> None:
    near, far = stage.phone(), stage.phone()
    local_a, local_b = stage.ports()
    made = stage.apply(side(local_a, near.address), side(local_b, None))
    near.send(local_a, rtp(1))
    assert far.hears_nothing()
    stage.again(made._replace(b=side(local_b, far.address)))
    near.send(local_a, rtp(2))
    assert far.receive()[0] == rtp(2)


@pytest.mark.parametrize("host", ["example.net", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::1"])
def test_a_place_that_no_packet_may_go_to_is_nowhere(stage: Stage, host: str) -> None:
    near = stage.phone()
    local_a, local_b = stage.ports()
    made = stage.apply(side(local_a, near.address), side(local_b, Address(host, 9)))
    near.send(local_a, rtp(1))
    stage.under_test.wait(Latched, lambda e: e.flow_id == made.id)
    assert stage.remove(made).a.packets == 1


def test_a_peer_that_refuses_packets_for_a_while_gets_the_later_ones(stage: Stage) -> None:
    near, far = stage.phone(), stage.phone()
    local_a, local_b = stage.ports()
    stage.apply(side(local_a, near.address), side(local_b, far.address))
    far.close()
    for sequence in range(2 * SETTLED):
        near.send(local_a, rtp(sequence))
        stage.under_test.run(0.002)
    back = stage.phone(port=far.address.port)
    for sequence in range(100, 110):
        near.send(local_a, rtp(sequence))
        assert back.receive()[0] == rtp(sequence)


# -- latching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settled", [False, True])
def test_rtp_bleed_a_stranger_neither_gets_nor_gives_anything(stage: Stage, settled: bool) -> None:
    made, near, far = stage.call()
    thief = stage.phone("127.0.0.66")
    near.send(made.a.local, rtp(0))
    far.receive()
    if settled:
        settle(near, made.a.local, far)
        settle(far, made.b.local, near)
    for sequence in range(50):
        thief.send(made.a.local, rtp(sequence, payload=b"evil"))
        thief.send(made.b.local, rtp(sequence, payload=b"evil"))
    assert far.hears_nothing()
    assert near.hears_nothing()
    far.send(made.b.local, rtp(1000))
    assert near.receive()[0] == rtp(1000)
    assert thief.hears_nothing()
    told = stage.under_test.wait(SourceMismatch, lambda e: e.flow_id == made.id)
    assert told.source == thief.address
    assert len([e for e in stage.under_test.all(SourceMismatch) if e.flow_id == made.id]) == 2  # one a side and second
    report = stage.remove(made)
    assert (report.a.mismatched, report.b.mismatched) == (50, 50)
    assert report.a.source == near.address


@pytest.mark.parametrize(
    ("latching", "signalling", "sends_from", "accepted"),
    [
        (Latching.STRICT, None, "place", True),
        (Latching.STRICT, None, "other port", False),
        (Latching.STRICT, "127.0.0.7", "signalling", False),
        (Latching.SIGNALLING, None, "other port", True),
        (Latching.SIGNALLING, "127.0.0.7", "signalling", True),
        (Latching.SIGNALLING, "127.0.0.7", "elsewhere", False),
        (Latching.ANY, None, "elsewhere", True),
    ],
)
def test_who_may_latch(
    stage: Stage, latching: Latching, signalling: str | None, sends_from: str, accepted: bool
) -> None:
    named, far = stage.phone(), stage.phone()
    speaker = {
        "place": lambda: named,
        "other port": stage.phone,
        "signalling": lambda: stage.phone("127.0.0.7"),
        "elsewhere": lambda: stage.phone("127.0.0.9"),
    }[sends_from]()
    local_a, local_b = stage.ports()
    stage.apply(side(local_a, named.address, latching=latching, signalling=signalling), side(local_b, far.address))
    speaker.send(local_a, rtp(1))
    assert far.hears_nothing() is not accepted
    far.send(local_b, rtp(1))
    heard_by = speaker if accepted else named
    assert heard_by.receive()[0] == rtp(1)


def test_packets_go_to_the_latched_source_and_no_longer_to_the_place_that_the_sdp_named(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(far, made.b.local, near)
    mapped = stage.phone()
    settle(mapped, made.a.local, far)
    settle(far, made.b.local, mapped, first=100)
    assert near.hears_nothing()


def test_a_latch_opens_again_only_with_a_new_exchange(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    moved = stage.phone()
    moved.send(made.a.local, rtp(1))
    assert far.hears_nothing()
    stage.again(made)
    moved.send(made.a.local, rtp(1))
    assert far.hears_nothing()
    stage.again(made._replace(a=made.a._replace(generation=2)))
    far.send(made.b.local, rtp(7))
    assert near.receive()[0] == rtp(7)  # the old source is good until a new one speaks
    moved.send(made.a.local, rtp(2))
    assert far.receive()[0] == rtp(2)
    far.send(made.b.local, rtp(8))
    assert moved.receive()[0] == rtp(8)
    near.send(made.a.local, rtp(3))
    assert far.hears_nothing()


def test_the_old_source_s_word_closes_the_latch_of_a_new_exchange(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    stage.again(made._replace(a=made.a._replace(generation=2)))
    settle(near, made.a.local, far, first=100)
    other = stage.phone()
    other.send(made.a.local, rtp(1))
    assert far.hears_nothing()


def test_when_the_sdp_names_another_place_packets_go_there_at_once(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    settle(far, made.b.local, near)
    new = stage.phone()
    stage.again(made._replace(a=side(made.a.local, new.address, generation=2)))
    near.send(made.a.local, rtp(500))  # still on the way: must not latch again
    assert far.hears_nothing()
    far.send(made.b.local, rtp(501))
    assert new.receive()[0] == rtp(501)
    settle(new, made.a.local, far)


@pytest.mark.parametrize("settled", [False, True], ids=["young", "settled"])
def test_media_follow_the_signalling_to_another_host_and_nobody_else_does(stage: Stage, settled: bool) -> None:
    near, far = stage.phone(), stage.phone()
    local_a, local_b = stage.ports()
    made = stage.apply(side(local_a, near.address, signalling="127.0.0.1"), side(local_b, far.address))
    settle(near, local_a, far, count=SETTLED if settled else 1)
    moved, thief = stage.phone("127.0.0.2"), stage.phone("127.0.0.3")
    for other in (moved, thief):
        other.send(local_a, rtp(1))
    assert far.hears_nothing()
    stage.again(made._replace(a=made.a._replace(signalling="127.0.0.2", moves=1)))
    stage.under_test.run(0.05)
    settle(near, local_a, far, first=100, count=5)  # on its way yet: it must not keep the latch closed
    thief.send(local_a, rtp(1))
    assert far.hears_nothing()
    settle(moved, local_a, far, first=200)
    far.send(local_b, rtp(8))
    assert moved.receive()[0] == rtp(8)
    near.send(local_a, rtp(3))
    thief.send(local_a, rtp(3))
    assert far.hears_nothing()
    stage.under_test.wait(Latched, lambda event: event == Latched(made.id, "a", moved.address))


def test_a_source_that_is_known_already_is_the_only_one(stage: Stage) -> None:
    named, known, far = stage.phone(), stage.phone(), stage.phone()
    local_a, local_b = stage.ports()
    stage.apply(side(local_a, named.address), side(local_b, far.address), latched_a=known.address)
    far.send(local_b, rtp(1))
    assert known.receive()[0] == rtp(1)
    named.send(local_a, rtp(1))
    assert far.hears_nothing()


# -- RTCP -------------------------------------------------------------------------------------------------------------

REPORT = struct.pack("!BBHI", 0x80, 201, 1, 0x5BC)


def sdes(*items: tuple[int, bytes]) -> bytes:
    body = struct.pack("!I", 0x5BC) + b"".join(bytes([kind, len(text)]) + text for kind, text in items)
    body += b"\x00" * (4 - len(body) % 4)
    return struct.pack("!BBH", 0x81, 202, len(body) // 4) + body


NAMES = sdes((1, b"alice@10.0.0.5"), (2, b"Alice"), (6, b"SecretPhone 1.0"))


def rtcp_call(stage: Stage, mux_a: bool, mux_b: bool, cname: str = "") -> tuple[Flow, Phone, Phone, Phone, Phone]:
    near, near_rtcp = stage.phone_pair()
    far, far_rtcp = stage.phone_pair()
    local_a, local_b = stage.ports()
    made = stage.apply(
        side(local_a, near.address, rtcp_mux=mux_a, cname=cname), side(local_b, far.address, rtcp_mux=mux_b)
    )
    return made, near, near_rtcp, far, far_rtcp


@pytest.mark.parametrize("mux_a", [False, True])
@pytest.mark.parametrize("mux_b", [False, True])
@pytest.mark.parametrize("settled", [False, True])
def test_rtcp_passes_on_the_port_that_each_side_agreed_on(
    stage: Stage, mux_a: bool, mux_b: bool, settled: bool
) -> None:
    made, near, near_rtcp, far, far_rtcp = rtcp_call(stage, mux_a, mux_b)
    if settled:
        settle(near, made.a.local, far)
        settle(far, made.b.local, near)
    sender, to = (near, made.a.local) if mux_a else (near_rtcp, Address(made.a.local.host, made.a.local.port + 1))
    receiver = far if mux_b else far_rtcp
    sender.send(to, REPORT + NAMES)
    expected = made.b.local.port if mux_b else made.b.local.port + 1
    assert receiver.receive() == (REPORT + NAMES, Address("127.0.0.1", expected))
    report = stage.remove(made)
    assert (report.a.rtcp_packets, report.a.packets) == (1, SETTLED if settled else 0)


def test_rtcp_must_come_from_the_host_of_the_rtp(stage: Stage) -> None:
    made, near, near_rtcp, far, far_rtcp = rtcp_call(stage, False, False)
    port = Address(made.a.local.host, made.a.local.port + 1)
    settle(near, made.a.local, far)
    thief = stage.phone("127.0.0.66")
    thief.send(port, REPORT)
    assert far_rtcp.hears_nothing()
    mapped = stage.phone()  # the same host, at a port that a NAT chose
    mapped.send(port, REPORT)
    assert far_rtcp.receive()[0] == REPORT
    near_rtcp.send(port, REPORT)
    assert far_rtcp.hears_nothing()
    far_rtcp.send(Address(made.b.local.host, made.b.local.port + 1), REPORT)
    assert mapped.receive()[0] == REPORT
    assert stage.remove(made).a.mismatched == 2


@pytest.mark.parametrize("mux", [False, True])
@pytest.mark.parametrize("settled", [False, True])
def test_source_descriptions_do_not_carry_the_other_side_s_names(stage: Stage, mux: bool, settled: bool) -> None:
    made, near, near_rtcp, far, far_rtcp = rtcp_call(stage, mux, mux, cname="tok3n")
    if settled:
        settle(near, made.a.local, far)
        settle(far, made.b.local, near)
    goodbye = struct.pack("!BBHI", 0x81, 203, 3, 0x5BC) + b"\x07leaving"
    private = struct.pack("!BBHI4s", 0x80, 204, 2, 0x5BC, b"host")
    sender, to = (far, made.b.local) if mux else (far_rtcp, Address(made.b.local.host, made.b.local.port + 1))
    receiver = near if mux else near_rtcp
    sender.send(to, REPORT + NAMES + private + goodbye)
    heard, _ = receiver.receive()
    assert heard == REPORT + sdes((1, b"tok3n")) + struct.pack("!BBHI", 0x81, 203, 1, 0x5BC)
    sender.send(to, (REPORT + NAMES)[:-4])  # malformed: nobody can say what it holds
    assert receiver.hears_nothing()


# -- figures, silence -------------------------------------------------------------------------------------------------


def test_loss_and_order_are_counted(stage: Stage) -> None:
    made, near, far = stage.call()
    sent = [n for n in range(200) if n not in (50, 51, 120)]
    sent[20], sent[21] = sent[21], sent[20]
    for n in sent:
        near.send(made.a.local, rtp(65_500 + n, timestamp=n * 160))
        far.receive()
    report = stage.remove(made)
    assert report.a.packets == 197
    assert report.a.octets == 197 * 172
    assert report.a.lost == 3
    assert report.a.reordered == 1
    assert report.b.packets == 0


def test_silence_is_told_once_until_packets_come_again(stage: Stage) -> None:
    made, near, _far = stage.call(silence=0.4)
    stage.under_test.wait(Silent, lambda e: e.flow_id == made.id)
    stage.under_test.events.clear()
    for _ in range(3):
        stage.under_test.run(0.3)
    assert not stage.under_test.all(Silent)
    near.send(made.a.local, rtp(1))
    stage.under_test.wait(Silent, lambda e: e.flow_id == made.id)


def test_packets_from_either_side_keep_silence_away(stage: Stage) -> None:
    made, near, far = stage.call(silence=0.4)
    for sequence in range(10):
        far.send(made.b.local, rtp(sequence))
        near.receive()
        stage.under_test.run(0.1)
    assert not [e for e in stage.under_test.all(Silent) if e.flow_id == made.id]


def test_a_stranger_does_not_keep_silence_away(stage: Stage) -> None:
    made, near, _far = stage.call(silence=0.4)
    near.send(made.a.local, rtp(1))
    thief = stage.phone("127.0.0.66")
    stage.under_test.events.clear()
    for sequence in range(8):
        thief.send(made.a.local, rtp(sequence))
        stage.under_test.run(0.1)
    stage.under_test.wait(Silent, lambda e: e.flow_id == made.id)


def test_a_flow_on_hold_is_not_watched_until_it_is_applied_so(stage: Stage) -> None:
    made, _near, _far = stage.call(silence=0.0)
    stage.under_test.run(0.5)
    assert not [e for e in stage.under_test.all(Silent) if e.flow_id == made.id]
    stage.again(made._replace(silence=0.2))
    stage.under_test.wait(Silent, lambda e: e.flow_id == made.id)


# -- RTCP feedback -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "feedback",
    [
        pytest.param(struct.pack("!BBHIIHH", 0x81, 205, 3, 1, 2, 700, 0x8001), id="generic NACK"),
        pytest.param(struct.pack("!BBHII", 0x81, 206, 2, 1, 2), id="picture loss"),
        pytest.param(struct.pack("!BBHIIII", 0x84, 206, 4, 1, 0, 2, 9 << 24), id="full intra request"),
        pytest.param(struct.pack("!BBHIIII", 0x83, 205, 4, 1, 0, 2, 0x12345678), id="bandwidth (TMMBR)"),
        pytest.param(struct.pack("!BBHII4sIi", 0x8F, 206, 5, 1, 0, b"REMB", 0x01000000, 2), id="REMB"),
    ],
)
def test_feedback_crosses_unharmed_also_where_names_are_hidden(stage: Stage, feedback: bytes) -> None:
    made, _near, near_rtcp, _far, far_rtcp = rtcp_call(stage, False, False, cname="tok3n")
    port = Address(made.b.local.host, made.b.local.port + 1)
    far_rtcp.send(port, feedback)  # reduced-size (RFC 5506)
    assert near_rtcp.receive()[0] == feedback
    far_rtcp.send(port, REPORT + feedback)
    assert near_rtcp.receive()[0] == REPORT + feedback


# -- the end of a flow ------------------------------------------------------------------------------------------------


def test_a_removed_flow_forwards_nothing_and_its_ports_drain(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    settle(far, made.b.local, near)
    stage.remove(made)
    for sequence in range(100):
        near.send(made.a.local, rtp(sequence))
    assert far.hears_nothing()
    thief = stage.phone("127.0.0.66")
    thief.send(made.a.local, rtp(1))
    stage.under_test.run(0.05)
    newcomer, other = stage.phone(), stage.phone()
    again = stage.apply(side(made.a.local, newcomer.address, latching=Latching.ANY), side(made.b.local, other.address))
    assert other.hears_nothing()  # nothing of the old call is left in the buffers
    settle(newcomer, made.a.local, other)
    report = stage.remove(again)
    assert (report.a.packets, report.a.mismatched) == (SETTLED, 0)


def test_ports_survive_a_flood_while_nobody_uses_them(stage: Stage) -> None:
    local_a, local_b = stage.ports()
    near, far, noisy = stage.phone(), stage.phone(), stage.phone("127.0.0.66")
    for _ in range(30):
        for sequence in range(100):
            noisy.send(local_a, rtp(sequence))
        stage.under_test.run(0.002)
    made = stage.apply(side(local_a, near.address, latching=Latching.ANY), side(local_b, far.address))
    stage.under_test.run(0.05)
    assert far.hears_nothing()
    settle(near, local_a, far)
    assert stage.remove(made).a.packets == SETTLED


def test_a_flow_may_move_to_other_ports(stage: Stage) -> None:
    made, near, far = stage.call()
    settle(near, made.a.local, far)
    elsewhere = stage.ports(count=1)[0]
    stage.again(made._replace(b=made.b._replace(local=elsewhere, generation=2)))
    near.send(made.a.local, rtp(100))
    assert far.receive() == (rtp(100), elsewhere)
    assert stage.remove(made).a.packets == SETTLED + 1


# -- the end of a plane -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PLANES)
def test_a_lost_plane_says_so_and_carries_on_when_its_flows_are_applied_again(kind: str) -> None:
    under_test = PLANES[kind]()
    stage = Stage(under_test)
    try:
        made, near, far = stage.call()
        under_test.run(0.05)
        if under_test.moves_packets:
            settle(near, made.a.local, far)
        under_test.crash()
        under_test.wait(PlaneLost)
        under_test.plane.apply(made)
        under_test.plane.bind("127.0.0.1", 3)
        ready = under_test.wait(PortsReady, lambda e: len(e.ports) == 3)
        assert not {made.a.local.port, made.b.local.port} & set(ready.ports)
        if under_test.moves_packets:
            settle(near, made.a.local, far)
            settle(far, made.b.local, near)
        assert stage.remove(made).final
        assert len(under_test.all(StatsReport)) == 1
    finally:
        stage.close()
        under_test.close()
