"""Requests that are made from a request that was sent: ACK for a non-2xx response (17.1.1.3) and CANCEL (9.1).

Both are cut out of the bytes that went out, which we wrote ourselves: one header a line, our own Via first.
"""

from __future__ import annotations

from collections.abc import Iterable

from sbc.sip.errors import LocalProtocolError
from sbc.sip.message import Response

_TO = frozenset(("to", "t"))
_COPIED = frozenset(("from", "f", "call-id", "i", "route"))


def _pieces(request: bytes) -> tuple[str, str, list[str], str, str]:
    """Request-URI, our Via line, the lines copied (From, Call-ID, Route), the To line, the number of CSeq."""
    head = request[: request.index(b"\r\n\r\n")].decode()
    start, via, *lines = head.split("\r\n")
    copied: list[str] = []
    to = number = ""
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        if name in _COPIED:
            copied.append(line)
        elif name in _TO:
            to = line
        elif name == "cseq":
            number = value.split()[0]
    return start.split(" ", 2)[1], via, copied, to, number


def _written(method: str, request: bytes, to: str | None, more: Iterable[str]) -> bytes:
    uri, via, copied, own_to, number = _pieces(request)
    lines = (
        f"{method} {uri} SIP/2.0",
        via,
        "Max-Forwards: 70",
        *copied,
        own_to if to is None else f"To: {to}",
        f"CSeq: {number} {method}",
        *more,
        "Content-Length: 0\r\n\r\n",
    )
    return "\r\n".join(lines).encode()


def non_2xx_ack(invite: bytes, response: Response) -> bytes:
    """The ACK for a 3xx to 6xx to the INVITE that went out as `invite` (17.1.1.3): its Call-ID, From, Request-URI, top
    Via and Route, the response's To, CSeq with the same number."""
    return _written("ACK", invite, response.headers.get("To"), ())


def cancel_request(invite: bytes, reasons: Iterable[str]) -> bytes:
    """The CANCEL for the INVITE that went out as `invite` (9.1): the same Request-URI, Call-ID, To, number of CSeq,
    From, Route and top Via; `reasons` are values of Reason headers (RFC 3326).

    Raises LocalProtocolError if a reason holds CR, LF or NUL.
    """
    return _written("CANCEL", invite, None, [f"Reason: {reason}" for reason in checked_values(reasons)])


def checked_values(values: Iterable[str]) -> tuple[str, ...]:
    """`values`, if all of them may stand in a header; else LocalProtocolError."""
    checked = tuple(values)
    for value in checked:
        if "\r" in value or "\n" in value or "\0" in value:
            raise LocalProtocolError(f"header value {value!r} holds CR, LF or NUL")
    return checked
