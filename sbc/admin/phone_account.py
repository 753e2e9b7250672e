"""Who the small phone is, and how it answers challenges (RFC 3261 section 22)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from sbc.sip import ALGORITHMS, Challenge, Request, Response, SipError, answer_challenge, ha1, parse_challenge

_MOST_TRIES = 3
_ANSWERS = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}


@dataclass(slots=True)
class Account:
    """Who the phone is at its registrar. `user` is also the name for digest."""

    user: str
    domain: str
    password: str
    answered: set[str] = field(default_factory=set)
    """The algorithms that challenges were answered with, for who wants to know."""

    def again(self, request: Request, response: Response) -> Request | None:
        """`request` once more, with the answer to the challenge in `response`; None where there is none to give: no
        challenge that we understand, or we have answered and it was not stale."""
        if response.status not in (401, 407) or request.cseq.number % 10 >= _MOST_TRIES:
            return None
        for name, answer, challenge in _challenges(response):
            if answer in request.headers and not challenge.stale:
                return None
            try:
                value = self._answered(challenge, request)
            except SipError:
                continue  # RFC 8760 section 2.4: the first one that we understand
            headers = request.headers.copy()
            headers.remove("Via")
            headers.set("CSeq", f"{request.cseq.number + 1} {request.method}")
            headers.set(_ANSWERS[name], value)
            return Request(request.method, request.uri, headers, request.body)
        return None

    def _answered(self, challenge: Challenge, request: Request) -> str:
        algorithm = challenge.algorithm.upper()
        secret = ha1(algorithm, self.user, challenge.realm, self.password) if algorithm in ALGORITHMS else ""
        value = answer_challenge(challenge, self.user, secret, request.method, request.uri, secrets.token_hex(8), 1)
        self.answered.add(algorithm)
        return value


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """Who a phone is. Times in seconds."""

    host: str
    """IP address that it binds and names in its messages."""
    port: int = 0
    """0: any free one."""
    user: str = "phone"
    user_agent: str = ""
    tool: str = ""
    """What its RTCP says as TOOL; `cname` likewise."""
    cname: str = ""
    max_calls: int = 20
    ring_time: float = 0.3
    """From the 180 to the 200."""
    silence: float = 30.0
    """A call in which nothing is heard for so long (not on hold) is ended."""
    account: Account | None = None
    """Where it registers, and is known; else it is known by its address."""


def _challenges(response: Response) -> Iterator[tuple[str, str, Challenge]]:
    for name, answer in _ANSWERS.items():
        for value in response.headers.get_all(name):
            try:
                challenge = parse_challenge(value)
            except SipError:
                continue
            if challenge is not None:
                yield name, answer, challenge
