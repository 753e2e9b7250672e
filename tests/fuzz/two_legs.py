"""Random call histories: two phones that do whatever they like over a network that loses, repeats and reorders.

`python -m tests.fuzz.two_legs COUNT [SEED]` runs as many as wanted; the tests run a few thousand.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable

from sbc.b2bua import Peer, SendRequest, Settings
from sbc.sip import Dialog, Limits, Request, RequestReceived, ResponseReceived, parse
from tests.support.phone import Phone, sdp
from tests.support.world import CALLER, INSIDE, OUTSIDE, PBX, PBX2, Edge, Events, Weather, Wires

MOST_STEPS = 20_000
HORIZON = 100_000.0
"""Seconds after which everything must have ended by itself."""
FINALS = (200, 200, 200, 200, 200, 404, 486, 503, 302, 603, 0)


class History:
    """One world drawn from `seed`, run to its end; `faults` says what is wrong with it."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        weather = Weather(rng.choice((0, 0, 0.1, 0.3)), rng.choice((0, 0.1, 0.3)), rng.choice((0.001, 0.05, 0.6)))
        self.events = Events()
        self.network = Wires(self.events, random.Random(seed + 1), weather)
        settings = Settings(longest_call=600.0, no_answer=60.0, target_timeout=3.0)
        peers = tuple(Peer(f"pbx{n}", "private", address.host) for n, address in enumerate((PBX, PBX2)))
        routes = ()
        if rng.random() < 0.3:
            from sbc.policy import RouteRule

            routes = (RouteRule("both", to=("pbx0", "pbx1")),)
        else:
            peers = peers[:1]
        self.edge = Edge(self.events, self.network, seed, settings, routes, peers=peers)
        self.caller = Phone(
            self.events, self.network, CALLER, OUTSIDE, seed + 2, self._in_dialog, self._caller_response
        )
        self.callees = [
            Phone(self.events, self.network, address, INSIDE, seed + 3 + n, self._callee_request, self._in_response)
            for n, address in enumerate((PBX, PBX2))
        ]
        self.offered = rng.random() < 0.85
        body = sdp(CALLER, 4000) if self.offered else b""
        contact = (("Contact", self.caller.contact),)
        self.invite = self.caller.new_request("INVITE", f"sip:1001@{OUTSIDE.host}", contact, body)
        self.transaction = self.caller.send(self.invite)
        if rng.random() < 0.25:
            self.events.after(rng.random() * rng.choice((0.01, 1, 20)), lambda: self.caller.cancel(self.transaction))

    # -- what the phones do ---------------------------------------------------------------------------------------------

    def _later(self, longest: float, what: Callable[[], object]) -> None:
        self.events.after(self.rng.random() * longest, lambda: (what(), None)[1])

    def _live(self, phone: Phone) -> None:
        """The phone is in a call: requests at random times."""
        rng = self.rng
        for _ in range(rng.choice((0, 0, 1, 3))):
            method = rng.choice(("INVITE", "INVITE", "UPDATE", "INFO", "OPTIONS", "NONSENSE", "MESSAGE"))
            version = rng.randrange(2, 9)
            direction = rng.choice(("sendrecv", "sendonly", "inactive"))
            body = (
                sdp(phone.address, 4000 + 2 * version, version, direction) if method in ("INVITE", "UPDATE") else b"x"
            )
            if method == "INVITE" and rng.random() < 0.2:
                body = b""
            self._later(20, lambda method=method, body=body: self._request(phone, method, body))
        if rng.random() < 0.7:
            self._later(rng.choice((0.01, 5, 60)), lambda: self._request(phone, "BYE", b""))

    def _request(self, phone: Phone, method: str, body: bytes) -> None:
        if phone.dialog is not None:
            phone.in_dialog(method, body, "application/sdp" if method in ("INVITE", "UPDATE") else "text/plain")

    def _caller_response(self, phone: Phone, event: ResponseReceived) -> None:
        response = event.response
        if response.cseq.method == "INVITE" and 200 <= response.status < 300:
            if phone.dialog is None:
                phone.dialog = Dialog.as_uac(self.invite, response)
                self._live(phone)
            self._ack(phone, event)

    def _ack(self, phone: Phone, event: ResponseReceived) -> None:
        if self.rng.random() < 0.97:
            delayed = event.response.body and not phone.sent[event.transaction].body
            phone.ack(event.response, sdp(phone.address, 4100, 7) if delayed else b"")

    def _in_response(self, phone: Phone, event: ResponseReceived) -> None:
        if event.response.cseq.method == "INVITE" and 200 <= event.response.status < 300 and phone.dialog is not None:
            self._ack(phone, event)

    def _in_dialog(self, phone: Phone, event: RequestReceived) -> None:
        rng = self.rng
        if rng.random() < 0.05:
            self._later(40, lambda: phone.answer(event, 500))  # late, perhaps never in time
            return
        if event.request.method in ("INVITE", "UPDATE"):
            if rng.random() < 0.2:
                phone.answer(event, rng.choice((488, 491, 481, 500)))
            else:
                self._later(rng.choice((0.01, 2)), lambda: phone.answer(event, 200, sdp(phone.address, 6100, 5)))
        else:
            phone.answer(event, 200)

    def _callee_request(self, phone: Phone, event: RequestReceived) -> None:
        request, rng = event.request, self.rng
        if request.method != "INVITE" or request.to.tag is not None:
            self._in_dialog(phone, event)
            return
        if rng.random() < 0.05:
            return  # dead
        for status in rng.choice(((), (180,), (180, 183), (183, 180, 181))):
            body = sdp(phone.address, 6000) if status == 183 and request.body else b""
            self._later(1, lambda status=status, body=body: self._provisional(phone, event, status, body))
        final = rng.choice(FINALS)
        if final:
            self._later(rng.choice((0.01, 2, 30)), lambda: self._final(phone, event, final))

    def _provisional(self, phone: Phone, event: RequestReceived, status: int, body: bytes) -> None:
        if phone.dialog is None:
            phone.answer(event, status, body)

    def _final(self, phone: Phone, event: RequestReceived, status: int) -> None:
        if phone.cancelled and self.rng.random() < 0.7:
            return
        bad = self.rng.random() < 0.03
        body = (b"v=rubbish\r\n" if bad else sdp(phone.address, 6000)) if status == 200 else b""
        phone.answer(event, status, body)
        if status == 200:
            self._live(phone)

    # -- the run --------------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        for _ in range(MOST_STEPS):
            if not self.events.step(HORIZON):
                break
        else:
            return ["it never ends"]
        return self.faults()

    def faults(self) -> list[str]:
        faults = [f"{name} left: {size}" for name, size in self.edge.left_over().items()]
        finals: Counter[tuple[str, str]] = Counter()
        seen: dict[tuple[str, str], set[bytes]] = {}
        for _, source, target, data in self.network.sent:
            if source != OUTSIDE or target != CALLER or not data.startswith(b"SIP/2.0"):
                continue
            message = parse(data, Limits())
            if not isinstance(message, Request) and message.status >= 200:
                key = (message.via.branch or "", message.cseq.method)
                if data not in seen.setdefault(key, set()):
                    seen[key].add(data)
                    finals[key] += 1
        faults += [f"{count} final responses to {key}" for key, count in finals.items() if count > 1]
        byes: Counter[tuple[str, str]] = Counter()
        for command in self.edge.commands:
            if isinstance(command, SendRequest) and command.request.method == "BYE":
                byes[(command.request.call_id, command.request.to.tag or "")] += 1
        faults += [f"{count} BYEs in one dialog" for count in byes.values() if count > 1]
        return faults


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    bad = 0
    for seed in range(first, first + count):
        try:
            faults = History(seed).run()
        except Exception as error:
            faults = [f"{type(error).__name__}: {error}"]
            if bad == 0:
                import traceback

                traceback.print_exc()
        if faults:
            bad += 1
            print(seed, faults, flush=True)
            if bad > 20:
                break
    print(f"{count} histories, {bad} bad")


if __name__ == "__main__":
    main()
