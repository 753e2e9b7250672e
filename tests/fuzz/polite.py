"""Random calls between phones that keep the rules: offer and answer (RFC 3264, 3311), reliable provisional responses
(RFC 3262), session timers (RFC 4028). What such phones can expect of the SBC, they check.

`python -m tests.fuzz.polite COUNT FIRST_SEED` runs as many as wanted (see `tests.fuzz.histories`); the tests run a few
hundred.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sbc.b2bua import Interworking, Mode, Peer, Settings
from sbc.policy import RouteRule
from sbc.sip import Dialog, Request, RequestReceived, Response, ResponseReceived, parse_seconds
from tests.fuzz.histories import main, played, tried
from tests.support.conduct import Conduct
from tests.support.phone import Phone, sdp
from tests.support.world import CALLER, INSIDE, OUTSIDE, PBX, PBX2, Edge, Events, Weather, Wires

MOST_STEPS = 30_000
HORIZON = 1_000.0
PEERS = {PBX: "pbx", PBX2: "pbx2"}


@dataclass
class Fork:
    """An early dialog of a callee."""

    tag: str
    event: RequestReceived
    rseq: int = 0
    pending: str = ""
    """What the PRACK must say."""
    offered: bool = False
    """The pending response has the offer."""
    dialog: Dialog | None = None
    settled: bool = False
    """Offer and answer are done."""
    plan: list[tuple[int, bool]] = field(default_factory=list)
    """Provisional responses to come: status, with SDP."""


class Side:
    """A phone and what it knows of its call."""

    def __init__(self, history: History, phone: Phone) -> None:
        rng = history.rng
        self.history, self.phone, self.rng = history, phone, rng
        self.reliable = rng.choice(("none", "supported", "supported", "required"))
        self.update = rng.random() < 0.6
        self.timer = rng.random() < 0.4
        self.dialog: Dialog | None = None
        self.mine = ""
        """The transaction of our offer that is open."""
        self.thinks = False
        """An offer of theirs is being thought about."""
        self.asked: tuple[str, int] | None = None
        """Call-ID and CSeq of a 2xx of ours that is not acknowledged; the ACK may bring an answer."""
        self.version = 1
        self.over = False
        self.refreshed = 0.0
        self.interval = 0
        self.ours = False

    @property
    def theirs(self) -> bool:
        return self.thinks or (self.asked is not None and self.asked not in self.phone.acked)

    # -- what it says of itself ----------------------------------------------------------------------------------------

    def speaks(self, *, invite: bool = False) -> tuple[tuple[str, str], ...]:
        headers = [("Allow", "INVITE, ACK, BYE, CANCEL, PRACK, INFO" + (", UPDATE" if self.update else ""))]
        if invite and self.reliable != "none":
            headers.append(("Require" if self.reliable == "required" else "Supported", "100rel"))
        if self.timer:
            headers.append(("Supported", "timer"))
        return tuple(headers)

    def session(self) -> bytes:
        self.version += 1
        return sdp(self.phone.address, 4000 + 2 * (self.version % 9), self.version)

    def fault(self, text: str) -> None:
        self.history.found.append(f"{self.phone.address.host}: {text}")

    def lost(self, text: str) -> None:
        """A fault, unless the call is over and the phone just does not know it yet."""

        def judge() -> None:
            if self.history.calm and not self.over and not self.phone.cancelled:
                self.fault(text)

        self.history.events.after(1.0, judge)

    # -- in the dialog -------------------------------------------------------------------------------------------------

    def send(self, method: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()) -> None:
        if self.dialog is None or self.over or (self.phone.cancelled and not self.dialog.confirmed):
            return
        self.phone.dialog = self.dialog
        headers = (*self.speaks(), *headers)
        transaction = self.phone.in_dialog(method, body, "application/sdp" if body else "text/plain", headers)
        if method == "INVITE" or (body and method == "UPDATE"):
            self.mine = transaction

    def offers(self) -> None:
        """A new session, by whichever method."""
        if self.mine or self.theirs or self.over or self.dialog is None:
            return
        if not self.dialog.confirmed:
            self.send("UPDATE", self.session())
        else:
            method = self.rng.choice(("INVITE", "UPDATE"))
            self.send(method, b"" if method == "INVITE" and self.rng.random() < 0.2 else self.session())

    def live(self) -> None:
        later = self.history.later
        for _ in range(self.rng.choice((0, 1, 3))):
            later(30, self.offers)
        later(60, lambda: self.send("INFO"))
        if self.rng.random() < 0.7:
            later(self.rng.choice((5, 100)), self.hang_up)

    def hang_up(self) -> None:
        self.send("BYE")
        self.over = True

    def agreed(self, message: Request | Response, asker_is_me: bool) -> None:
        """What a 2xx says of the session timer."""
        value = message.headers.get("Session-Expires")
        if value is None:
            self.interval = 0
            return
        self.interval = parse_seconds(value)
        self.ours = ("refresher=uac" in value) == asker_is_me
        self.refreshed = now = self.history.events.now
        if not self.timer and self.ours:
            self.fault("told to refresh, which it cannot")
        if self.ours:
            self.history.events.at(now + self.interval / 2, lambda: self._refresh(now))
        else:
            self.history.events.at(now + self.interval, lambda: self._expired(now))

    def _refresh(self, since: float) -> None:
        if self.refreshed != since or self.over or self.mine or self.theirs:
            return
        expires = (("Session-Expires", f"{self.interval};refresher=uac"),)
        if self.update and self.rng.random() < 0.5:
            self.send("UPDATE", b"", expires)
        else:
            self.send("INVITE", self.session(), expires)

    def _expired(self, since: float) -> None:
        if self.refreshed == since and self.interval and not self.over and self.history.calm:
            self.fault("the SBC did not refresh")

    def request(self, phone: Phone, event: RequestReceived) -> None:
        """A request in the dialog."""
        request = event.request
        if request.method == "BYE":
            self.over = True
            phone.answer(event, 200)
        elif request.method in ("INVITE", "UPDATE") and (request.body or request.method == "INVITE"):
            if self.mine:
                phone.answer(event, 491)
            elif self.theirs:
                if self.thinks:  # else an ACK is late, or lost
                    self.fault("a second offer before the first was answered")
                phone.answer(event, 500)
            else:
                self.thinks = True
                refuses = self.rng.random() < 0.15
                self.history.later(2, lambda: self._consider(event, refuses))
        elif request.method == "UPDATE":
            self._accept(event, b"")
        else:
            phone.answer(event, 200)

    def _consider(self, event: RequestReceived, refuses: bool) -> None:
        self.thinks = False
        if self.over:
            self.phone.answer(event, 487)
        elif refuses:
            self.phone.answer(event, 488)
        else:
            if event.request.method == "INVITE" and not event.request.body:
                self.asked = event.request.call_id, event.request.cseq.number
            self._accept(event, self.session())

    def _accept(self, event: RequestReceived, body: bytes) -> None:
        headers = list(self.speaks())
        value = event.request.headers.get("Session-Expires")
        if value is not None and self.timer and self.dialog is not None and self.dialog.confirmed:
            refresher = "uas" if "refresher=uas" in value else "uac"
            headers += [("Session-Expires", f"{parse_seconds(value)};refresher={refresher}"), ("Require", "timer")]
        response = self.phone.answer(event, 200, body, tuple(headers))
        self.agreed(response, asker_is_me=False)

    def response(self, phone: Phone, event: ResponseReceived) -> None:
        """A response to a request in the dialog."""
        request, response = phone.sent[event.transaction], event.response
        if response.status < 200:
            return
        if event.transaction == self.mine:
            self.mine = ""
        if response.status >= 300:
            if response.status in (408, 481):
                self.lost(f"{response.status} to {request.method}")
            return
        if request.method == "INVITE":
            phone.dialog = self.dialog
            phone.ack(response, b"" if request.body else self.session())
        if request.body and request.method in ("INVITE", "UPDATE") and not response.body:
            self.fault(f"its offer in {request.method} got no answer")
        if request.method in ("INVITE", "UPDATE") and self.dialog is not None and self.dialog.confirmed:
            self.agreed(response, asker_is_me=True)


class Caller(Side):
    def __init__(self, history: History, phone: Phone) -> None:
        super().__init__(history, phone)
        self.offered = self.rng.random() < 0.8
        self.settled = False
        self.acknowledged: set[str] = set()
        self.final = 0
        self.gave_up = False

    def call(self, uri: str) -> None:
        headers = [("Contact", self.phone.contact), *self.speaks(invite=True)]
        if self.timer and self.rng.random() < 0.7:
            headers.append(("Session-Expires", self.rng.choice(("20", "40;refresher=uas", "5"))))
        self.invite = self.phone.new_request("INVITE", uri, tuple(headers), self.session() if self.offered else b"")
        self.transaction = self.phone.send(self.invite)

    def give_up(self) -> None:
        self.gave_up = True
        if not self.final:
            self.phone.cancel(self.transaction)

    def response(self, phone: Phone, event: ResponseReceived) -> None:
        response = event.response
        if event.transaction != self.transaction:
            if response.cseq.method == "PRACK":
                self._prack_answered(event)
            else:
                super().response(phone, event)
            return
        if 100 < response.status < 200:
            self._provisional(response)
        elif 200 <= response.status < 300:
            self._answered(response)
        elif response.status >= 300:
            self.final, self.over = response.status, True

    def _provisional(self, response: Response) -> None:
        if self.final:
            return
        if self.dialog is None:
            self.dialog = Dialog.as_uac(self.invite, response)
        if "RSeq" not in response.headers:
            if self.reliable == "required":
                self.fault("an unreliable response, although it requires reliable ones")
            return
        rack = f"{response.headers.get('RSeq')} {response.cseq}"
        if rack in self.acknowledged:
            return
        self.acknowledged.add(rack)
        body = b""
        if response.body:
            if not self.offered:
                body = self.session()
            self.settled = True
        if not body and self.settled and not self.mine and not self.theirs and self.rng.random() < 0.1:
            body = self.session()
            self.mine = "PRACK"
        self.history.later(1, lambda: self._prack(rack, body))
        if self.settled and self.rng.random() < 0.2:
            self.history.later(3, self.offers)

    def _prack(self, rack: str, body: bytes) -> None:
        if self.final >= 300 or self.dialog is None:
            return
        request = self.dialog.request("PRACK", None)
        request.headers.add("RAck", rack)
        if body:
            request.body = body
            request.headers.add("Content-Type", "application/sdp")
        transaction = self.phone.send(request)
        if self.mine == "PRACK":
            self.mine = transaction

    def _prack_answered(self, event: ResponseReceived) -> None:
        status = event.response.status
        if event.transaction == self.mine:
            self.mine = ""
            if status < 300 and not event.response.body:
                self.fault("its offer in PRACK got no answer")
        elif status == 500:  # a later request has overtaken it
            self.acknowledged.discard(self.phone.sent[event.transaction].headers.get("RAck") or "")
        elif status >= 300 and not self.final and not self.gave_up:
            self.lost(f"{status} to a PRACK")

    def _answered(self, response: Response) -> None:
        first = not self.final
        self.final = response.status
        if first:
            early = self.dialog
            self.dialog = Dialog.as_uac(self.invite, response)
            if early is not None:
                self.dialog.local_cseq, self.dialog.remote_cseq = early.local_cseq, early.remote_cseq
            if self.offered and not self.settled and not response.body:
                self.fault("2xx without an answer")
            self.agreed(response, asker_is_me=True)
            self.live()
        self.phone.dialog = self.dialog
        self.phone.ack(response, self.session() if response.body and not self.offered and not self.settled else b"")


class Callee(Side):
    def __init__(self, history: History, phone: Phone) -> None:
        super().__init__(history, phone)
        self.forks: dict[str, Fork] = {}
        self.answered = False
        self.current: RequestReceived | None = None
        """The INVITE that it rings for."""

    def request(self, phone: Phone, event: RequestReceived) -> None:
        request = event.request
        if request.method == "INVITE" and request.to.tag is None:
            self._invited(event)
        elif request.method == "PRACK":
            self._pracked(event)
        elif self.dialog is None:
            fork = self.forks.get(request.to.tag or "")
            if fork is not None and fork.dialog is not None and request.method == "UPDATE" and not self.over:
                self.dialog = fork.dialog
                super().request(phone, event)
            else:
                phone.answer(event, 481)
        else:
            super().request(phone, event)

    def _invited(self, event: RequestReceived) -> None:
        rng, request = self.rng, event.request
        if self.current is not None and not self.over and not self.phone.cancelled:
            self.phone.answer(event, 486)
            return
        required = {tag.lower() for tag in request.headers.values("Require")}
        if "100rel" in required and self.reliable == "none":
            self.over = True
            self.phone.answer(event, 420, headers=(("Unsupported", "100rel"),))
            return
        expires = request.headers.get("Session-Expires")
        if self.timer and expires is not None and parse_seconds(expires) < 25 and rng.random() < 0.5:
            self.phone.answer(event, 422, headers=(("Min-SE", "25"),))
            return
        self.over, self.phone.cancelled = False, False
        self.current = self.phone.invite = event
        self.dialog = None
        for number in range(rng.choice((1, 1, 2))):
            tag = f"{self.phone.address.host}-{number}-{len(self.forks)}"
            fork = self.forks[tag] = Fork(tag, event, rng.randrange(1, 1000))
            fork.plan = [(rng.choice((180, 181, 183)), rng.random() < 0.5) for _ in range(rng.randrange(3))]
            self.history.later(1, lambda fork=fork: self._next(fork))

    def _may_be_reliable(self, event: RequestReceived) -> bool:
        tags = {tag.lower() for name in ("Supported", "Require") for tag in event.request.headers.values(name)}
        return "100rel" in tags and self.reliable != "none"

    def _is_over(self, fork: Fork) -> bool:
        return self.over or self.answered or self.phone.cancelled or fork.event is not self.current

    def _next(self, fork: Fork) -> None:
        """The next response of this fork, when nothing is pending."""
        if self._is_over(fork) or fork.pending:
            return
        if not fork.plan:
            self.history.later(self.rng.choice((0.1, 3, 20)), lambda: self._final(fork))
            return
        status, described = fork.plan.pop(0)
        reliable = self._may_be_reliable(fork.event) and (self.reliable == "required" or self.rng.random() < 0.7)
        described = described and not fork.settled and (reliable or bool(fork.event.request.body))
        offer = described and not fork.event.request.body
        headers = list(self.speaks())
        if reliable:
            fork.rseq += 1
            fork.pending = f"{fork.rseq} {fork.event.request.cseq}"
            fork.offered = offer
            headers += [("Require", "100rel"), ("RSeq", str(fork.rseq))]
        body = self.session() if described else b""
        response = self.phone.answer(fork.event, status, body, tuple(headers), fork.tag)
        if fork.dialog is None:
            fork.dialog = Dialog.as_uas(fork.event.request, fork.tag)
        if reliable:
            fork.settled = fork.settled or (described and not offer)
            self._again(fork, response, fork.pending, 0.5)
        else:
            self.history.later(2, lambda: self._next(fork))

    def _again(self, fork: Fork, response: Response, rack: str, pause: float) -> None:
        def repeat() -> None:
            if fork.pending != rack or self._is_over(fork):
                return
            if pause > 16:
                self.over = True
                self.phone.answer(fork.event, 504, tag=fork.tag)
                return
            self.phone.run(self.phone.stack.respond(fork.event.transaction, response, self.history.events.now))
            self._again(fork, response, rack, 2 * pause)

        self.history.events.after(pause, repeat)

    def _pracked(self, event: RequestReceived) -> None:
        request = event.request
        fork = self.forks.get(request.to.tag or "")
        if fork is None or fork.pending != request.headers.get("RAck"):
            self.phone.answer(event, 481)
            if fork is not None and not self.answered:
                self.lost("a PRACK for nothing")
            return
        fork.pending = ""
        body = b""
        if fork.offered:
            if not request.body:
                self.fault("its offer got no answer in the PRACK")
            fork.settled, fork.offered = True, False
        elif request.body:
            if not fork.settled:
                self.fault("a new offer in a PRACK before the first was answered")
            body = self.session()
        self.phone.answer(event, 200, body)
        if fork.settled and self.update and self.rng.random() < 0.2 and not self.answered:
            self.dialog = fork.dialog
            self.history.later(2, self.offers)
        self.history.later(2, lambda: self._next(fork))

    def _final(self, fork: Fork) -> None:
        if self._is_over(fork) or fork.pending:
            return
        if self.mine or self.theirs:
            self.history.later(3, lambda: self._final(fork))
            return
        status = self.rng.choice((200, 200, 200, 200, 486, 503, 302, 603))
        if status != 200:
            self.over = True
            contact = (("Contact", f"<sip:9@{PBX2.host}>"),) if status == 302 else ()
            self.phone.answer(fork.event, status, headers=contact, tag=fork.tag)
            return
        self.answered = True
        self.asked = fork.event.request.call_id, fork.event.request.cseq.number
        dialog = fork.dialog or Dialog.as_uas(fork.event.request, fork.tag)
        dialog.confirmed = True
        self.dialog = dialog
        headers = list(self.speaks())
        expires = fork.event.request.headers.get("Session-Expires")
        if self.timer and expires is not None:
            seconds = min(parse_seconds(expires), self.rng.choice((20, 60)))
            refresher = self.rng.choice(("uac", "uas"))
            headers += [("Session-Expires", f"{seconds};refresher={refresher}"), ("Require", "timer")]
        self.phone.dialog = dialog
        body = b"" if fork.settled else self.session()
        response = self.phone.answer(fork.event, 200, body, tuple(headers), fork.tag)
        self.history.answers.append(self)
        self.agreed(response, asker_is_me=False)
        self.live()


class History:
    """One world drawn from `seed`, run to its end; `faults` says what is wrong with it."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        loss = rng.choice((0.0, 0.0, 0.0, 0.1))
        self.calm = loss == 0
        self.events = Events()
        self.network = Wires(self.events, random.Random(seed + 1), Weather(loss, rng.choice((0, 0.1)), 0.05))
        self.found: list[str] = []
        self.answers: list[Callee] = []
        modes = (Mode.AUTO, Mode.AUTO, Mode.ALWAYS, Mode.NEVER)
        how = Interworking(rng.choice(modes), session_timer=rng.choice(modes))
        together = rng.choice((("pbx", "pbx2"), (("pbx", "pbx2"),), ("pbx",)))
        self.edge = Edge(
            self.events,
            self.network,
            seed,
            Settings(longest_call=300.0, no_answer=90.0, session_expires=40, min_session_expires=10),
            (RouteRule("in", from_="public", to=together, ring=rng.choice((0.0, 30.0))),),
            peers=tuple(Peer(name, "private", place.host, how=how) for place, name in PEERS.items()),
        )
        self.conduct = Conduct(self.edge.b2bua)
        phone = Phone(self.events, self.network, CALLER, OUTSIDE, seed + 2)
        self.caller = Caller(self, phone)
        phone.on_request, phone.on_response = self.caller.request, self.caller.response
        self.callees = []
        for number, place in enumerate(PEERS):
            phone = Phone(self.events, self.network, place, INSIDE, seed + 3 + number)
            callee = Callee(self, phone)
            phone.on_request, phone.on_response = callee.request, callee.response
            self.callees.append(callee)
        self.caller.call(f"sip:1001@{OUTSIDE.host}")
        if rng.random() < 0.15:
            self.later(20, self.caller.give_up)

    def later(self, longest: float, what: Callable[[], None]) -> None:
        self.events.after(self.rng.random() * longest, what)

    def run(self) -> list[str]:
        return played(self, MOST_STEPS, HORIZON)

    def faults(self) -> list[str]:
        faults = [] if self.caller.final else ["the caller never got a final response"]
        if self.calm and len(self.answers) == 1 and self.caller.final >= 300 and not self._excused():
            faults.append(f"answered, and the caller got {self.caller.final}")
        return faults + self.found

    def _excused(self) -> bool:
        """The caller gave up, or the call was over before it knew that it had begun."""
        return self.caller.gave_up or any(callee.over for callee in self.answers)


def run(seed: int) -> list[str]:
    """What is wrong with the history of this seed, exceptions included."""
    return tried(lambda seed: History(seed).run(), seed)


if __name__ == "__main__":
    main(run)
