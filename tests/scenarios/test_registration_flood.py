"""A flood of REGISTERs, to a running SBC: phones that were registered before get their turn all the same."""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.border import PLAIN, Border
from tests.support.lab import PRIVATE, PUBLIC, Namespace

pytestmark = pytest.mark.needs_root

RATE, PHONES = 20, 25
CONFIG = f"""{PLAIN}
[access]
domain = "example.com"
registrar = "pbx"
expires_udp = 60
watch = 0
rate = {RATE}
"""


def opened(where: Namespace, host: str, port: int = 0) -> socket.socket:
    def made() -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        opened.bind((host, port))
        return opened

    return where.call(made)


def field(data: bytes, name: str) -> str:
    found = re.search(rf"(?m)^{name}: (.*?)\r$", data.decode())
    return found[1] if found else ""


class Site:
    """Phones at one address, strangers at another, and a PBX that asks for a password."""

    def __init__(self, border: Border) -> None:
        self.public = border.lab.public
        self.pbx = opened(border.lab.private, PRIVATE.host, 5060)
        self.strangers = opened(self.public, PUBLIC.others[0])
        self.phones: dict[socket.socket, str] = {}
        self.registered: set[str] = set()
        self.again: list[tuple[float, socket.socket]] = []
        self.cseq = 0
        self.turned_away = 0
        self.passed: list[str] = []
        """Users whose REGISTERs the PBX has seen."""

    def close(self) -> None:
        for each in (self.pbx, self.strangers, *self.phones):
            each.close()

    def start(self) -> None:
        """All phones begin, over new flows: their NAT has lost the old ones."""
        for each in self.phones:
            each.close()
        self.registered.clear()
        self.phones = {opened(self.public, PUBLIC.host): f"10{number:02}" for number in range(PHONES)}
        for phone in self.phones:
            self.ask(phone, self.phones[phone])

    def ask(self, source: socket.socket, user: str, proof: bool = False) -> None:
        self.cseq += 1
        host, port = source.getsockname()
        lines = [
            "REGISTER sip:example.com SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{self.cseq}",
            f"From: <sip:{user}@example.com>;tag={self.cseq}",
            f"To: <sip:{user}@example.com>",
            f"Call-ID: {user}@phones",
            f"CSeq: {self.cseq} REGISTER",
            f'Contact: <sip:{user}@{host}:{port}>;+sip.instance="<urn:uuid:{user}>"',
            *([f'Authorization: Digest username="{user}", realm="example.com"'] if proof else []),
        ]
        source.sendto("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(), (PUBLIC.edge, 5060))

    def serve(self, seconds: float) -> None:
        """Whoever has got something deals with it."""
        ready, _, _ = select.select([self.pbx, self.strangers, *self.phones], [], [], seconds)
        for each in ready:
            data, source = each.recvfrom(65536)
            if each is self.pbx:
                self.answer(data, source)
            elif each is self.strangers:
                self.turned_away += data.startswith(b"SIP/2.0 503")
            elif data.startswith(b"SIP/2.0 401"):
                self.ask(each, self.phones[each], True)
            elif data.startswith(b"SIP/2.0 503"):
                self.again.append((time.monotonic() + float(field(data, "Retry-After")), each))
            elif data.startswith(b"SIP/2.0 200"):
                self.registered.add(self.phones[each])
        for when, phone in [each for each in self.again if each[0] <= time.monotonic()]:
            self.again.remove((when, phone))
            self.ask(phone, self.phones[phone])

    def answer(self, data: bytes, source: tuple[str, int]) -> None:
        self.passed.append(field(data, "To"))
        proven = "Digest" in field(data, "Authorization")
        status = "200 OK" if proven else "401 Unauthorized"
        same = "".join(f"{name}: {field(data, name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        more = (
            f"Contact: {field(data, 'Contact')}"
            if proven
            else 'WWW-Authenticate: Digest realm="example.com", nonce="n"'
        )
        text = f"SIP/2.0 {status}\r\n{same}To: {field(data, 'To')};tag=pbx\r\n{more}\r\nContent-Length: 0\r\n\r\n"
        self.pbx.sendto(text.encode(), source)


@pytest.fixture
def site(border: Border) -> Iterator[Site]:
    site = Site(border)
    yield site
    site.close()


def test_phones_that_are_known_register_anew_while_strangers_flood(site: Site) -> None:
    site.start()
    deadline = time.monotonic() + 60.0
    while len(site.registered) < PHONES:
        assert time.monotonic() < deadline
        site.serve(0.05)
    site.start()
    site.passed.clear()
    begun, sent = time.monotonic(), 0
    while len(site.registered) < PHONES:
        passed = time.monotonic() - begun
        assert passed < 60.0, f"{len(site.registered)} of {PHONES}"
        while sent < 300 * passed:  # 15 times what the PBX gets
            sent += 1
            site.ask(site.strangers, f"s{sent}")
        site.serve(0.003)
    assert site.turned_away > 0.5 * sent - 300
    assert len(site.passed) <= RATE * (time.monotonic() - begun + 1.0) + 5
    known = sum("sip:10" in user for user in site.passed)
    assert known >= 2 * PHONES
