"""Many phones in one thread: each with a socket of its own, each registered by digest and refreshing in time.

A phone asks, repeats what is lost (RFC 3261 section 17.1.2), answers challenges, waits as long as a 503 says, and comes
again when nine tenths of what it was granted are over at the latest. It answers OPTIONS with 200 and INVITE with 486.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import re
import select
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from sbc.sip import Address

DOMAIN, PASSWORD = "example.com", "secret"
EXPIRES = 60
_T1, _T2, _TIMER_F = 0.5, 4.0, 32.0
_FAILED_WAIT = (5.0, 15.0)
"""Seconds that a phone waits, at random, after nobody answered."""
_NONCE = re.compile(rb'nonce="([^"]+)"')
_GRANTED = re.compile(rb"^Contact: .*;expires=(\d+)", re.MULTILINE)
_RETRY_AFTER = re.compile(rb"^Retry-After: (\d+)", re.MULTILINE)
_WHOSE = re.compile(rb"^(?:Call-ID: |INVITE sip:phone)(\d+)[-@]", re.MULTILINE)
_COPIED = re.compile(rb"^(?:Via|From|To|Call-ID|CSeq): .*\r\n", re.MULTILINE)
_TO = re.compile(rb"^(To: [^\r]*)(?=\r)", re.MULTILINE)


def user(number: int) -> str:
    return f"phone{number}"


def register(number: int, source: Address, cseq: int, branch: str, credentials: str = "") -> bytes:
    """A REGISTER as phones write it; `source` is the address that the phone believes it has."""
    name, host = user(number), f"{source.host}:{source.port}"
    return (
        f"REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch={branch};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:{name}@{DOMAIN}>;tag=f{number}\r\nTo: <sip:{name}@{DOMAIN}>\r\nCall-ID: {number}-of-the-fleet\r\n"
        f"CSeq: {cseq} REGISTER\r\nContact: <sip:{name}@{host};line=x{number}>"
        f';+sip.instance="<urn:uuid:00000000-0000-1000-8000-{number:012x}>"\r\n{credentials}Expires: {EXPIRES}\r\n'
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO\r\nSupported: replaces, timer\r\n"
        "User-Agent: Fleet/1.0\r\nContent-Length: 0\r\n\r\n"
    ).encode()


@dataclass(slots=True, eq=False)
class Device:
    number: int
    socket: socket.socket
    says: Address
    """Where it believes to be."""
    cseq: int = 0
    data: bytes = b""
    """The REGISTER that waits for its answer; b"": none does."""
    asked: float = 0.0
    wait: float = 0.0
    at: float = 0.0
    """When it does something next."""
    nonce: str = ""
    nonce_count: int = 0
    answered: float = 0.0
    """When it last got 200."""
    until: float = 0.0
    """When what it was granted ends."""
    invited: float = 0.0


@dataclass
class Fleet:
    """`size` phones over `sockets`, which are bound: some have two where there are not enough."""

    size: int
    sockets: list[socket.socket]
    target: tuple[str, int]
    counts: Counter[str] = field(default_factory=Counter)
    """"refreshes" begun by phones that are registered, "answered", "challenged", "turned away", "repeated",
    "unanswered", "refused", "options", "pings"."""

    def __post_init__(self) -> None:
        self.devices: list[Device] = []
        for number in range(self.size):
            flow = self.sockets[number % len(self.sockets)]
            host, port = flow.getsockname()
            self.devices.append(Device(number, flow, Address(host, port)))
        self._by_fd = {flow.fileno(): flow for flow in self.sockets}
        self._due: list[tuple[float, int]] = []
        self._random = random.Random(1)
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._last_refusal = b""

    def begin(self, rate: float) -> None:
        """Phones are switched on, so many a second."""
        now = time.monotonic()
        for device in self.devices:
            self._plan(device, now + device.number / rate)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        for each in self.sockets:
            each.close()

    def answered_since(self, when: float) -> int:
        """Phones that have had a 200 since then."""
        return sum(device.answered >= when for device in self.devices)

    def lapsed(self) -> int:
        """Phones that are not registered now: what they were granted is over, or they never were."""
        now = time.monotonic()
        return sum(device.until < now for device in self.devices)

    def last_refusal(self) -> str:
        return self._last_refusal.decode(errors="replace")

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        poll = select.epoll()
        for fd in self._by_fd:
            poll.register(fd, select.EPOLLIN)
        while not self._closing:
            for fd, _ in poll.poll(0.02, 256):
                try:
                    data = self._by_fd[fd].recv(65535)
                except OSError:
                    continue  # an ICMP error: nobody is there, and Timer E goes on
                self._received(self._by_fd[fd], data, time.monotonic())
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                when, number = heapq.heappop(self._due)
                if self.devices[number].at == when:
                    self._act(self.devices[number], now)
        poll.close()

    def _plan(self, device: Device, when: float) -> None:
        device.at = when
        heapq.heappush(self._due, (when, device.number))

    def _act(self, device: Device, now: float) -> None:
        if not device.data:
            if device.until > now:
                self.counts["refreshes"] += 1
            self._ask(device, now)
        elif now - device.asked >= _TIMER_F:
            self.counts["unanswered"] += 1
            device.data = b""
            self._plan(device, now + self._random.uniform(*_FAILED_WAIT))
        else:
            self.counts["repeated"] += 1
            device.wait = min(2 * device.wait, _T2)
            self._send(device.socket, device.data)
            self._plan(device, min(now + device.wait, device.asked + _TIMER_F))

    def _ask(self, device: Device, now: float) -> None:
        device.cseq += 1
        branch = f"z9hG4bKf{device.number}-{device.cseq}"
        device.data = register(device.number, device.says, device.cseq, branch, _credentials(device))
        device.asked, device.wait = now, _T1
        self._send(device.socket, device.data)
        self._plan(device, now + _T1)

    def _send(self, flow: socket.socket, data: bytes) -> None:
        try:
            flow.sendto(data, self.target)
        except OSError:
            self.counts["not sent"] += 1  # an earlier ICMP error is told here; Timer E sends it again

    def _received(self, flow: socket.socket, data: bytes, now: float) -> None:
        whose = _WHOSE.search(data)
        if data.startswith(b"OPTIONS "):
            self.counts["options"] += 1
            self._send(flow, _response(data, b"200 OK"))
        elif not data.strip():
            self.counts["pings"] += 1
        elif whose is not None:
            self._said(self.devices[int(whose[1])], data, now)

    def _said(self, device: Device, data: bytes, now: float) -> None:
        if data.startswith(b"SIP/2.0 "):
            if device.data and b"\r\nCSeq: %d REGISTER\r\n" % device.cseq in data:
                self._answered(device, int(data[8:11]), data, now)
        elif data.startswith(b"INVITE "):
            device.invited = now
            self._send(device.socket, _response(data, b"486 Busy Here"))

    def _answered(self, device: Device, status: int, data: bytes, now: float) -> None:
        if status < 200:
            return
        device.data = b""
        if status == 200 and (granted := _GRANTED.search(data)):
            seconds = int(granted[1])
            self.counts["answered"] += 1
            device.answered, device.until = now, now + seconds
            self._plan(device, now + seconds * self._random.uniform(0.75, 0.9))
        elif status == 401 and (nonce := _NONCE.search(data)):
            self.counts["challenged"] += 1
            device.nonce, device.nonce_count = nonce[1].decode(), 0
            self._ask(device, now)
        elif status == 503 and (later := _RETRY_AFTER.search(data)):
            self.counts["turned away"] += 1
            self._plan(device, now + int(later[1]) + self._random.random())
        else:
            self.counts["refused"] += 1
            self._last_refusal = data
            self._plan(device, now + self._random.uniform(*_FAILED_WAIT))


def _credentials(device: Device) -> str:
    """Phones send the credentials for the last challenge with what comes next (RFC 7616 section 3.6)."""
    if not device.nonce:
        return ""
    device.nonce_count += 1
    name, uri, count, own = user(device.number), f"sip:{DOMAIN}", f"{device.nonce_count:08x}", f"{device.cseq:x}"
    secret = _md5(f"{name}:{DOMAIN}:{PASSWORD}")
    proof = _md5(f"{secret}:{device.nonce}:{count}:{own}:auth:{_md5(f'REGISTER:{uri}')}")
    return (
        f'Authorization: Digest username="{name}", realm="{DOMAIN}", nonce="{device.nonce}", uri="{uri}", '
        f'response="{proof}", algorithm=MD5, cnonce="{own}", qop=auth, nc={count}\r\n'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _response(request: bytes, status: bytes) -> bytes:
    head = b"".join(_COPIED.findall(request.partition(b"\r\n\r\n")[0] + b"\r\n"))
    return b"SIP/2.0 " + status + b"\r\n" + _TO.sub(rb"\1;tag=fleet", head) + b"Content-Length: 0\r\n\r\n"
