"""RFC 3261 without I/O: octets to messages to transactions to dialogs, and back. Standard library only, no clock."""

from __future__ import annotations

from sbc.sip.dialog import Dialog
from sbc.sip.errors import LocalProtocolError, RemoteProtocolError, SipError
from sbc.sip.grammar import canonical_host, quote, split_list, unquote
from sbc.sip.header_values import (
    MAX_CSEQ,
    CSeq,
    NameAddress,
    RAck,
    Reason,
    Via,
    parse_cseq,
    parse_media_type,
    parse_name_address,
    parse_rack,
    parse_reason,
    parse_seconds,
    parse_via,
)
from sbc.sip.message import REASONS, Headers, Request, Response, make_response
from sbc.sip.parser import Limits, StreamFramer, parse
from sbc.sip.tokens import Tokens
from sbc.sip.transaction import Timers
from sbc.sip.transaction_layer import SipStack
from sbc.sip.uri import Uri, escape_user, parse_uri, unescape, uri_equal
from sbc.sip.wire import (
    Absorbed,
    AckReceived,
    Address,
    CancelReceived,
    Deliver,
    Effect,
    Hop,
    Packet,
    Refused,
    RequestReceived,
    ResponseReceived,
    SipEvent,
    TransactionFailed,
    TransactionId,
    TransactionTimedOut,
    Transmit,
)

__all__ = [
    "MAX_CSEQ",
    "REASONS",
    "Absorbed",
    "AckReceived",
    "Address",
    "CSeq",
    "CancelReceived",
    "Deliver",
    "Dialog",
    "Effect",
    "Headers",
    "Hop",
    "Limits",
    "LocalProtocolError",
    "NameAddress",
    "Packet",
    "RAck",
    "Reason",
    "Refused",
    "RemoteProtocolError",
    "Request",
    "RequestReceived",
    "Response",
    "ResponseReceived",
    "SipError",
    "SipEvent",
    "SipStack",
    "StreamFramer",
    "Timers",
    "Tokens",
    "TransactionFailed",
    "TransactionId",
    "TransactionTimedOut",
    "Transmit",
    "Uri",
    "Via",
    "canonical_host",
    "escape_user",
    "make_response",
    "parse",
    "parse_cseq",
    "parse_media_type",
    "parse_name_address",
    "parse_rack",
    "parse_reason",
    "parse_seconds",
    "parse_uri",
    "parse_via",
    "quote",
    "split_list",
    "unescape",
    "unquote",
    "uri_equal",
]
