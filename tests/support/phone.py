"""A phone for `tests.support.world`: a user agent on the SIP stack that does what it is told, or what its dice say."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

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
    SipStack,
    Timers,
    Transmit,
    make_response,
)
from tests.support.world import Events, Wires, tokens

SDP = "application/sdp"


def sdp(address: Address, port: int, version: int = 1, direction: str = "sendrecv") -> bytes:
    name = "secret session" if address.host.startswith("10.") else "session"
    return (
        f"v=0\r\no=user 1 {version} IN IP4 {address.host}\r\ns={name}\r\nc=IN IP4 {address.host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
    ).encode()


def put(headers: Headers, name: str, value: str) -> None:
    """Say something in a message: once what may be said once only."""
    if name in ("Contact", "Content-Type", "Subject", "Organization", "Reply-To", "Retry-After"):
        headers.set(name, value)
    else:
        headers.add(name, value)


@dataclass
class Phone:
    """One element at one address. `gateway` is where everything is sent."""

    events: Events
    network: Wires
    address: Address
    gateway: Address
    seed: int
    on_request: Callable[[Phone, RequestReceived], None] | None = None
    on_response: Callable[[Phone, ResponseReceived], None] | None = None
    company: Callable[[Phone, bytes], tuple[str, bytes]] | None = None
    """Puts other parts beside a session description: the type and content of the whole body."""
    requests: list[Request] = field(default_factory=list)
    """New requests that came in, ACKs among them."""
    responses: list[tuple[str, Response]] = field(default_factory=list)
    """Transaction and response, as delivered."""
    sent: dict[str, Request] = field(default_factory=dict)
    """Requests that it sent, by transaction."""
    dialog: Dialog | None = None
    invite: RequestReceived | None = None
    cancelled: bool = False
    obeys: bool = True
    """It gives its INVITE up when a CANCEL comes."""
    resend: bool = True
    """Repeat our 2xx until the ACK comes, as a UAS must (13.3.1.4)."""

    def __post_init__(self) -> None:
        sent_by = {("net", "UDP", self.address): f"{self.address.host}:{self.address.port}"}
        self.tokens = tokens(self.seed)
        self.stack = SipStack(Timers(), Limits(), self.tokens, sent_by, 10_000)
        self.hop = Hop("net", "UDP", self.address, self.gateway)
        self.network.hosts[self.address] = self.receive
        self.acked: set[tuple[str, int]] = set()
        self.rng = random.Random(self.seed)
        self._armed = float("inf")

    @property
    def contact(self) -> str:
        return f"<sip:phone@{self.address.host}:{self.address.port}>"

    # -- the driver ---------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address) -> None:
        self.run(self.stack.receive(Packet(data, self.hop._replace(remote=source)), self.events.now))

    def run(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Transmit):
                self.network.send(effect.hop.local, effect.hop.remote, effect.data)
            elif isinstance(effect, Deliver):
                self._deliver(effect.event)
        deadline = self.stack.next_deadline()
        if deadline is not None and deadline < self._armed:
            self._armed = deadline
            self.events.at(deadline, self._timer)

    def _timer(self) -> None:
        if self.events.now < self._armed:
            return
        self._armed = float("inf")
        self.run(self.stack.handle_timeout(self.events.now))

    def _deliver(self, event: object) -> None:
        match event:
            case RequestReceived():
                self.requests.append(event.request)
                if event.request.method == "INVITE" and self.dialog is None:
                    self.invite = event
                if self.on_request is not None:
                    self.on_request(self, event)
            case AckReceived():
                self.requests.append(event.request)
                self.acked.add((event.request.call_id, event.request.cseq.number))
            case CancelReceived():
                self.cancelled = True
                if self.obeys and self.invite is not None and event.transaction == self.invite.transaction:
                    self.answer(self.invite, 487)
            case ResponseReceived():
                self.responses.append((event.transaction, event.response))
                if self.on_response is not None:
                    self.on_response(self, event)

    # -- what it can do ------------------------------------------------------------------------------------------------

    def call(self, uri: str, body: bytes | None = None, headers: tuple[tuple[str, str], ...] = ()) -> str:
        """Send an INVITE; gives the transaction."""
        body = sdp(self.address, 4000) if body is None else body
        request = self.new_request("INVITE", uri, (("Contact", self.contact), *headers), body)
        return self.send(request)

    def new_request(
        self, method: str, uri: str, headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
    ) -> Request:
        fields = Headers(
            (
                ("Max-Forwards", "70"),
                ("From", f'"Alice" <sip:alice@{self.address.host}>;tag={self.tokens.tag()}'),
                ("To", f"<{uri}>"),
                ("Call-ID", f"{self.tokens.call_id()}@{self.address.host}"),
                ("CSeq", f"1 {method}"),
                ("User-Agent", "SecretPhone/1.0"),
                *headers,
            )
        )
        return Request(method, uri, fields, self._dressed(fields, body))

    def _dressed(self, headers: Headers, body: bytes, kind: str = SDP) -> bytes:
        """The body as it is sent, its type told."""
        if not body:
            return b""
        if kind == SDP and self.company is not None:
            kind, body = self.company(self, body)
        headers.set("Content-Type", kind)
        return body

    def send(self, request: Request) -> str:
        transaction, effects = self.stack.send_request(request, self.hop, self.events.now)
        self.sent[transaction] = request
        self.run(effects)
        return transaction

    def cancel(self, transaction: str) -> None:
        self.run(self.stack.cancel(transaction, self.events.now))

    def ack(self, response: Response, body: bytes = b"") -> None:
        assert self.dialog is not None
        request = self.dialog.request("ACK", None, cseq=response.cseq.number)
        request.body = self._dressed(request.headers, body)
        self.run(self.stack.send_ack(request, self.hop, self.events.now))

    def in_dialog(
        self,
        method: str,
        body: bytes = b"",
        content_type: str = SDP,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> str:
        assert self.dialog is not None
        request = self.dialog.request(method, self.contact)
        for name, value in headers:
            put(request.headers, name, value)
        request.body = self._dressed(request.headers, body, content_type)
        return self.send(request)

    def answer(
        self,
        event: RequestReceived,
        status: int,
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
        tag: str | None = None,
    ) -> Response:
        request = event.request
        if request.to.tag is None and tag is None:
            tag = self._tag(request)
        response = make_response(request, status, to_tag=tag)
        response.body = self._dressed(response.headers, body)
        response.headers.add("Contact", self.contact)
        response.headers.add("Server", "SecretPBX/2.0" if self.address.host.startswith("10.") else "Phone/2.0")
        for name, value in headers:
            put(response.headers, name, value)
        if request.method == "INVITE" and 200 <= status < 300:
            if self.dialog is None:
                self.dialog = Dialog.as_uas(request, response.to.tag or "")
            self._again(event.transaction, response, 0.5, self.events.now + 32)
        self.run(self.stack.respond(event.transaction, response, self.events.now))
        return response

    def _tag(self, request: Request) -> str:
        if not hasattr(self, "_tags"):
            self._tags: dict[str, str] = {}
        return self._tags.setdefault(request.call_id, self.tokens.tag())

    def _again(self, transaction: str, response: Response, interval: float, give_up: float) -> None:
        def repeat() -> None:
            if (response.call_id, response.cseq.number) not in self.acked and self.events.now < give_up:
                self.run(self.stack.respond(transaction, response, self.events.now))
                self._again(transaction, response, min(2 * interval, 4.0), give_up)

        if self.resend:
            self.events.after(interval, repeat)

    def statuses(self, transaction: str) -> list[int]:
        return [response.status for name, response in self.responses if name == transaction]
