"""A small SIP phone on Twisted, over UDP: what `sbc demo` calls with, and what the built-in answering peer answers
with.

It stands on `sbc.sip` (transactions, dialogs) and keeps its own few calls; it knows nothing of the SBC that it talks
through.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from sbc.admin.audio_line import AudioLine
from sbc.admin.phone_account import PhoneSettings
from sbc.admin.phone_sdp import PeerAudio, description, peer_audio
from sbc.sdp import SdpError, SessionDescription
from sbc.sip import (
    AckReceived,
    Address,
    CancelReceived,
    Deliver,
    Dialog,
    Effect,
    Headers,
    Hop,
    Limits,
    Packet,
    Request,
    RequestReceived,
    Response,
    ResponseReceived,
    SipError,
    SipStack,
    Timers,
    Tokens,
    TransactionFailed,
    TransactionId,
    TransactionTimedOut,
    Transmit,
    make_response,
    parse_uri,
)

log = Logger()
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS"
_TRANSPORT = "UDP"


@dataclass(slots=True, eq=False)
class PhoneCall:
    """One call of a phone."""

    call_id: str
    line: AudioLine
    caller: bool
    """We placed it."""
    invite: Request
    transaction: TransactionId
    hop: Hop
    tag: str
    session: int = 0
    version: int = 1
    dialog: Dialog | None = None
    state: str = "trying"
    """trying, ringing, answered, ended"""
    status: int = 0
    """Final status of the INVITE; 0: none yet, or none came."""
    ended_by: str = ""
    """"us", "peer", or why else it ended."""
    ok: Response | None = None
    """Our 2xx, until its ACK has come."""
    resend_at: float = 0.0
    resend_after: float = 0.5
    give_up_at: float = 0.0
    answer_at: float = 0.0
    offered: bool = False
    """Our 2xx held the offer: the ACK brings the answer."""
    waiting: dict[str, Deferred[None]] = field(default_factory=dict)
    """Who wants to know when it is "answered" or "ended"."""


class Phone(DatagramProtocol):
    """One phone with its SIP socket. `frequency_of` says what a called user plays (Hz; None: echo), or raises
    LookupError for a user that does not exist; without it the phone takes no calls. `ended` is told of each call that
    has ended. `tap` is shown every datagram that arrives, of SIP, RTP and RTCP; `sent` every SIP message that goes
    out.
    """

    def __init__(
        self,
        reactor: Any,
        settings: PhoneSettings,
        *,
        frequency_of: Callable[[str], float | None] | None = None,
        ended: Callable[[PhoneCall], None] | None = None,
        tap: Callable[[bytes], None] | None = None,
        sent: Callable[[bytes], None] | None = None,
        timers: Timers | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._frequency_of = frequency_of
        self._ended = ended
        self._tap = tap
        self._sent = sent
        self._timers = timers or Timers()
        self._tokens = Tokens(secrets.token_bytes)
        self._calls: dict[str, PhoneCall] = {}
        self._by_transaction: dict[TransactionId, PhoneCall] = {}
        self._questions: dict[TransactionId, tuple[Request, Hop, Deferred[int]]] = {}
        self._registration = self._tokens.call_id()
        self._registers = 0
        self._timer: Any = None
        self._port: Any = None
        self._answers: dict[type, Callable[[Any, float], None]] = {
            RequestReceived: self._requested,
            ResponseReceived: self._responded,
            AckReceived: self._acknowledged,
            CancelReceived: self._cancelled,
            TransactionTimedOut: self._unanswered,
            TransactionFailed: self._unanswered,
        }

    # -- for its user -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the socket. Raises CannotListenError."""
        settings = self._settings
        self._port = self._reactor.listenUDP(settings.port, self, settings.host, maxPacketSize=65535)
        self.local = Address(settings.host, self._port.getHost().port)
        self._name = _host_port(self.local)
        self._stack = SipStack(
            self._timers, Limits(), self._tokens, {("", _TRANSPORT, self.local): self._name}, 50 * settings.max_calls
        )

    def stop(self) -> Deferred[None]:
        """End every call and close the socket."""
        for call in list(self._calls.values()):
            self.hang_up(call)
            self._forget(call, "us")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        port, self._port = self._port, None
        done: Deferred[None] = Deferred()
        if port is None:
            done.callback(None)
        else:
            port.stopListening().addBoth(lambda _: done.callback(None))
        return done

    @property
    def call_count(self) -> int:
        return len(self._calls)

    def options(self, target: Address) -> Deferred[int]:
        """The status that `target` answers OPTIONS with; 408 if it does not answer, 503 if nobody is there."""
        request = self._request("OPTIONS", f"sip:{_host_port(target)}", self._tokens.call_id(), self._tokens.tag())
        request.headers.add("Accept", "application/sdp")
        return self._ask(request, self._hop(target), Deferred())

    def register(self, target: Address, expires: int) -> Deferred[int]:
        """Register with the account at `target`, for `expires` seconds (0: no longer); the status as `options`."""
        account = self._settings.account
        assert account is not None
        request = self._request("REGISTER", f"sip:{account.domain}", self._registration, self._tokens.tag())
        self._registers += 10  # the challenged ones are counted between
        request.headers.set("CSeq", f"{self._registers} REGISTER")
        request.headers.set("To", f"<sip:{account.user}@{account.domain}>")
        request.headers.add("Contact", self._contact())
        request.headers.add("Expires", str(expires))
        return self._ask(request, self._hop(target), Deferred())

    def _ask(self, request: Request, hop: Hop, answer: Deferred[int]) -> Deferred[int]:
        now = time.monotonic()
        transaction, effects = self._stack.send_request(request, hop, now)
        self._questions[transaction] = request, hop, answer
        self._carry_out(effects, now)
        return answer

    def call(self, user: str, target: Address, frequency: float | None) -> PhoneCall:
        """Call `user` at `target`. Raises OSError or CannotListenError when there is no port for the media."""
        now = time.monotonic()
        tag, session = self._tokens.tag(), secrets.randbits(31)
        line = self._line(frequency)
        request = self._request("INVITE", f"sip:{user}@{_host_port(target)}", self._tokens.call_id(), tag)
        request.headers.add("Contact", self._contact())
        request.headers.add("Allow", ALLOW)
        request.headers.add("Content-Type", "application/sdp")
        request.body = description(self.local.host, line.port, 1, session, self._settings.user, None, None)
        hop = self._hop(target)
        branch, effects = self._stack.send_request(request, hop, now)
        call = PhoneCall(request.call_id, line, True, request, branch, hop, tag, session)
        self._calls[call.call_id] = self._by_transaction[branch] = call
        self._carry_out(effects, now)
        return call

    def when(self, call: PhoneCall, state: str) -> Deferred[None]:
        """Fires when `call` is "answered" (or ended before) or "ended"."""
        done: Deferred[None] = Deferred()
        if call.state in (state, "ended"):
            done.callback(None)
        else:
            call.waiting[state] = done
        return done

    def hang_up(self, call: PhoneCall) -> None:
        """End `call` in the way that its state asks for: CANCEL, a refusal, or BYE."""
        now = time.monotonic()
        if call.state == "ended":
            return
        if call.state == "answered" and call.dialog is not None:
            self._say_goodbye(call, now)
        elif call.caller:
            self._carry_out(self._stack.cancel(call.transaction, now), now)
        else:
            self._refuse(call, 480, now)

    # -- socket and timer ---------------------------------------------------------------------------------------------

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if self._tap is not None:
            self._tap(datagram)
        now = time.monotonic()
        packet = Packet(datagram, self._hop(Address(addr[0], addr[1])))
        self._carry_out(self._stack.receive(packet, now), now)

    def _carry_out(self, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Transmit):
                self._write(effect.data, effect.hop.remote)
            elif isinstance(effect, Deliver):
                try:
                    self._answers[type(effect.event)](effect.event, now)
                except (SipError, SdpError) as error:
                    log.info("built-in phone: {error}", error=str(error))
        self._arm(now)

    def _write(self, data: bytes, remote: Address) -> None:
        if self._sent is not None:
            self._sent(data)
        if self._port is not None:
            try:
                self._port.write(data, (remote.host, remote.port))
            except OSError as error:
                log.info("built-in phone cannot send: {error}", error=str(error))

    def _arm(self, now: float) -> None:
        """One timer, for the earliest deadline of the stack and of the calls."""
        deadlines = [self._stack.next_deadline()]
        for call in self._calls.values():
            deadlines += [call.answer_at or None, call.resend_at if call.ok is not None else None]
            if call.state == "answered" and call.line.talking:
                deadlines.append(call.line.last_heard + self._settings.silence)
        due = [deadline for deadline in deadlines if deadline is not None]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due and self._port is not None:
            self._timer = self._reactor.callLater(max(0.001, min(due) - now), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = time.monotonic()
        for call in list(self._calls.values()):
            self._see_to(call, now)
        self._carry_out(self._stack.handle_timeout(now), now)

    def _see_to(self, call: PhoneCall, now: float) -> None:
        """Do what is due in `call`."""
        if call.answer_at and call.answer_at <= now:
            call.answer_at = 0.0
            self._answer(call, now)
        elif call.ok is not None and call.give_up_at <= now:
            call.ok = None  # 13.3.1.4: no ACK: "the session SHOULD be terminated" by BYE
            self._say_goodbye(call, now)
        elif call.ok is not None and call.resend_at <= now:
            call.resend_after = min(2 * call.resend_after, self._timers.t2)
            call.resend_at = now + call.resend_after
            self._carry_out(self._stack.respond(call.transaction, call.ok, now), now)
        elif call.state == "answered" and call.line.talking and call.line.last_heard + self._settings.silence <= now:
            self._say_goodbye(call, now)

    # -- requests that come -------------------------------------------------------------------------------------------

    def _requested(self, event: RequestReceived, now: float) -> None:
        request = event.request
        call = self._calls.get(request.call_id)
        if request.to.tag and (call is None or call.dialog is None or request.to.tag != call.tag):
            self._respond(event, 481, now)
        elif request.headers.values("Require") and request.method != "CANCEL":
            self._respond(event, 420, now, [("Unsupported", ", ".join(request.headers.values("Require")))])
        elif request.method == "OPTIONS":
            self._respond(event, 200, now, [("Allow", ALLOW), ("Accept", "application/sdp")])
        elif request.method == "INVITE":
            self._invited(event, call, now)
        elif request.method == "BYE" and call is not None and call.dialog is not None:
            if call.dialog.accept(request):
                self._respond(event, 200, now)
                self._bye(call, now)
            else:
                self._respond(event, 500, now)
        elif request.method == "BYE":
            self._respond(event, 481, now)
        else:
            self._respond(event, 405, now, [("Allow", ALLOW)])

    def _invited(self, event: RequestReceived, call: PhoneCall | None, now: float) -> None:
        if call is not None:
            self._invited_again(event, call, now)
            return
        request = event.request
        try:
            if self._frequency_of is None:
                raise LookupError
            frequency = self._frequency_of(parse_uri(request.uri).user or "")
        except LookupError:
            self._respond(event, 404, now)
            return
        if len(self._calls) >= self._settings.max_calls:
            self._respond(event, 486, now)
            return
        offer = _offer(request)
        if offer is None:
            self._respond(event, 488, now)
            return
        try:
            line = self._line(frequency)
        except (OSError, CannotListenError):
            self._respond(event, 500, now)
            return
        tag = self._tokens.tag()
        hop = event.packet.hop
        call = PhoneCall(request.call_id, line, False, request, event.transaction, hop, tag, secrets.randbits(31))
        call.dialog = Dialog.as_uas(request, tag)
        call.state = "ringing"
        self._calls[call.call_id] = self._by_transaction[event.transaction] = call
        call.answer_at = now + self._settings.ring_time
        self._respond(event, 100, now)
        self._respond(event, 180, now, [("Contact", self._contact())])

    def _invited_again(self, event: RequestReceived, call: PhoneCall, now: float) -> None:
        """A re-INVITE (14.2)."""
        request = event.request
        if call.dialog is None or not request.to.tag or not call.dialog.accept(request):
            self._respond(event, 500, now, [("Retry-After", "1")])
            return
        if call.state != "answered" or call.ok is not None:
            self._respond(event, 491, now)
            return
        if _offer(request) is None:
            self._respond(event, 488, now)
            return
        call.dialog.refresh_target(request)
        call.invite, call.transaction, call.hop = request, event.transaction, event.packet.hop
        call.version += 1
        self._answer(call, now)

    def _answer(self, call: PhoneCall, now: float) -> None:
        """Send the 200 with our description, and again until its ACK comes."""
        offer = _offer(call.invite)
        if offer is None or call.dialog is None:
            return
        sdp, audio = offer
        call.offered = audio is None
        settings = self._settings
        body = description(self.local.host, call.line.port, call.version, call.session, settings.user, sdp, audio)
        headers = [*self._own_headers(), ("Contact", self._contact()), ("Allow", ALLOW)]
        headers += [("Record-Route", value) for value in call.invite.headers.values("Record-Route")]
        headers.append(("Content-Type", "application/sdp"))
        call.ok = make_response(call.invite, 200, None, call.tag, headers, body)
        call.status = 200
        call.resend_after = self._timers.t1
        call.resend_at, call.give_up_at = now + self._timers.t1, now + 64 * self._timers.t1
        self._become(call, "answered")
        call.dialog.confirmed = True
        if audio is not None:
            call.line.talk_to(audio.rtp, audio.rtcp)
        self._carry_out(self._stack.respond(call.transaction, call.ok, now), now)

    def _acknowledged(self, event: AckReceived, now: float) -> None:
        call = self._calls.get(event.request.call_id)
        if call is None or call.ok is None or event.request.cseq.number != call.invite.cseq.number:
            return
        call.ok = None
        if call.offered and event.request.body:
            _, audio = peer_audio(event.request.body)
            if audio is not None:
                call.line.talk_to(audio.rtp, audio.rtcp)

    def _cancelled(self, event: CancelReceived, now: float) -> None:
        call = self._by_transaction.get(event.transaction)
        if call is not None and call.state == "ringing":
            self._refuse(call, 487, now, "peer")

    def _bye(self, call: PhoneCall, now: float) -> None:
        if call.state == "ringing":  # 15.1.2: pending requests are answered, 487
            self._refuse(call, 487, now, "peer")
        else:
            self._forget(call, "peer")

    def _refuse(self, call: PhoneCall, status: int, now: float, ended_by: str = "us") -> None:
        call.status = status
        response = make_response(call.invite, status, None, call.tag, self._own_headers())
        self._forget(call, ended_by)
        self._carry_out(self._stack.respond(call.transaction, response, now), now)

    def _respond(
        self, event: RequestReceived, status: int, now: float, headers: list[tuple[str, str]] | None = None
    ) -> None:
        call = self._calls.get(event.request.call_id)
        tag = None if status == 100 else call.tag if call is not None else self._tokens.tag()
        fields = [*self._own_headers(), *(headers or [])]
        if status == 180:
            fields += [("Record-Route", value) for value in event.request.headers.values("Record-Route")]
        response = make_response(event.request, status, None, tag, fields)
        self._carry_out(self._stack.respond(event.transaction, response, now), now)

    # -- responses that come ------------------------------------------------------------------------------------------

    def _responded(self, event: ResponseReceived, now: float) -> None:
        response = event.response
        question = self._questions.get(event.transaction)
        if question is not None and response.status >= 200:
            del self._questions[event.transaction]
            request, hop, answer = question
            again = self._again(request, response)
            if again is not None:
                self._ask(again, hop, answer)
            else:
                answer.callback(response.status)
        call = self._calls.get(response.call_id)
        if call is None or not call.caller:
            return
        if response.cseq.method == "INVITE":
            self._invite_answered(call, response, now)
        elif response.cseq.method == "BYE" and response.status >= 200:
            self._forget(call, "us")

    def _invite_answered(self, call: PhoneCall, response: Response, now: float) -> None:
        again = self._again(call.invite, response) if call.state == "trying" else None
        if again is not None:
            call.invite = again
            call.transaction, effects = self._stack.send_request(again, call.hop, now)
            self._by_transaction[call.transaction] = call
            self._carry_out(effects, now)
        elif response.status >= 300:
            call.status = response.status
            self._forget(call, f"{response.status} {response.reason}")
        elif response.status >= 200:
            if call.dialog is None:
                call.dialog = Dialog.as_uac(call.invite, response)
                call.status = response.status
            ack = call.dialog.request("ACK", None, cseq=response.cseq.number)
            self._carry_out(self._stack.send_ack(ack, self._next_hop(call), now), now)
            if call.state != "answered":
                _, audio = peer_audio(response.body)
                if audio is None:
                    self._say_goodbye(call, now)
                    return
                call.line.talk_to(audio.rtp, audio.rtcp)
                self._become(call, "answered")
        elif response.status > 100 and call.state == "trying":
            call.state = "ringing"

    def _unanswered(self, event: TransactionTimedOut | TransactionFailed, now: float) -> None:
        status = 503 if isinstance(event, TransactionFailed) else 408
        question = self._questions.pop(event.transaction, None)
        if question is not None:
            question[2].callback(status)
        call = self._by_transaction.get(event.transaction)
        if call is not None and call.state != "answered":
            call.status = call.status or status
            self._forget(call, "no answer")
        elif call is not None and call.ended_by == "us":
            self._forget(call, "us")

    # -- small things -------------------------------------------------------------------------------------------------

    def _say_goodbye(self, call: PhoneCall, now: float) -> None:
        if call.dialog is None or call.ended_by:
            return
        call.ended_by = "us"
        call.line.close()
        request = call.dialog.request("BYE", None)
        for name, value in self._own_headers():
            request.headers.add(name, value)
        transaction, effects = self._stack.send_request(request, self._next_hop(call), now)
        if call.caller:
            self._by_transaction[transaction] = call
            call.transaction = transaction
        else:
            self._forget(call, "us")
        self._carry_out(effects, now)

    def _forget(self, call: PhoneCall, ended_by: str) -> None:
        if call.state == "ended":
            return
        call.ended_by = call.ended_by or ended_by
        call.ok = None
        call.answer_at = 0.0
        call.line.close()
        self._calls.pop(call.call_id, None)
        for transaction in [key for key, value in self._by_transaction.items() if value is call]:
            del self._by_transaction[transaction]
        if self._ended is not None:
            self._ended(call)
        self._become(call, "ended")

    @staticmethod
    def _become(call: PhoneCall, state: str) -> None:
        call.state = state
        for waited in ("answered", "ended") if state == "ended" else (state,):
            waiting = call.waiting.pop(waited, None)
            if waiting is not None:
                waiting.callback(None)

    def _line(self, frequency: float | None) -> AudioLine:
        settings = self._settings
        source = {"cname": settings.cname, "name": settings.user, "tool": settings.tool}
        return AudioLine(self._reactor, settings.host, frequency, source, secrets.randbits(32), self._tap)

    def _again(self, request: Request, response: Response) -> Request | None:
        """`request` with our credentials, where `response` asks for them."""
        account = self._settings.account
        return account.again(request, response) if account is not None else None

    def _request(self, method: str, uri: str, call_id: str, tag: str) -> Request:
        account = self._settings.account
        fields = [
            ("Max-Forwards", "70"),
            ("From", f"<sip:{self._settings.user}@{account.domain if account else self._name}>;tag={tag}"),
            ("To", f"<{uri}>"),
            ("Call-ID", call_id),
            ("CSeq", f"1 {method}"),
            *self._own_headers(),
        ]
        return Request(method, uri, Headers(fields))

    def _own_headers(self) -> list[tuple[str, str]]:
        agent = self._settings.user_agent
        return [("User-Agent", agent)] if agent else []

    def _contact(self) -> str:
        return f"<sip:{self._settings.user}@{self._name}>"

    def _hop(self, remote: Address) -> Hop:
        return Hop("", _TRANSPORT, self.local, remote)

    def _next_hop(self, call: PhoneCall) -> Hop:
        """Where requests of the dialog go; to where its messages come from if that is no IP address."""
        if call.dialog is not None:
            uri = parse_uri(call.dialog.next_hop)
            try:
                return self._hop(Address(str(ipaddress.ip_address(uri.host)), uri.port or 5060))
            except ValueError:
                pass
        return call.hop


def _offer(request: Request) -> tuple[SessionDescription | None, PeerAudio | None] | None:
    """The offer in an INVITE: (None, None) if it has none (then ours goes into the 2xx); None if we cannot serve it."""
    if not request.body:
        return None, None
    try:
        sdp, audio = peer_audio(request.body)
    except SdpError:
        return None
    return None if audio is None else (sdp, audio)


def _host_port(address: Address) -> str:
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"
