"""Random histories outside calls: watchers, notifiers and others that ask, notify, publish, forget and fall silent in
any order, over a network that loses, repeats and reorders.

`python -m tests.fuzz.watching COUNT FIRST_SEED` runs as many as wanted (`tests.fuzz.histories`); the tests run some.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from sbc.b2bua import Peer, Respond, Settings
from sbc.sip import Dialog, RequestReceived, ResponseReceived
from tests.fuzz.histories import main, played, tried
from tests.support.conduct import Conduct
from tests.support.phone import Phone, put
from tests.support.world import CALLER, INSIDE, OUTSIDE, PBX, PBX2, Edge, Events, Weather, Wires

_MOST_STEPS = 40_000
_HORIZON = 2_500.0
CROSSING = ("MESSAGE", "PUBLISH", "OPTIONS", "NOTIFY", "SUBSCRIBE")
_REFUSALS = (401, 403, 404, 423, 481, 489, 500, 503, 302, 603)
_DIALOG_INFO = b"""<dialog-info entity="sip:1@pbx.secret.example">
<dialog id="a@10.0.0.9" call-id="secret phrase@10.0.0.9" local-tag="secret phrase"><state>early</state>
<local><target uri="sip:1@10.0.0.9:5062"/></local></dialog></dialog-info>"""
_BODIES = (
    (b"", ""),
    (b"hello", "text/plain"),
    (b"ask 10.0.0.9", "text/plain"),
    (_DIALOG_INFO, "application/dialog-info+xml"),
    (b"Messages-Waiting: yes\r\nMessage-Account: sip:1@10.0.0.9\r\n", "application/simple-message-summary"),
    (b"<!DOCTYPE a [<!ENTITY x '10.0.0.9'>]><a>&x;</a>", "application/pidf+xml"),
    (b"SIP/2.0 200 OK\r\nContact: <sip:1@10.0.0.9>\r\n", "message/sipfrag"),
)
"""What the private side says."""


class History:
    """One world drawn from `seed`."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        weather = Weather(rng.choice((0, 0, 0.1, 0.3)), rng.choice((0, 0.1, 0.3)), rng.choice((0.001, 0.05, 0.6)))
        self.events = Events()
        self.network = Wires(self.events, random.Random(seed + 1), weather)
        self.outward = rng.random() < 0.4
        named = rng.random() < 0.3
        failing = rng.choice((0, 0, 0, 0.1, 0.5))
        waits = rng.choice(((0.02,), (0.02, 3.0), (0.02, 30.0)))
        host = "pbx.secret.example" if named else PBX.host
        self.edge = Edge(
            self.events,
            self.network,
            seed,
            Settings(target_timeout=3.0, max_subscriptions=rng.choice((1, 100)), max_passages=rng.choice((1, 100))),
            peers=(Peer("pbx", "private", host),),
            names={host: rng.choice(((PBX.host, PBX2.host), (PBX2.host,), ()))} if named else {},
            answer_after=lambda: rng.choice(waits),
            fails=lambda hop: rng.random() < failing,
        )
        self.conduct = Conduct(self.edge.b2bua)
        self.dialogs: list[tuple[Phone, Dialog, str]] = []
        """Of whom, and the method that it may send in it."""
        phones = [self._phone(CALLER, OUTSIDE, seed + 2), self._phone(PBX, INSIDE, seed + 3)]
        self._phone(PBX2, INSIDE, seed + 4)
        self.watcher = phones[self.outward]
        for _ in range(rng.choice((1, 1, 2, 5))):
            self.later(rng.choice((0.01, 5)), self._subscribe)
        for _ in range(rng.choice((0, 2, 10))):
            self.later(60, lambda: self._alone(rng.choice(phones)))
        if rng.random() < 0.1:
            self.later(60, lambda: self.edge.run(self.edge.b2bua.drain(self.events.now, 5.0)))
        if rng.random() < 0.1:
            self.later(60, lambda: self.edge.run(self.edge.b2bua.hang_up_all(self.events.now)))

    def _phone(self, address: object, gateway: object, seed: int) -> Phone:
        return Phone(self.events, self.network, address, gateway, seed, self._request, self._response)  # type: ignore[arg-type]

    def later(self, longest: float, what: Callable[[], object]) -> None:
        self.events.after(self.rng.random() * longest, lambda: (what(), None)[1])

    # -- what the phones do --------------------------------------------------------------------------------------------

    def _uri(self, phone: Phone) -> str:
        outwards = phone.address != CALLER
        return f"sip:phone@{CALLER.host}:{CALLER.port}" if outwards else f"sip:1001@{OUTSIDE.host}"

    def _subscribe(self) -> None:
        rng, phone = self.rng, self.watcher
        headers = (
            ("Contact", phone.contact),
            ("Event", rng.choice(("dialog", "presence;id=1"))),
            ("Expires", rng.choice(("0", "60", "600"))),
        )
        phone.send(phone.new_request("SUBSCRIBE", self._uri(phone), headers))

    def _alone(self, phone: Phone) -> None:
        method = self.rng.choice((*CROSSING, "REFER"))
        request = phone.new_request(method, self._uri(phone), (("Contact", phone.contact), ("Event", "x")))
        self._told(phone, request)
        phone.send(request)

    def _told(self, phone: Phone, message: object) -> None:
        """A body, now and then."""
        body, kind = self.rng.choice(_BODIES) if phone.address != CALLER else (b"hello", "text/plain")
        if body and self.rng.random() < 0.7:
            put(message.headers, "Content-Type", kind)  # type: ignore[attr-defined]
            message.body = body  # type: ignore[attr-defined]

    def _request(self, phone: Phone, event: RequestReceived) -> None:
        rng, request = self.rng, event.request
        if rng.random() < 0.1:
            return
        if request.method != "SUBSCRIBE" or request.to.tag is not None or rng.random() < 0.3:
            status = 200 if rng.random() < 0.8 else rng.choice(_REFUSALS)
            expires = rng.choice(("0", "30", "600"))
            self.later(rng.choice((0.01, 1, 40)), lambda: phone.answer(event, status, headers=(("Expires", expires),)))
            return
        answer = rng.choice((0.01, 3))
        tag = phone.tokens.tag()
        granted = rng.choice(("0", "20", "300"))
        self.later(answer, lambda: phone.answer(event, 200, headers=(("Expires", granted),), tag=tag))
        for fork in (tag, phone.tokens.tag()) if rng.random() < 0.2 else (tag,):
            dialog = Dialog.as_uas(request, fork)
            self._goes_on(phone, dialog, "NOTIFY", request.headers.get("Event") or "")

    def _response(self, phone: Phone, event: ResponseReceived) -> None:
        response = event.response
        sent = phone.sent[event.transaction]
        if response.cseq.method == "SUBSCRIBE" and response.status == 200 and sent.to.tag is None:
            self._goes_on(phone, Dialog.as_uac(sent, response), "SUBSCRIBE", sent.headers.get("Event") or "")

    def _goes_on(self, phone: Phone, dialog: Dialog, method: str, event: str) -> None:
        for _ in range(self.rng.choice((1, 1, 3))):
            self.later(self.rng.choice((0.02, 5, 400)), lambda: self._in_dialog(phone, dialog, method, event))

    def _in_dialog(self, phone: Phone, dialog: Dialog, method: str, event: str) -> None:
        rng = self.rng
        method = method if rng.random() < 0.95 else rng.choice(("BYE", "SUBSCRIBE", "NOTIFY", "INFO"))
        request = dialog.request(method, phone.contact)
        request.headers.add("Event", event if rng.random() < 0.95 else "other")
        if method == "NOTIFY":
            state = rng.choice(
                ("active", "active;expires=60", "pending", "terminated;reason=timeout", "terminated", "")
            )
            request.headers.add("Subscription-State", state)
            self._told(phone, request)
        else:
            request.headers.add("Expires", rng.choice(("0", "60", "600")))
        phone.send(request)

    # -- what must hold ------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        return played(self, _MOST_STEPS, _HORIZON)

    def faults(self) -> list[str]:
        finals = Counter(
            each.transaction for each in self.edge.commands if isinstance(each, Respond) and each.response.status >= 200
        )
        return [f"second final response: {name}" for name, count in finals.items() if count > 1]


def run(seed: int) -> list[str]:
    return tried(lambda seed: History(seed).run(), seed)


if __name__ == "__main__":
    main(run)
