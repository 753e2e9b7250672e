"""A request that a phone sends again and again, with little in it that is new: what can be told of it without reading
it as a whole.

A phone behind NAT registers every minute. Of all that it writes only the branch, the number of CSeq and the credentials
are new (RFC 3261 section 10.2.4). A glance finds these, and makes a number of all the rest, by which whoever has read
such a request once knows the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, NamedTuple

from sbc.sip.errors import RemoteProtocolError
from sbc.sip.header_values import MAGIC_COOKIE, MAX_CSEQ, Via, parse_via
from sbc.sip.matching import note_source, noted, response_hop, usual_key
from sbc.sip.message import CRLF, Request
from sbc.sip.parser import Limits, parse
from sbc.sip.wire import Hop, Packet, TransactionId

_METHOD = "REGISTER"
_START = b"REGISTER "
_cseq = re.compile(r"CSeq: ([0-9]{1,10}) REGISTER").fullmatch
_new_tuple = tuple.__new__


class Glance(NamedTuple):
    """What was seen of a REGISTER."""

    packet: Packet
    common: int
    """Made of everything but what is new in each repetition; the same number, the same octets. Never 0."""
    transaction: TransactionId
    """The server transaction that it would open."""
    merge_key: str
    """As in `SipStack`."""
    via: Via
    from_tag: str
    call_id: str
    cseq: int
    response_hop: Hop
    lines: tuple[str, ...]
    """Via (with the source noted), From, To, Call-ID and CSeq as a response repeats them (8.2.6.2)."""
    request: Request
    """The whole request, which is read when somebody asks for anything but its method."""

    def accepted(self, to_tag: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """The 200 to it, as `make_response` and `to_bytes` make it. The values of `headers` have been in messages."""
        via, from_, to, call_id, cseq = self.lines
        told = "".join([f"{name}: {value}\r\n" for name, value in headers])
        return (
            f"SIP/2.0 200 OK\r\n{via}\r\n{from_}\r\n{to};tag={to_tag}\r\n{call_id}\r\n{cseq}\r\n{told}"
            "Content-Length: 0\r\n\r\n"
        ).encode()

    def shows(self, request: Request) -> bool:
        """Whether `request`, read from the same octets, is what the glance takes it for; then this is so of every other
        request with the same `common`."""
        return (
            request.headers.has_one("via")
            and request.via.params.get("branch") == self.via.params.get("branch")
            and (request.from_.tag, request.to.tag) == (self.from_tag, None)
            and (request.call_id, request.cseq) == (self.call_id, (self.cseq, _METHOD))
            and self.merge_key.endswith(f" {request.uri}")
        )


class _Unread(Request):
    """A request that is read when somebody asks."""

    __slots__ = ("_limits", "_packet")

    def __init__(self, packet: Packet, limits: Limits) -> None:
        self.method = _METHOD
        self._packet = packet
        self._limits = limits

    def __getattr__(self, name: str) -> Any:
        """What is not there yet. Raises RemoteProtocolError if the request is malformed."""
        if name in ("headers", "body", "raw", "uri"):
            read = parse(self._packet.data, self._limits)
            assert isinstance(read, Request)
            note_source(read, read.via, self._packet.hop.remote)
            super().__init__(read.method, read.uri, read.headers, read.body, read.raw)
            return getattr(read, name)
        raise AttributeError(name)


def glance(packet: Packet, limits: Limits) -> Glance | None:
    """Look at a datagram. None: it is no REGISTER, or not written as most phones write it; it has to be read."""
    data, hop = packet
    if not data.startswith(_START) or hop.transport != "UDP":
        return None
    if len(data) > limits.max_message or len(data) > limits.max_header_line:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if text.find("\r\n\r\n") != len(text) - 4 or "\r\n " in text or "\r\n\t" in text:
        return None  # a body; folded lines
    lines = text.split("\r\n")
    if not lines[0].endswith(" SIP/2.0"):
        return None
    where = [line.partition(": ")[0] for line in lines].index
    try:
        at_via, at_cseq = where("Via"), where("CSeq")
        found = (lines[at_via], lines[where("From")], lines[where("To")], lines[where("Call-ID")], lines[at_cseq])
        via = parse_via(found[0][5:])
    except (ValueError, RemoteProtocolError):
        return None
    branch = via.params.get("branch") or ""
    before, named, after = found[0].partition(f";branch={branch}")
    cseq = _cseq(found[4])
    if cseq is None or "keep" in via.params or not (named and branch.startswith(MAGIC_COOKIE) and _is_plain(found[0])):
        return None
    lines[at_via], lines[at_cseq] = f"{before};branch={after}", "CSeq"
    at = 0
    if "\r\nAuthorization: " in text:
        at = where("Authorization")
        if not (lines[at].startswith("Authorization: ") and _is_plain(lines[at])):
            return None
        lines[at] = ""
    number = int(cseq[1])
    rest = f"{CRLF.join(lines)}{at}"
    return _seen(packet, limits, rest, found, via, number) if number <= MAX_CSEQ else None


def _is_plain(line: str) -> bool:
    return line.isascii() and line.isprintable()


def _seen(packet: Packet, limits: Limits, rest: str, found: tuple[str, ...], via: Via, number: int) -> Glance:
    """`rest` is what is not new; `found`: the lines that responses repeat."""
    hop = packet.hop
    tag = found[1].rpartition(">;tag=")[2]
    call_id = found[3][9:]
    source = noted(via, hop.remote)
    uri = rest[len(_START) : rest.index(" SIP/2.0\r\n")]
    return _new_tuple(
        Glance,
        (
            packet,
            int.from_bytes(blake2b(rest.encode(), digest_size=7).digest()) or 1,
            usual_key(via, hop.zone, _METHOD),
            f"{tag} {call_id} {number} {_METHOD} {uri}",
            via,
            tag,
            call_id,
            number,
            response_hop(hop, via),
            found if source is None else (f"Via: {source}", *found[1:]),
            _Unread(packet, limits),
        ),
    )
