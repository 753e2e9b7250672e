from __future__ import annotations

import struct
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from sbc.admin.audio_line import AudioLine
from sbc.rtp import rtcp_packets
from sbc.sip import Address
from tests.support.sockets import runs, until

HOST = "127.0.0.1"
SOURCE = {"cname": "a@host.invalid", "name": "a", "tool": "tester"}


class AudioLineTests(TestCase):
    def line(self, frequency: float | None, ssrc: int, tap: Any = None) -> AudioLine:
        made = AudioLine(reactor, HOST, frequency, SOURCE, ssrc, tap)
        self.addCleanup(made.close)
        return made

    @staticmethod
    def connect(one: AudioLine, other: AudioLine) -> None:
        one.talk_to(Address(HOST, other.port), Address(HOST, other.port + 1))
        other.talk_to(Address(HOST, one.port), Address(HOST, one.port + 1))

    @runs
    async def test_each_hears_the_tone_of_the_other_in_real_time(self) -> None:
        low, high = self.line(440.0, 1), self.line(880.0, 0xFFFFFFFF)
        self.connect(low, high)
        await until(lambda: low.heard().packets >= 40)
        for line, frequency in ((low, 880), (high, 440)):
            heard = line.heard()
            assert abs(heard.frequency - frequency) <= 2
            assert heard.share > 0.95
            assert heard.lost == 0
            assert 0.5 < heard.seconds < 1.5

    @runs
    async def test_an_echo_gives_back_what_it_hears(self) -> None:
        phone, echo = self.line(600.0, 5), self.line(None, 6)
        self.connect(phone, echo)
        await until(lambda: phone.heard().packets >= 15)
        assert abs(phone.heard().frequency - 600) <= 3

    @runs
    async def test_on_hold_nothing_is_sent_and_after_it_again(self) -> None:
        one, other = self.line(440.0, 1), self.line(880.0, 2)
        self.connect(one, other)
        await until(lambda: other.heard().packets >= 3)
        one.talk_to(None, None)
        assert not one.talking
        await until(lambda: one.heard().packets >= 10)
        silent = other.heard().packets
        assert silent <= 6
        one.talk_to(Address(HOST, other.port), None)
        await until(lambda: other.heard().packets > silent)

    @runs
    async def test_rtcp_tells_who_speaks_and_says_goodbye(self) -> None:
        received: list[bytes] = []
        one, other = self.line(440.0, 77), self.line(880.0, 2, received.append)
        self.connect(one, other)
        await until(lambda: any(data[1] == 200 for data in received))
        one.close()
        await until(lambda: any(203 in [part.packet_type for part in rtcp_packets(data)] for data in reports(received)))
        last = list(rtcp_packets(reports(received)[-1]))
        assert [part.packet_type for part in last] == [200, 202, 203]
        assert struct.unpack_from("!I", last[0].body)[0] == 77
        assert b"\x01\x0ea@host.invalid\x02\x01a\x06\x06tester\x00" in last[1].body

    @runs
    async def test_garbage_is_not_counted(self) -> None:
        line = self.line(440.0, 1)
        for garbage in (b"", b"x", bytes(12), bytes(2000)):
            line._rtp_received(garbage)
        assert line.heard().packets == 0

    @runs
    async def test_closing_twice_is_harmless_and_what_was_heard_stays(self) -> None:
        line = self.line(440.0, 1)
        line._rtp_received(struct.pack("!BBHII", 0x80, 0, 1, 0, 9) + bytes(160))
        line.close()
        line.close()
        assert line.heard().packets == 1


def reports(received: list[bytes]) -> list[bytes]:
    return [data for data in received if 192 <= data[1] <= 223]
