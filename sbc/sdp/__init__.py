"""Session descriptions (RFC 8866) and the offer/answer model (RFC 3264), without any I/O."""

from sbc.sdp.description import MediaDescription, SdpError, SdpLimits, SessionDescription, parse_sdp, split_lines
from sbc.sdp.offer_answer import TABLE, Move, Negotiation, OfferAnswerError, advance

__all__ = [
    "TABLE",
    "MediaDescription",
    "Move",
    "Negotiation",
    "OfferAnswerError",
    "SdpError",
    "SdpLimits",
    "SessionDescription",
    "advance",
    "parse_sdp",
    "split_lines",
]
