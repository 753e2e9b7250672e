"""The built-in phone against another one, and against messages written by hand, on loopback."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor, task
from twisted.trial.unittest import TestCase

from sbc.admin.phone import Phone, PhoneCall
from sbc.admin.phone_account import PhoneSettings
from sbc.sip import Address, Limits, Request, Response, Timers, parse
from tests.support.sockets import runs, until

HOST = "127.0.0.1"
QUICK = Timers(t1=0.02, t2=0.08, t4=0.05)
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"


def plays(user: str) -> float | None:
    if user == "nobody":
        raise LookupError(user)
    return None if user == "echo" else 880.0


class PhoneTests(TestCase):
    def phone(self, *, timers: Timers = QUICK, answers: bool = True, **settings: Any) -> Phone:
        made = Phone(
            reactor,
            PhoneSettings(**{"host": HOST, "ring_time": 0.05, "silence": 5.0} | settings),
            frequency_of=plays if answers else None,
            ended=lambda call: self.over.append(call),
            timers=timers,
        )
        made.start()
        self.addCleanup(made.stop)
        return made

    def setUp(self) -> None:
        self.over: list[PhoneCall] = []

    async def answered(self, caller: Phone, callee: Phone, user: str = "tone") -> PhoneCall:
        call = caller.call(user, callee.local, 440.0)
        await caller.when(call, "answered")
        assert call.state == "answered", call.ended_by
        return call

    @runs
    async def test_a_call_is_answered_heard_and_hung_up(self) -> None:
        caller, callee = self.phone(), self.phone()
        call = await self.answered(caller, callee)
        await until(lambda: call.line.heard().packets >= 15)
        caller.hang_up(call)
        await caller.when(call, "ended")
        await until(lambda: not callee.call_count)
        assert (call.status, call.ended_by) == (200, "us")
        assert {each.ended_by for each in self.over} == {"us", "peer"}
        assert abs(call.line.heard().frequency - 880) <= 3

    @runs
    async def test_the_callee_can_hang_up(self) -> None:
        caller, callee = self.phone(), self.phone()
        call = await self.answered(caller, callee)
        (theirs,) = callee._calls.values()
        await until(lambda: theirs.ok is None)
        callee.hang_up(theirs)
        await caller.when(call, "ended")
        assert call.ended_by == "peer"

    @runs
    async def test_a_call_taken_back_while_it_rings_is_487(self) -> None:
        caller, callee = self.phone(), self.phone(ring_time=3.0)
        call = caller.call("tone", callee.local, 440.0)
        await until(lambda: call.state == "ringing")
        caller.hang_up(call)
        await caller.when(call, "ended")
        assert call.status == 487
        await until(lambda: not callee.call_count)

    @runs
    async def test_refusals_have_their_status(self) -> None:
        caller, busy = self.phone(), self.phone(max_calls=1)
        await self.answered(caller, busy)
        for user, callee, status in (
            ("nobody", self.phone(), 404),
            ("tone", self.phone(answers=False), 404),
            ("tone", busy, 486),
        ):
            call = caller.call(user, callee.local, 440.0)
            await caller.when(call, "ended")
            assert call.status == status

    @runs
    async def test_nobody_there_ends_the_call_in_the_end(self) -> None:
        caller = self.phone()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind((HOST, 0))
            call = caller.call("tone", Address(HOST, silent.getsockname()[1]), 440.0)
            await caller.when(call, "ended")
        assert (call.status, call.ended_by) == (408, "no answer")

    @runs
    async def test_a_call_in_which_nothing_is_heard_is_ended(self) -> None:
        caller, callee = self.phone(), self.phone(silence=0.2)
        call = await self.answered(caller, callee)
        call.line.talk_to(None, None)
        await caller.when(call, "ended")
        assert call.ended_by == "peer"
        assert not callee.call_count

    @runs
    async def test_options_tells_whether_somebody_is_there(self) -> None:
        caller, callee = self.phone(), self.phone()
        assert await caller.options(callee.local) == 200

    @runs
    async def test_stopping_ends_the_calls(self) -> None:
        caller, callee = self.phone(), self.phone()
        call = await self.answered(caller, callee)
        (theirs,) = callee._calls.values()
        await until(lambda: theirs.ok is None)
        await callee.stop()
        await caller.when(call, "ended")
        assert call.ended_by == "peer"


class ByHandTests(TestCase):
    """What the phone says to messages that another phone would not send, or not so."""

    def setUp(self) -> None:
        settings = PhoneSettings(host=HOST, ring_time=0.01, user_agent="tester")
        self.ended: list[PhoneCall] = []
        self.phone = Phone(reactor, settings, frequency_of=plays, ended=self.ended.append, timers=QUICK)
        self.phone.start()
        self.addCleanup(self.phone.stop)
        self.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.far.close)
        self.far.bind((HOST, 0))
        self.far.setblocking(False)
        self.cseq = 0

    def send(self, method: str, body: str = "", *, to_tag: str = "", headers: str = "", cseq: int = 0) -> None:
        host, port = self.far.getsockname()
        self.cseq = cseq or self.cseq + 1
        self.far.sendto(
            (
                f"{method} sip:tone@phone SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{method}{self.cseq}\r\n"
                f"From: <sip:far@x>;tag=far\r\nTo: <sip:tone@phone>{f';tag={to_tag}' if to_tag else ''}\r\n"
                f"Call-ID: by-hand\r\nCSeq: {self.cseq} {method}\r\nContact: <sip:far@{host}:{port}>\r\n"
                f"Max-Forwards: 70\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            self.phone.local,
        )

    async def received(self) -> Request | Response:
        clock: Any = reactor
        for _ in range(600):
            try:
                return parse(self.far.recv(65535), Limits())
            except BlockingIOError:
                await task.deferLater(clock, 0.005)
        raise AssertionError("nothing came")

    async def final(self) -> Response:
        while True:
            message = await self.received()
            if isinstance(message, Response) and message.status >= 200:
                return message

    async def opened(self, body: str = OFFER) -> Response:
        """A call that has its ACK."""
        self.send("INVITE", body)
        answer = await self.final()
        self.send("ACK", "" if body else OFFER, to_tag=answer.to.tag or "", cseq=self.cseq)
        return answer

    @runs
    async def test_requests_outside_calls_are_answered_as_rfc_3261_says(self) -> None:
        for method, headers, to_tag, status in (
            ("OPTIONS", "", "", 200),
            ("PUBLISH", "", "", 405),
            ("BYE", "", "", 481),
            ("BYE", "", "unknown", 481),
            ("INVITE", "Require: 100rel\r\n", "", 420),
        ):
            self.send(method, headers=headers, to_tag=to_tag)
            answer = await self.final()
            assert (method, answer.status) == (method, status)
            assert answer.headers.get("User-Agent") == "tester"
            if status in (200, 405):
                assert "BYE" in (answer.headers.get("Allow") or "")
            if method == "INVITE":
                assert answer.headers.get("Unsupported") == "100rel"
                self.send("ACK", to_tag=answer.to.tag or "", cseq=self.cseq)

    @runs
    async def test_an_offer_without_pcmu_is_488(self) -> None:
        for body in (OFFER.replace("AVP 0", "AVP 8"), "no sdp"):
            self.send("INVITE", body)
            answer = await self.final()
            assert answer.status == 488
            self.send("ACK", to_tag=answer.to.tag or "", cseq=self.cseq)
        assert self.phone.call_count == 0

    @runs
    async def test_a_2xx_comes_again_until_its_ack_and_then_no_more(self) -> None:
        self.send("INVITE", OFFER)
        first = await self.final()
        assert (await self.final()).raw == first.raw
        self.send("ACK", to_tag=first.to.tag or "", cseq=self.cseq)
        (call,) = self.phone._calls.values()
        await until(lambda: call.ok is None)

    @runs
    async def test_without_an_ack_the_call_is_ended_with_bye(self) -> None:
        self.send("INVITE", OFFER)
        message = await self.received()
        while isinstance(message, Response):
            message = await self.received()
        assert message.method == "BYE"
        assert self.phone.call_count == 0

    @runs
    async def test_a_call_without_offer_gets_ours_and_takes_the_answer_from_the_ack(self) -> None:
        answer = await self.opened(body="")
        assert b"m=audio" in answer.body
        (call,) = self.phone._calls.values()
        await until(lambda: call.line.talking)

    @runs
    async def test_a_re_invite_puts_on_hold_and_takes_back(self) -> None:
        tag = (await self.opened()).to.tag or ""
        (call,) = self.phone._calls.values()
        await until(lambda: call.ok is None)
        for direction, talking, version in (("sendonly", False, 2), ("sendrecv", True, 3)):
            self.send("INVITE", OFFER + f"a={direction}\r\n", to_tag=tag)
            answer = await self.final()
            assert answer.status == 200
            assert f" {version} IN IP4".encode() in answer.body
            self.send("ACK", to_tag=tag, cseq=self.cseq)
            await until(lambda: call.ok is None)
            assert call.line.talking is talking

    @runs
    async def test_a_request_out_of_order_is_500(self) -> None:
        tag = (await self.opened()).to.tag or ""
        (call,) = self.phone._calls.values()
        await until(lambda: call.ok is None)
        call.dialog.remote_cseq = 100  # type: ignore[union-attr]
        self.send("BYE", to_tag=tag)
        assert (await self.final()).status == 500
        self.send("BYE", to_tag=tag, cseq=101)
        assert (await self.final()).status == 200
        assert self.phone.call_count == 0

    @runs
    async def test_bye_before_the_answer_ends_it_with_487(self) -> None:
        self.phone._settings = PhoneSettings(host=HOST, ring_time=5.0)
        self.send("INVITE", OFFER)
        message = await self.received()
        while not (isinstance(message, Response) and message.status == 180):
            message = await self.received()
        self.send("BYE", to_tag=message.to.tag or "")
        statuses = {(await self.final()).cseq.method: 0 for _ in range(2)}
        assert set(statuses) == {"BYE", "INVITE"}
        assert self.ended[0].status == 487

    @runs
    async def test_garbage_does_no_harm(self) -> None:
        for garbage in (
            b"",
            b"\r\n\r\n",
            b"INVITE",
            b"INVITE sip:a SIP/2.0\r\n\r\n",
            bytes(3000),
            b"SIP/2.0 200 OK\r\n\r\n",
        ):
            self.far.sendto(garbage, self.phone.local)
        self.send("OPTIONS")
        while (await self.final()).status != 200:
            pass
        assert self.phone.call_count == 0
