"""What crosses the edge of the SIP room: packets in, effects and events out.

These are named tuples, because one or two are made for each message. Every one of them is plain data.
"""

from __future__ import annotations

from typing import NamedTuple

from sbc.sip.message import Request, Response

TransactionId = str
"""Names one transaction of one `SipStack`. A client transaction's is the branch it was sent with; a server
transaction's is opaque."""


class Address(NamedTuple):
    """An IP address in its shortest text form (IPv6 without brackets) and a port."""

    host: str
    port: int


class Hop(NamedTuple):
    """One way to (or from) one SIP element: our socket in a zone, and the element's address.

    `transport` is upper case as in a Via ("UDP", "TCP"). `local` is the address that our socket is bound to, never the
    advertised one. `connection` names one open stream; None means whichever stream is open to `remote`, else a new one.
    """

    zone: str
    transport: str
    local: Address
    remote: Address
    connection: int | None = None


class Packet(NamedTuple):
    """One whole SIP message as it came: a datagram, or what the framer cut out of a stream."""

    data: bytes
    hop: Hop


# -- effects: what `SipStack` wants done ------------------------------------------------------------------------------


class Transmit(NamedTuple):
    """Write `data` to `hop`. If that fails, and `transaction` is not None, tell `SipStack.transport_failed`.

    `label` is what the transaction user called the transaction (the call's id, or ""), for the record of the call.
    """

    data: bytes
    hop: Hop
    transaction: TransactionId | None
    label: str


class Deliver(NamedTuple):
    """Give `event` to the transaction user."""

    event: SipEvent


class Absorbed(NamedTuple):
    """A retransmission was recognised and needs nothing more; it is named for the record of the call only."""

    packet: Packet
    label: str


class Refused(NamedTuple):
    """A packet could not be understood. `reason` says what and where; an answer, where one is due, is a `Transmit`
    beside it (RFC 3261 sections 8.2, 16.3, 21.4)."""

    packet: Packet
    reason: str


Effect = Transmit | Deliver | Absorbed | Refused


# -- events: what the transaction user learns -------------------------------------------------------------------------


class RequestReceived(NamedTuple):
    """A request that is new: neither a retransmission, nor an ACK, nor a CANCEL that matched."""

    request: Request
    transaction: TransactionId
    packet: Packet


class ResponseReceived(NamedTuple):
    """A response to a client transaction, retransmissions of non-2xx taken out (RFC 3261 section 17.1).

    Every 2xx to an INVITE is delivered, also a repeated one or one from another fork (RFC 6026).
    """

    response: Response
    transaction: TransactionId
    packet: Packet
    label: str


class AckReceived(NamedTuple):
    """An ACK for a 2xx (one for a non-2xx ends inside the transaction layer)."""

    request: Request
    packet: Packet


class CancelReceived(NamedTuple):
    """A CANCEL for the INVITE server transaction `transaction`; it has been answered with 200 already (9.2)."""

    request: Request
    transaction: TransactionId
    packet: Packet
    label: str


class TransactionTimedOut(NamedTuple):
    """Timer B or F fired (client), or timer H (server INVITE: no ACK for our non-2xx final response)."""

    transaction: TransactionId
    label: str


class TransactionFailed(NamedTuple):
    """The transport could not deliver (17.1.4)."""

    transaction: TransactionId
    label: str


SipEvent = RequestReceived | ResponseReceived | AckReceived | CancelReceived | TransactionTimedOut | TransactionFailed
