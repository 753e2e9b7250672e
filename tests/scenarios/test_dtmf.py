"""Digits between a side that speaks telephone-events (RFC 4733) and one that uses INFO, through a real twistd. Events
are seen on the wire."""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest

from tests.support.border import Border
from tests.support.capture import Capture, payloads
from tests.support.lab import Namespace, wait_until
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller
from tests.support.sipp import Sipp

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

both_ways = pytest.mark.parametrize("route", [INWARDS, OUTWARDS], ids=lambda route: route.name)


class Packet(NamedTuple):
    """One packet of a telephone-event."""

    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    code: int
    ends: bool
    duration: int


class Events:
    """The telephone-events that come to a side, as long as it is looked at."""

    def __init__(self, namespace: Namespace, number: int = 101) -> None:
        self._capture = Capture(namespace)
        self._number = number
        self.packets: list[Packet] = []

    def look(self) -> list[list[Packet]]:
        """What has come so far, by event."""
        for payload in payloads(self._capture.take()):
            data = payload.data
            if payload.by_host or payload.protocol != 17 or len(data) != 16 or data[0] != 0x80:
                continue
            _, second, sequence, timestamp, ssrc, code, flags, duration = struct.unpack("!BBHIIBBH", data)
            if second & 0x7F == self._number:
                marker, ends = bool(second & 0x80), bool(flags & 0x80)
                self.packets.append(Packet(marker, sequence, timestamp, ssrc, code, ends, duration))
        starts = dict.fromkeys(packet.timestamp for packet in self.packets)
        return [[packet for packet in self.packets if packet.timestamp == start] for start in starts]

    def wait(self, count: int) -> list[list[Packet]]:
        """The packets of each of `count` events, once all have ended."""
        found: list[list[Packet]] = []

        def ended() -> bool:
            found[:] = self.look()
            return len(found) == count and all(sum(packet.ends for packet in event) == 3 for event in found)

        wait_until(ended, f"{count} events", timeout=15)
        return found

    def close(self) -> None:
        self._capture.close()


def is_an_event(packets: list[Packet], code: int, duration: int) -> None:
    """RFC 4733 section 2.5.1: the marker on the first packet alone, one timestamp, growing durations, and the end said
    three times."""
    assert {packet.code for packet in packets} == {code}
    assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
    assert [packet.ends for packet in packets] == [False] * (len(packets) - 3) + [True] * 3
    durations = [packet.duration for packet in packets]
    growing = durations[:-2]
    assert growing == sorted(set(growing))
    assert durations[-3:] == [duration * 8] * 3
    first = packets[0].sequence
    assert [packet.sequence for packet in packets] == [(first + n) & 0xFFFF for n in range(len(packets))]


CALL = """
    -> INVITE {caller}
    <- 100 maybe
    <- 180
    <- 200 sdp
    -> ACK
"""
ANSWER = """
    <- INVITE
    -> 180
    -> 200 {callee}
    <- ACK
"""
HANGS_UP = "-> BYE\n<- 200 BYE"
IS_HUNG_UP = "<- BYE\n-> 200 BYE"
PRESSES = "0.2 s\npress 5\n1 s\npress pound"
TOLD = """
    <- INFO digit=5 | Content-Type: application/dtmf-relay | -Info-Package
    -> 200 INFO
    <- INFO digit=#
    -> 200 INFO
"""
TELLS = """
    -> INFO digit=5
    <- 200 INFO
    -> INFO digit=*
    <- 200 INFO
    2.5 s
"""


def start(border: Border, route: Route, calls: str, answers: str) -> tuple[Sipp, Sipp]:
    answering = callee(border, route, answers)
    return caller(border, route, calls), answering


def finish(border: Border, calling: Sipp, answering: Sipp) -> str:
    """The call is over; what is kept of its messages and decisions."""
    for party in (calling, answering):
        try:
            party.wait()
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{border.edge.sbc('explain', 'last')}") from None
    record = border.record(calling)
    assert record["status"] == 200
    return border.edge.sbc("explain", record["id"], "--messages")


@both_ways
def test_telephone_events_of_the_caller_become_info(border: Border, route: Route) -> None:
    parties = start(
        border, route,
        CALL.format(caller="sdp") + PRESSES + "\n" + IS_HUNG_UP,
        ANSWER.format(callee="mute") + TOLD + "\n" + HANGS_UP,
    )  # fmt: skip
    kept = finish(border, *parties)
    assert "RFC 4733 becomes INFO" in kept
    assert kept.count("Signal=***") == 2
    assert "Signal=5" not in kept


@both_ways
def test_telephone_events_of_the_callee_become_info(border: Border, route: Route) -> None:
    parties = start(
        border, route,
        CALL.format(caller="mute") + TOLD + "\n" + HANGS_UP,
        ANSWER.format(callee="sdp").replace("<- INVITE", "<- INVITE sdp") + PRESSES + "\n" + IS_HUNG_UP,
    )  # fmt: skip
    finish(border, *parties)


@both_ways
@pytest.mark.parametrize("tells", ["caller", "callee"])
def test_info_becomes_telephone_events(border: Border, route: Route, tells: str) -> None:
    by_caller = tells == "caller"
    hears_outside = route.outwards is by_caller
    events = Events(border.lab.public if hears_outside else border.lab.private)
    try:
        parties = start(
            border, route,
            CALL.format(caller="mute" if by_caller else "sdp") + (TELLS + HANGS_UP if by_caller else IS_HUNG_UP),
            ANSWER.format(callee="sdp" if by_caller else "mute") + (IS_HUNG_UP if by_caller else TELLS + HANGS_UP),
        )  # fmt: skip
        five, star = events.wait(2)
        is_an_event(five, 5, 200)
        is_an_event(star, 10, 200)
        assert five[0].ssrc == star[0].ssrc
        kept = finish(border, *parties)
        assert "INFO becomes RFC 4733" in kept
        assert kept.count("Signal=***") == 2
    finally:
        events.close()


@both_ways
def test_between_two_that_speak_telephone_events_they_pass_as_they_are(border: Border, route: Route) -> None:
    events = Events(border.lab.public if route.outwards else border.lab.private)
    try:
        parties = start(
            border, route,
            CALL.format(caller="sdp") + "0.2 s\npress 5\n5 s\n" + HANGS_UP,
            ANSWER.format(callee="sdp") + IS_HUNG_UP,
        )  # fmt: skip
        (five,) = events.wait(1)
        assert {(packet.code, packet.ssrc) for packet in five} == {(5, 0x0E05384E)}, "the packets of SIPp's recording"
        assert "dtmf" not in finish(border, *parties)
    finally:
        events.close()
