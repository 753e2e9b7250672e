"""Random call histories: two sides that do whatever they like over a network that loses, repeats and reorders, while
names resolve late or never, transports fail, media planes die and the service is told to end.

`python -m tests.fuzz.two_legs COUNT FIRST_SEED` runs as many as wanted (`tests.fuzz.histories`); the tests run some.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from sbc.b2bua import (
    CallView,
    DigitsBy,
    Hooks,
    Interworking,
    Mode,
    Peer,
    Redirection,
    Refer,
    RouteVerdict,
    SendRequest,
    Settings,
    Targets,
)
from sbc.b2bua.bodies import session_description
from sbc.media import DtmfReceived, PlaneLost, Silent
from sbc.policy import RouteRule
from sbc.sip import Address, Dialog, Limits, Request, RequestReceived, Response, ResponseReceived, SipError, parse
from tests.fuzz.histories import main, played, tried
from tests.fuzz.sessions import Sessions
from tests.fuzz.transfers import Transfers
from tests.support.conduct import Conduct
from tests.support.phone import SDP, Phone
from tests.support.world import CALLER, INSIDE, OUTSIDE, PBX, PBX2, Edge, Events, Weather, Wires

MOST_STEPS = 40_000
HORIZON = 2_500.0
"""Seconds after which everything must have ended by itself."""
FINALS = (200, 200, 200, 200, 200, 404, 486, 503, 302, 401, 407, 603, 0)
TELLING = (
    ("Warning", '399 pbx.secret.example "call 10.0.0.77 at pbx.secret.example"'),
    ("Warning", "399 pbx.secret.example unquoted"),
    ("Reason", 'Q.850;cause=16;text="10.0.0.77 says so";host=pbx.secret.example'),
    ("Reason", 'SIP;cause=200;text="ok", X"'),
    (
        "History-Info",
        "<sip:1@10.0.0.78?Reason=SIP%3Bcause%3D302&Via=10.0.0.9>;index=1, <sip:2@pbx.secret.example>;index=1.1",
    ),
    ("Diversion", '"10.0.0.79" <sip:1@pbx.secret.example;maddr=10.0.0.9>;reason=no-answer;x="pbx.secret.example"'),
    (
        "P-Asserted-Identity",
        '"Ann at 10.0.0.9" <sip:ann%4010.0.0.9@10.0.0.9>, <tel:7042;phone-context=pbx.secret.example>',
    ),
    ("P-Asserted-Identity", "<tel:10.0.0.9>"),
    ("Remote-Party-ID", "<http://10.0.0.9/me>;party=calling;screen=yes"),
    ("Subject", "lunch at 10.0.0.80 or pbx.secret.example"),
    ("Call-Info", "<http://10.0.0.81/x.png>"),
    ("Organization", "secret.example"),
    ("Reply-To", "<sip:1@pbx.secret.example>"),
    ("Retry-After", "5 (ask 10.0.0.9)"),
    ("Proxy-Authenticate", 'Digest realm="10.0.0.9", nonce="x"'),
    ("WWW-Authenticate", 'Digest realm="asterisk", nonce="x"'),
    ("X-Mine", "10.0.0.82"),
    ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE"),
    ("Supported", "100rel, timer"),
    ("Session-Expires", "120;refresher=uas"),
    ("Record-Route", "<sip:10.0.0.5;lr>"),
    ("User-to-User", "313233;encoding=hex"),
    ("P-Preferred-Identity", '"10.0.0.9" <sip:ann@pbx.secret.example>'),
    ("Privacy", "user;id;header;session;history"),
    ("Privacy", "at-10.0.0.9;critical"),
    ("History-Info", "<sip:3@10.0.0.78?Privacy=history&Reason=SIP%3Btext%3D%2210.0.0.9%22>;index=1"),
    ("Geolocation", "<cid:here@10.0.0.9>, <http://pbx.secret.example/where>"),
    ("Accept", "application/sdp, application/x-10.0.0.9"),
    ("Supported", "from-change"),
)
"""What elements of the private side write into their messages."""
BROKEN = (
    ("Contact", "*"),
    ("Contact", "<sip:@@@>"),
    ("Contact", "<tel:+4930>"),
    ("Record-Route", "<sip:@@@>"),
    ("Content-Type", ";;;"),
    ("Allow", ",,"),
    ("Reason", ";;"),
    ("History-Info", "<<>"),
)
"""What no element should write."""


class Together:
    """A chain that has targets tried at the same time, and gives each so much time."""

    def __init__(self, chain: Hooks, ring: float) -> None:
        self._ring = ring
        self.rewrites = False
        self.admit, self.rewrite, self._route = chain.admit, chain.rewrite, chain.route

    def route(self, call: CallView) -> RouteVerdict:
        verdict = self._route(call)
        if isinstance(verdict, Targets):
            return verdict._replace(
                targets=tuple(target._replace(together=True, ring=self._ring) for target in verdict.targets)
            )
        return verdict


class History:
    """One world drawn from `seed`, run to its end; `faults` says what is wrong with it."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.digits = random.Random(seed + 1_000_003)
        """What has to do with digits (DTMF)."""
        weather = Weather(rng.choice((0, 0, 0.1, 0.3)), rng.choice((0, 0.1, 0.3)), rng.choice((0.001, 0.05, 0.6)))
        self.events = Events()
        self.network = Wires(self.events, random.Random(seed + 1), weather)
        self.malign = rng.random() < 0.5
        self.outward = rng.random() < 0.3
        self.sessions = Sessions(rng)
        self.edge = self._edge(seed)
        self.conduct = Conduct(self.edge.b2bua)
        near, gate, far = (PBX, INSIDE, (CALLER,)) if self.outward else (CALLER, OUTSIDE, (PBX, PBX2))
        self.caller = Phone(self.events, self.network, near, gate, seed + 2, self._in_dialog, self._caller_response)
        self.caller.company = self._company
        there = OUTSIDE if self.outward else INSIDE
        self.callees = [self.callee(address, there, seed + 3 + n) for n, address in enumerate(far)]
        self.transfers = Transfers(self)
        self.offered = rng.random() < 0.85
        body = self.sessions.offer(near, 4000) if self.offered else b""
        headers = (("Contact", self.caller.contact), *self._whims(self.outward), *self.extensions())
        self.early: dict[str, Dialog] = {}
        self.rseq: dict[str | None, int] = {}
        uri = f"sip:2002@{CALLER.host}:{CALLER.port}" if self.outward else f"sip:1001@{OUTSIDE.host}"
        self.invite = self.caller.new_request("INVITE", uri, headers, body)
        self.transaction = self.caller.send(self.invite)
        if rng.random() < 0.25:
            self.later(rng.choice((0.01, 1, 20)), lambda: self.caller.cancel(self.transaction))
        self._misfortunes()

    def _edge(self, seed: int) -> Edge:
        rng = self.rng
        named = rng.random() < 0.2
        hosts = ("pbx.secret.example", "pbx2.secret.example") if named else (PBX.host, PBX2.host)
        names: dict[str, tuple[str, ...]] = {}
        if named:
            names = {hosts[0]: rng.choice(((PBX.host,), (PBX2.host, PBX.host), ())), hosts[1]: (PBX2.host,)}
        waits = rng.choice(((0.02,), (0.02, 3.0), (0.02, 30.0, None)))
        failing = rng.choice((0, 0, 0, 0.1, 0.5))
        how = Interworking(
            rng.choice(list(Mode)), rng.choice(list(Redirection)), rng.choice(list(Mode)), rng.choice(list(Refer)),
            self.digits.choice(list(DigitsBy)),
        )  # fmt: skip
        peers = tuple(Peer(f"pbx{n}", "private", host, how=how) for n, host in enumerate(hosts))
        both = rng.random() < 0.3 and not self.outward
        edge = Edge(
            self.events,
            self.network,
            seed,
            Settings(longest_call=600.0, no_answer=60.0, target_timeout=3.0, user_agent=rng.choice(("", "sbc"))),
            (RouteRule("both", to=("pbx0", "pbx1")),) if both else (),
            peers=peers if both else peers[:1],
            names=names,
            answer_after=lambda: rng.choice(waits),
            fails=lambda hop: rng.random() < failing,
        )
        if both and rng.random() < 0.5:
            context = edge.b2bua._context
            context.hooks = Together(context.hooks, rng.choice((0.0, 5.0)))
        return edge

    def callee(self, address: Address, gateway: Address, seed: int) -> Phone:
        phone = Phone(
            self.events,
            self.network,
            address,
            gateway,
            seed,
            self._callee_request,
            self.in_response,
        )
        phone.obeys = self.rng.random() < 0.7
        phone.company = self._company
        return phone

    def _company(self, phone: Phone, body: bytes) -> tuple[str, bytes]:
        """Telephone-events in a session description, and other parts beside it, now and then."""
        rng = self.rng
        if self.digits.random() < 0.5:
            events = b"RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
            body = body.replace(b"RTP/AVP 0 8\r\n", events, 1)
        if rng.random() < 0.9:
            return SDP, body
        parts = [f"Content-Type: {SDP}\r\nContent-ID: <sdp@{phone.address.host}>\r\n\r\n".encode() + body]
        secret = phone.address.host.startswith("10.")
        contents = (b"\x01\x02", b"hello", b"ask 10.0.0.84" if secret else b"ask", b"--frontier-")
        for content in rng.sample(contents, rng.randrange(1, 3)):
            needed = rng.choice(("optional", "optional", "required"))
            kind = rng.choice(("application/isup", f"text/plain;name={PBX.host}" if secret else "text/plain"))
            head = f"Content-Type: {kind}\r\nContent-Disposition: x;handling={needed}\r\n\r\n"
            parts.insert(rng.randrange(2), head.encode() + content)
        boundary = f"frontier-{phone.address.host}"
        lines = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
        if rng.random() < 0.95:
            lines += f"--{boundary}--\r\n".encode()
        return f"multipart/{rng.choice(('mixed', 'related', 'alternative'))};boundary={boundary}", lines

    def _misfortunes(self) -> None:
        rng, edge = self.rng, self.edge
        if rng.random() < 0.1:
            self.later(60, lambda: edge.tell(PlaneLost("worker died")))
        if rng.random() < 0.1:
            self.later(60, self._silence)
        if rng.random() < 0.1:
            self.later(60, lambda: edge.run(edge.b2bua.drain(self.events.now, rng.choice((0.0, 30.0)))))
        if rng.random() < 0.05:
            self.later(60, lambda: edge.run(edge.b2bua.hang_up_all(self.events.now)))

    def _silence(self) -> None:
        for flow_id in list(self.edge.flows):
            self.edge.tell(Silent(flow_id))

    # -- what the phones do --------------------------------------------------------------------------------------------

    def later(self, longest: float, what: Callable[[], object]) -> None:
        self.events.after(self.rng.random() * longest, lambda: (what(), None)[1])

    def _whims(self, private: bool) -> tuple[tuple[str, str], ...]:
        """Header fields that a message could do without."""
        rng = self.rng
        whims = rng.sample(TELLING, rng.randrange(4)) if private else []
        if self.malign and rng.random() < 0.1:
            whims.append(rng.choice(BROKEN))
        return tuple(whims)

    def _abilities(self) -> tuple[tuple[str, str], ...]:
        """What an element says of transfers."""
        abilities = (("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, REFER, NOTIFY"), ("Supported", "replaces"))
        return abilities if self.rng.random() < 0.3 else ()

    def extensions(self) -> tuple[tuple[str, str], ...]:
        """What a caller understands or insists on."""
        rng = self.rng
        told = list(self._abilities())
        if not told and rng.random() < 0.5:
            told.append(("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, INFO, PRACK"))
        if rng.random() < 0.4:
            told.append((rng.choice(("Supported", "Supported", "Require")), "100rel"))
        if rng.random() < 0.3:
            told += [("Supported", "timer"), ("Session-Expires", rng.choice(("90", "1800;refresher=uac", "30", "x")))]
        return tuple(told)

    def _answer(
        self, phone: Phone, event: RequestReceived, status: int, body: bytes = b"", tag: str | None = None
    ) -> None:
        phone.answer(event, status, body, (*self._whims(phone.address.host.startswith("10.")), *self._abilities()), tag)

    def live(self, phone: Phone) -> None:
        """The phone is in a call: requests at random times."""
        rng = self.rng
        if self.transfers.eager or rng.random() < 0.3:
            self.later(rng.choice((1, 20)), lambda: self.transfers.refer(phone))
        for _ in range(rng.choice((0, 0, 1, 3))):
            method = rng.choice(("INVITE", "INVITE", "UPDATE", "INFO", "OPTIONS", "NONSENSE", "MESSAGE"))
            version = rng.randrange(2, 9)
            direction = rng.choice(("sendrecv", "sendonly", "inactive"))
            body = rng.choice((b"x", b"call 10.0.0.83" if phone.address.host.startswith("10.") else b"y", b""))
            if method in ("INVITE", "UPDATE"):
                described = rng.random() < 0.8
                body = self.sessions.offer(phone.address, 4000 + 2 * version, version, direction) if described else b""
            self.later(20, lambda method=method, body=body: self._request(phone, method, body))
        for _ in range(self.digits.choice((0, 0, 1, 5))):
            self.events.after(self.digits.random() * 20, lambda: self._press(phone))
        if rng.random() < 0.7:
            self.later(rng.choice((0.01, 5, 60)), lambda: self._request(phone, "BYE", b""))

    def _press(self, phone: Phone) -> None:
        """A digit, by INFO or as a telephone-event that the plane tells of."""
        flows = list(self.edge.flows)
        if self.digits.random() < 0.5 and phone.dialog is not None:
            kind = self.digits.choice(("application/dtmf-relay", "application/dtmf"))
            phone.in_dialog("INFO", self.digits.choice((b"Signal=5\r\nDuration=160\r\n", b"5")), kind, ())
        elif flows:
            self.edge.tell(DtmfReceived(self.digits.choice(flows), self.digits.choice("ab"), "5", 100))

    def _described(self, phone: Phone, request: Request, port: int, version: int = 1) -> bytes:
        """The session in a response: an answer, or an offer where the request has none."""
        said = session_description(request)
        if said:
            return self.sessions.answer(said, phone.address, port, version)
        return self.sessions.offer(phone.address, port, version)

    def _request(self, phone: Phone, method: str, body: bytes) -> None:
        if phone.dialog is not None:
            kind = "application/sdp" if method in ("INVITE", "UPDATE") else "text/plain"
            phone.in_dialog(method, body, kind, self._whims(phone.address.host.startswith("10.")))

    def _caller_response(self, phone: Phone, event: ResponseReceived) -> None:
        response = event.response
        if self.transfers.response(phone, event):
            return
        if response.cseq.method == "INVITE" and 100 < response.status < 200 and "RSeq" in response.headers:
            self.later(1, lambda: self._acknowledge_early(phone, response))
        if response.cseq.method == "INVITE" and 200 <= response.status < 300:
            if phone.dialog is None:
                phone.dialog = Dialog.as_uac(self.invite, response)
                early = self.early.get(response.to.tag or "")
                phone.dialog.local_cseq = early.local_cseq if early else phone.dialog.local_cseq
                self.live(phone)
            self._ack(phone, event)

    def _acknowledge_early(self, phone: Phone, response: Response) -> None:
        if phone.dialog is not None or self.rng.random() < 0.1:
            return
        dialog = self.early.setdefault(response.to.tag or "", Dialog.as_uac(self.invite, response))
        request = dialog.request("PRACK", None)
        request.headers.add("RAck", f"{response.headers.get('RSeq')} {response.cseq}")
        if (response.body and not self.offered) or self.rng.random() < 0.1:
            said = session_description(response)
            answers = said and not self.offered
            say = (
                self.sessions.answer(said, phone.address, 4200, 3)
                if answers
                else self.sessions.offer(phone.address, 4200, 3)
            )
            request.body = say
            request.headers.add("Content-Type", "application/sdp")
        phone.send(request)

    def _ack(self, phone: Phone, event: ResponseReceived) -> None:
        chance = self.rng.random()
        said = session_description(event.response)
        delayed = said and not phone.sent[event.transaction].body
        body = self.sessions.answer(said, phone.address, 4100, 7) if delayed and chance < 0.9 else b""
        if chance < 0.94:
            phone.ack(event.response, body)
        elif chance < 0.97:
            self.later(3, lambda: phone.ack(event.response, body))

    def in_response(self, phone: Phone, event: ResponseReceived) -> None:
        if self.transfers.response(phone, event):
            return
        if event.response.cseq.method == "INVITE" and 200 <= event.response.status < 300 and phone.dialog is not None:
            self._ack(phone, event)

    def _in_dialog(self, phone: Phone, event: RequestReceived) -> None:
        rng = self.rng
        if rng.random() < 0.05:
            self.later(40, lambda: self._answer(phone, event, 500))  # late, perhaps never in time
            return
        if event.request.method == "REFER":
            self.transfers.referred(phone, event)
        elif event.request.method == "PRACK":
            said = session_description(event.request)
            self._answer(phone, event, 200, self.sessions.answer(said, phone.address, 6200, 2) if said else b"")
        elif event.request.method in ("INVITE", "UPDATE"):
            chance = rng.random()
            if chance < 0.2:
                self._answer(phone, event, rng.choice((488, 491, 481, 500, 405, 408)))
            elif chance < 0.25 and event.request.method == "INVITE":
                self._answer(phone, event, 180)  # and that was all
            else:
                asked = event.request.method == "INVITE" or event.request.body
                body = self._described(phone, event.request, 6100, 5) if chance >= 0.3 and asked else b""
                self.later(rng.choice((0.01, 2)), lambda: self._answer(phone, event, 200, body))
        else:
            self._answer(phone, event, 200)

    def _callee_request(self, phone: Phone, event: RequestReceived) -> None:
        request, rng = event.request, self.rng
        if request.method != "INVITE" or request.to.tag is not None:
            self._in_dialog(phone, event)
            return
        if rng.random() < 0.05:
            return  # dead
        forks = rng.choice(((None,), (None,), (None,), (None, "fork-two"), ("fork-two", "fork-three", None)))
        forks = tuple(tag and f"{tag}-{phone.address.port}" for tag in forks)
        for tag in forks:
            for status in rng.choice(((), (180,), (180, 183), (183, 180, 181))):
                body = self._described(phone, request, 6000) if status == 183 and request.body else b""
                self.later(
                    1, lambda status=status, body=body, tag=tag: self._provisional(phone, event, status, body, tag)
                )
        final = 200 if self.transfers.eager else rng.choice(FINALS)
        for tag in forks if final == 200 else forks[:1]:
            if final and (tag is forks[0] or rng.random() < 0.5):
                self.later(rng.choice((0.01, 2, 30)), lambda tag=tag: self._final(phone, event, final, tag))

    def _provisional(self, phone: Phone, event: RequestReceived, status: int, body: bytes, tag: str | None) -> None:
        if phone.dialog is not None:
            return
        supported = ",".join(event.request.headers.get_all("Supported") + event.request.headers.get_all("Require"))
        reliable: tuple[tuple[str, str], ...] = ()
        if "100rel" in supported and self.rng.random() < 0.7:
            self.rseq[tag] = self.rseq.get(tag, 100) + 1
            reliable = (("Require", "100rel"), ("RSeq", str(self.rseq[tag])))
            if not event.request.body and self.rng.random() < 0.5:
                body = self.sessions.offer(phone.address, 6000)
        phone.answer(event, status, body, (*self._whims(phone.address.host.startswith("10.")), *reliable), tag)

    def _final(self, phone: Phone, event: RequestReceived, status: int, tag: str | None) -> None:
        if phone.cancelled and phone.obeys:
            return
        chance = self.rng.random()
        body = b"v=rubbish\r\n" if chance < 0.03 else b""
        if chance >= 0.06:
            body = self._described(phone, event.request, 6000)
        first = phone.dialog is None
        whims = (*self._whims(phone.address.host.startswith("10.")), *self._abilities())
        if status == 302:
            inside = (PBX2.host, INSIDE.host, "10.0.0.99", "pbx.secret.example")
            host = self.rng.choice(
                ("203.0.113.50", OUTSIDE.host) if not phone.address.host.startswith("10.") else inside
            )
            whims += (("Contact", f"<sip:{self.rng.randrange(9)}@{host}>;q=0.5"),)
        phone.answer(event, status, body if status == 200 else b"", whims, tag)
        if status == 200 and first:
            self.live(phone)

    # -- the run -------------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        return played(self, MOST_STEPS, HORIZON)

    def faults(self) -> list[str]:
        return self._repeated_finals() + self._repeated_byes() + self._strange_messages()

    def _repeated_finals(self) -> list[str]:
        """A request that was so long on its way that timer J or I has fired is a new one: that is the RFC's doing.
        Timer J runs from an answer that may not have been sent at all, where the transport failed."""
        asked: dict[tuple[str, str], float] = {}
        finals: dict[tuple[str, str], tuple[float, set[bytes]]] = {}
        for when, source, target, data in self.network.sent:
            if source == self.caller.address and not data.startswith((b"SIP/2.0", b"INVITE")):
                message = parse(data, Limits())
                asked.setdefault((message.via.branch or "", message.cseq.method), when)
            if source in (OUTSIDE, INSIDE) and target == self.caller.address and data.startswith(b"SIP/2.0"):
                message = parse(data, Limits())
                if isinstance(message, Response) and message.status >= 200:
                    key = (message.via.branch or "", message.cseq.method)
                    first, seen = finals.setdefault(key, (asked.get(key, when), set()))
                    if when < first + 32.0:
                        seen.add(data)
        return [f"{len(seen)} final responses to {key}" for key, (_, seen) in finals.items() if len(seen) > 1]

    def _repeated_byes(self) -> list[str]:
        byes: Counter[tuple[str, str]] = Counter()
        for command in self.edge.commands:
            if isinstance(command, SendRequest) and command.request.method == "BYE":
                byes[(command.request.call_id, command.request.to.tag or "")] += 1
        return [f"{count} BYEs in one dialog" for count in byes.values() if count > 1]

    def _strange_messages(self) -> list[str]:
        """Whatever we send can be read by ourselves, and says only once what may be said only once."""
        strange = []
        for _, source, _, data in self.network.sent:
            if source in (OUTSIDE, INSIDE):
                try:
                    message = parse(data, Limits())
                    if isinstance(message, Request) and message.method not in ("ACK", "CANCEL"):
                        message.check()
                    for name in ("Server", "User-Agent", "Allow", "Contact", "Content-Type"):
                        if len(message.headers.get_all(name)) > 1:
                            strange.append(f"{name} twice: {data!r}")
                except SipError as error:
                    strange.append(f"{error}: {data!r}")
        return strange


def run(seed: int) -> list[str]:
    """What is wrong with the history of this seed, exceptions included."""
    return tried(lambda seed: History(seed).run(), seed)


if __name__ == "__main__":
    main(run)
