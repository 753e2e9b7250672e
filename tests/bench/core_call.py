"""CPU time of one whole call in the two cores alone: no sockets, no disk, no plane. `python -m tests.bench.core_call`

The messages are those of the yardstick's call (INVITE 100 180 200 ACK BYE 200). `--profile` shows where the time goes.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import re
import sys
import time

from sbc.b2bua import Abandon, ApplyFlow, BindPorts, RemoveFlow, Respond, SendAck, SendRequest, Settings
from sbc.sip import Deliver, Hop, Packet, Transmit
from tests.support.world import CALLER, INSIDE, OUTSIDE, PBX, Edge, Events, Weather, Wires

_SDP = (
    "v=0\r\no=uac 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\na=sendrecv\r\n"
)


def request(method: str, uri: str, number: int, to_tag: str, cseq: int, body: str = "") -> bytes:
    host, port = CALLER
    tag = f";tag={to_tag}" if to_tag else ""
    text = (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK-{number}-{method}\r\n"
        f"From: sipp <sip:sipp@{host}:{port}>;tag=123SIPpTag00{number}\r\n"
        f"To: service <sip:1001@{OUTSIDE.host}:5060>{tag}\r\n"
        f"Call-ID: {number}-123@{host}\r\nCSeq: {cseq} {method}\r\nContact: <sip:sipp@{host}:{port}>\r\n"
        "Max-Forwards: 70\r\n"
    )
    if body:
        text += "User-Agent: yardstick\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO\r\n"
        text += "Content-Type: application/sdp\r\n"
    return f"{text}Content-Length: {len(body)}\r\n\r\n{body}".encode()


_COPIED = re.compile(rb"^(?:Via|From|To|Call-ID|CSeq): .*\r\n", re.MULTILINE)


def answer(received: bytes, status: str, number: int, body: str = "") -> bytes:
    lines = b"".join(
        line[:-2] + b";tag=9uas%d\r\n" % number if line.startswith(b"To:") and b"tag=" not in line else line
        for line in _COPIED.findall(received)
    )
    head = b"SIP/2.0 %s\r\n" % status.encode() + lines + b"Contact: <sip:uas@10.0.0.5:5060>\r\n"
    if body:
        head += b"Content-Type: application/sdp\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body.encode()


class Bench:
    """One edge whose sent messages are caught instead of carried."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.events = Events()
        wires = Wires(self.events, __import__("random").Random(1), Weather())
        self.edge = Edge(self.events, wires, 1, settings or Settings())
        while self.events.step(self.events.now + 1):
            pass
        self.out: list[bytes] = []
        self.hops = {
            CALLER: Hop("public", "UDP", OUTSIDE, CALLER),
            PBX: Hop("private", "UDP", INSIDE, PBX),
        }

    def feed(self, data: bytes, source: object, now: float) -> None:
        self.take(Packet(data, self.hops[source]), now)  # type: ignore[index]

    def take(self, packet: Packet, now: float) -> None:
        seen = self.edge.stack.glance(packet)
        recognised = None if seen is None else self.edge.b2bua.recognise(seen, now)
        self.carry(self.edge.stack.receive(packet, now) if recognised is None else recognised, now)

    def see_to_timers(self, now: float) -> None:
        for source in (self.edge.stack, self.edge.b2bua):
            deadline = source.next_deadline()
            if deadline is not None and deadline <= now:
                self.carry(source.handle_timeout(now), now)  # type: ignore[arg-type]

    def carry(self, wanted: list, now: float) -> None:  # type: ignore[type-arg]
        stack, b2bua = self.edge.stack, self.edge.b2bua
        for each in wanted:
            kind = type(each)
            if kind is Transmit:
                self.out.append(each.data)
            elif kind is Deliver:
                self.carry(b2bua.handle(each.event, now), now)
            elif kind is Respond:
                self.carry(stack.respond(each.transaction, each.response, now, label=each.call), now)
            elif kind is SendRequest:
                sent = stack.send_request(each.request, each.hop, now, branch=each.branch, label=each.call)
                self.carry(sent[1], now)
            elif kind is SendAck:
                self.carry(stack.send_ack(each.request, each.hop, now, label=each.call), now)
            elif kind is Abandon:
                stack.abandon(each.transaction)
            elif kind is BindPorts or kind is RemoveFlow or kind is ApplyFlow:
                self.edge._command(each, now)  # the plane's answers come through `events`

    def call(self, number: int, now: float) -> None:
        self.out.clear()
        self.feed(
            request("INVITE", "sip:1001@192.0.2.1:5060", number, "", 1, _SDP.format(host=CALLER.host, port=4000)),
            CALLER,
            now,
        )
        invite = self.out[1]
        self.feed(answer(invite, "180 Ringing", number), PBX, now)
        self.feed(answer(invite, "200 OK", number, _SDP.format(host=PBX.host, port=6000)), PBX, now)
        tag = re.search(rb"To: [^\r]*;tag=([^;\r]+)", self.out[-1])
        assert tag is not None
        self.feed(request("ACK", "sip:192.0.2.1:5060", number, tag[1].decode(), 1), CALLER, now)
        self.feed(request("BYE", "sip:192.0.2.1:5060", number, tag[1].decode(), 2), CALLER, now)
        self.feed(answer(self.out[-1], "200 OK", number), PBX, now)


def main() -> None:
    bench = Bench()
    calls = 3000
    now = 1000.0
    for number in range(300):
        now += 0.005
        bench.events.now = now
        bench.call(number, now)
        while bench.events.step(now + 0.001):
            pass
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    started = time.process_time()
    if profile:
        profile.enable()
    for number in range(300, 300 + calls):
        now += 0.005
        bench.events.now = now
        bench.call(number, now)
        while bench.events.step(now + 0.001):
            pass
        bench.see_to_timers(now)
    spent = time.process_time() - started
    if profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    print(
        f"{spent / calls * 1e6:.0f} us a call in the cores ({os.cpu_count()} processors, {len(bench.out)} messages out)"
    )


if __name__ == "__main__":
    main()
