"""REGISTERs that are recognised without being read: whatever phones send, the SBC says and keeps the same as one that
reads all of them."""

from __future__ import annotations

import random
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sbc.b2bua import Settings
from sbc.sip import Address
from tests.support.registered import ACCESS
from tests.support.world import CALLER, OUTSIDE, PBX, Edge, Events, Weather, Wires

_COPIED = re.compile(rb"^(?:Via|From|To|Call-ID|CSeq): .*\r\n", re.MULTILINE)
_CONTACT = re.compile(rb"^Contact: (<[^>]+>).*\r\n", re.MULTILINE)


class Site:
    """The SBC, and a PBX that answers each REGISTER as it is told to, or not at all."""

    def __init__(self, reads_all: bool) -> None:
        self.events = Events()
        self.wires = Wires(self.events, random.Random(1), Weather(delay=0.0))
        self.edge = Edge(self.events, self.wires, 1, Settings(access=ACCESS))
        self.recognised = 0
        recognise = self.edge.b2bua.recognise

        def counted(*seen: Any) -> Any:
            commands = recognise(*seen)
            self.recognised += commands is not None
            return commands

        self.edge.b2bua.recognise = (lambda seen, now: None) if reads_all else counted  # type: ignore[method-assign]
        self.verdict = b"200 OK"
        self.wires.hosts[PBX] = self._asked

    def _asked(self, data: bytes, source: Address) -> None:
        if self.verdict and data.startswith((b"REGISTER", b"OPTIONS")):
            contact = _CONTACT.search(data)
            listed = b"Contact: %s;expires=3600\r\n" % contact[1] if contact else b""
            head = b"SIP/2.0 " + self.verdict + b"\r\n" + b"".join(_COPIED.findall(data)) + listed
            self.wires.send(PBX, source, head + b"Content-Length: 0\r\n\r\n")

    def take(self, data: bytes, source: Address, wait: float, verdict: bytes) -> None:
        self.verdict = verdict
        self.edge.receive(data, source, OUTSIDE)
        until = self.events.now + wait
        while self.events.step(until):
            pass
        self.events.now = until

    def kept(self) -> list[tuple[Any, ...]]:
        table = self.edge.b2bua.registered
        devices = [device for user in ("1001", "1002") for device in table.by_aor(f"{user}@example.com")]
        return [tuple(flow.record()) for device in devices for flow in device.flows.values()]


USUAL: dict[str, Any] = {
    "user": "1001", "via": "{host};branch={branch};rport", "branch": "new", "cseq": 1, "call_id": "a@phone",
    "from_tag": ";tag=phone", "contact": "<sip:1001@{host};line=1>", "expires": "Expires: 60\r\n", "more": "",
    "port": 5070, "order": 0, "swap": None, "wait": 50.0, "verdict": b"200 OK", "nonce": "",
}  # fmt: skip
OTHERS: dict[str, list[Any]] = {
    "user": ["1002"],
    "via": ["{host};rport;branch={branch}", "{host};branch={branch}", "PHONE.example;branch={branch}",
            "{host};branch={branch};rport=7;received=1.2.3.4", "{host};branch={branch}, SIP/2.0/UDP b;branch={branch}",
            "{host};branch={branch};keep", "{host};branch={branch};x=\";branch={branch}\""],
    "branch": ["same", "1", "z9hG4bK"],
    "cseq": [0, -1, 2, 10**9, 2**31],
    "call_id": ["b@phone", "a b", "x" * 300],
    "from_tag": [";tag=other", "", ";tag=phone;x=y"],
    "contact": ["*", "<sip:1001@{host};line=2>", "<sip:1001@{host};line=1>;expires=30", "sip:1001@{host}",
                "<sip:1001@{host}>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"", "<sip:1001@{host}>, <sip:1001@b>"],
    "expires": ["Expires: 0\r\n", "Expires: 5\r\n", "", "Expires: 600\r\n", "expires: 60\r\n", "Expires: x\r\n"],
    "more": ["Require: x\r\n", "Supported: path, outbound\r\n", "Path: <sip:p>\r\n", "Route: <sip:r;lr>\r\n",
             "Max-Forwards: 0\r\n", "Subject: a\r\n b\r\n", "CSeq\r\n", "Authorization\r\n", "Via: x\r\n", "v: y\r\n",
             "User-Agent: \xe9\r\n", "i: c\r\n", "Content-Type: text/plain\r\n"],
    "port": [5071, 5072],
    "order": [1, 2, 3],
    "swap": [(5, "\x00"), (60, "\x7f"), (100, "\xff"), (150, "\r\n"), (200, "\r\n\r\n"), (250, " "), (300, "\t")],
    "wait": [0.0, 1.0, 5.0, 65.0, 800.0, 3000.0],
    "verdict": [b"", b"401 Unauthorized", b"403 Forbidden", b"503 Down"],
    "nonce": ["", "1", "2", "\x00"],
}  # fmt: skip
ONE_OTHER = st.sampled_from([{name: value} for name, values in OTHERS.items() for value in values])
STEPS = st.lists(
    st.one_of(st.just({}), st.just({}), ONE_OTHER, st.tuples(ONE_OTHER, ONE_OTHER)), min_size=3, max_size=9
)


def written(step: dict[str, Any], cseq: int, branch: str) -> bytes:
    host = f"{CALLER.host}:{step['port']}"
    user = f"<sip:{step['user']}@example.com>"
    lines = [
        f"Via: SIP/2.0/UDP {step['via'].format(host=host, branch=branch)}\r\n",
        f"From: {user}{step['from_tag']}\r\n",
        f"To: {user}\r\n",
        f"Call-ID: {step['call_id']}\r\n",
        f"CSeq: {cseq} REGISTER\r\n",
        f"Contact: {step['contact'].format(host=host)}\r\n",
        step["expires"],
        step["more"],
    ]
    if step["nonce"]:
        lines.append(f'Authorization: Digest username="u", nonce="{step["nonce"]}", nc={cseq}\r\n')
    lines = lines[step["order"] :] + lines[: step["order"]]
    text = f"REGISTER sip:example.com SIP/2.0\r\n{''.join(lines)}Content-Length: 0\r\n\r\n"
    if step["swap"]:
        at, what = step["swap"]
        text = text[:at] + what + text[at + len(what) :]
    return text.encode("latin-1")


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from(["", "1"]))
def test_what_is_recognised_is_answered_and_kept_as_if_it_had_been_read(steps: list[Any], nonce: str) -> None:
    reading, glancing = Site(True), Site(False)
    cseq, branch = 0, ""
    for number, changes in enumerate([{}, {}, *steps]):
        step = {**USUAL, "nonce": nonce, **{name: value for each in _each(changes) for name, value in each.items()}}
        cseq = min(max(cseq + step["cseq"], 0), 2**31 + 1) if cseq < 2**31 else 1
        branch = {"same": branch, "new": f"z9hG4bK{number}"}.get(step["branch"], step["branch"])
        data = written(step, cseq, branch)
        for site in (reading, glancing):
            site.take(data, Address(CALLER.host, step["port"]), step["wait"], step["verdict"])
        assert glancing.wires.sent == reading.wires.sent, data
        assert glancing.kept() == reading.kept(), data
        assert glancing.edge.stack.server_count == reading.edge.stack.server_count
    assert reading.recognised == 0


def _each(changes: Any) -> tuple[dict[str, Any], ...]:
    return changes if isinstance(changes, tuple) else (changes,)


def test_a_refresh_like_the_last_one_is_not_read() -> None:
    site = Site(False)
    for number in range(1, 30):
        site.take(written({**USUAL, "nonce": str(number)}, number, f"z9hG4bK{number}"), CALLER, 50.0, b"200 OK")
        assert site.recognised == max(0, number - 2)
    assert all(data.startswith(b"SIP/2.0 200") for _, _, to, data in site.wires.sent if to == CALLER)
