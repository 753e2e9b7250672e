"""RFC 4475 and RFC 5118, every message, over the wire to a running SBC: what it answers, and what it lets through.

The corpora and their verdicts: data/README.md. Each message must also leave the SBC alive and without complaint.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.border import PLAIN, Border
from tests.support.edge import answers_options
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.raw import head, header_lines, response, status

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("nft")]

DATA = Path(__file__).parent / "data"
EDGE = (PUBLIC.edge, 5060)
PATIENCE = 5.0
"""Seconds in which an answer must come, where one is due."""
QUIET = 0.6
"""Seconds in which none has come, where none is due; the OPTIONS answered afterwards was sent after it."""
VIA_PORTS = (5060, 5050, 5070, 6050, 9, 19823)
"""The sent-by ports of the corpora, where answers go (RFC 3261 section 18.2.2)."""

READ_OTHERWISE = {
    # Section 3.1.2.12: "An element ... can ignore the Date header field" unless it has to act on it.
    "baddate.dat",
}

_numbers = itertools.count(1)


def _cases() -> list[Any]:
    cases = []
    for corpus, ending in (("rfc4475", ""), ("rfc5118", ".sip")):
        for verdict in json.loads((DATA / corpus / "verdicts.json").read_text()):
            path = DATA / corpus / (verdict["file"] + ending)
            cases.append(pytest.param(path, verdict, id=f"{corpus}-{path.stem}"))
    return cases


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border("[sip]\nt1 = 0.05\nt2 = 0.2\nt4 = 0.25\n" + PLAIN) as border:
        yield border


class Outcome:
    """What came of one message."""

    def __init__(self) -> None:
        self.finals: list[int] = []
        self.provisionals: list[int] = []
        self.forwarded: list[bytes] = []
        self.closed = False

    @property
    def decided(self) -> bool:
        return bool(self.finals) or self.closed


class Bench:
    """The sockets of both sides: where answers come back to, and the PBX, which is busy."""

    def __init__(self, border: Border) -> None:
        self.border = border
        self.answers = [border.lab.public.udp((PUBLIC.host, port)) for port in VIA_PORTS]
        self.pbx = border.lab.private.udp((PRIVATE.host, 5060))

    def close(self) -> None:
        for each in (*self.answers, self.pbx):
            each.close()

    def send(self, data: bytes, stream: bool, patience: float) -> Outcome:
        outcome = Outcome()
        connection = None
        with contextlib.ExitStack() as stack:
            if stream:
                connection = stack.enter_context(self.border.lab.public.connect(PUBLIC.host, EDGE))
                connection.sendall(data)
            else:
                self.answers[0].sendto(data, EDGE)
            deadline = time.monotonic() + patience
            while not outcome.decided and (left := deadline - time.monotonic()) > 0:
                waiting = [*self.answers, self.pbx, *([connection] if connection else [])]
                for ready in select.select(waiting, [], [], left)[0]:
                    self._take(ready, connection, data, outcome)
        return outcome

    def _take(self, ready: socket.socket, connection: socket.socket | None, sent: bytes, outcome: Outcome) -> None:
        data, source = ready.recvfrom(65535)
        if ready is self.pbx:
            if status(data) == 0 and not data.startswith(b"ACK"):
                outcome.forwarded.append(data)
                self.pbx.sendto(response(data, "486 Busy Here", "busy"), source)
        elif not data:
            outcome.closed = True
        for answer in re.split(rb"(?m)^(?=SIP/2\.0 \d{3} )", data):  # a stream may bring several at once
            if not status(answer) or ready is self.pbx:
                continue
            code = status(answer)
            (outcome.finals if code >= 200 else outcome.provisionals).append(code)
            if code >= 300 and (ack := _ack(sent, answer)):
                connection.sendall(ack) if ready is connection else ready.sendto(ack, EDGE)


@pytest.fixture(scope="module")
def bench(border: Border) -> Iterator[Bench]:
    made = Bench(border)
    yield made
    made.close()


def _ack(request: bytes, answer: bytes) -> bytes | None:
    """The ACK for a failure (RFC 3261 section 17.1.1.3); None where none is due or can be made."""
    start, vias = head(request)[0], header_lines(request, "via", "v")
    cseq = [line.replace(b"INVITE", b"ACK") for line in header_lines(answer, "cseq")]
    if not start.startswith(b"INVITE ") or not vias or not cseq:
        return None
    same = vias[:1] + header_lines(request, "from", "f", "call-id", "i") + header_lines(answer, "to", "t")
    ack = [start.replace(b"INVITE", b"ACK", 1), *same, cseq[0], b"Max-Forwards: 70", b"Content-Length: 0"]
    return b"\r\n".join(ack) + b"\r\n\r\n"


def _of_its_own(data: bytes) -> bytes:
    """The message with a branch that no other case has: the RFC's share theirs, and would be one transaction."""
    suffix = b"-%d" % next(_numbers)
    return re.sub(rb"(?i)(branch\s*=\s*z9hG4bK[^\s;,]+)", lambda found: found[1] + suffix, data, count=1)


@pytest.mark.parametrize(("path", "verdict"), _cases())
def test_over_the_wire(bench: Bench, path: Path, verdict: dict[str, Any]) -> None:
    data = _of_its_own(path.read_bytes())
    silent = verdict["expect"] in ("drop", "accept-resp")
    outcome = bench.send(data, verdict.get("via_transport") in ("TCP", "TLS"), QUIET if silent else PATIENCE)
    allowed = {*verdict["codes"], *(verdict.get("endpoint_codes") or []), *(verdict.get("proxy_codes") or [])}

    if verdict["expect"] == "reject" and path.name not in READ_OTHERWISE:
        assert not outcome.forwarded
        assert outcome.finals
        assert set(outcome.finals) <= allowed
    elif silent:
        assert not outcome.forwarded
        assert not outcome.finals
    else:
        assert outcome.finals, "it got no answer"
        assert 400 not in set(outcome.finals) - allowed

    assert answers_options(bench.border.lab.public, EDGE, 2)
    assert bench.border.edge.trouble() == []
    assert bench.border.leaks() == []
