"""The errors of the SIP room. Nothing else leaves it for reasons of what came from, or goes to, the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbc.sip.message import Request


class SipError(Exception):
    """A SIP message, or a part of one, is not what RFC 3261 allows."""


class LocalProtocolError(SipError):
    """We were about to make something that may not be sent. A fault in this program, or in what an operator set."""


class RemoteProtocolError(SipError):
    """What a peer sent is malformed or beyond our limits.

    `status_hint` is the status of a response that would say so, `reason` what is wrong and where, fit for a log and for
    a reason phrase (no CR, LF; nothing of the peer's text beyond names). `request` is the faulty request as far as it
    could be read, so that it can be answered without state; None where no answer is due (responses, ACK) or possible.
    """

    def __init__(self, status_hint: int, reason: str, request: Request | None = None) -> None:
        super().__init__(status_hint, reason)
        self.status_hint = status_hint
        self.reason = reason
        self.request = request

    def __str__(self) -> str:
        return f"{self.status_hint} {self.reason}"
