"""Beginnings of calls with reliable provisional responses, as ladders."""

from __future__ import annotations

SPEAKS = "Supported: 100rel"
ALLOWS = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK"
INVITED = f"""
    caller -> INVITE sdp | {SPEAKS} | {ALLOWS}
    caller <- 100
    callee <- INVITE sdp | Supported: 100rel
"""
PROGRESS = """
    callee -> 183 sdp rel
    caller <- 183 sdp rel
    caller -> PRACK
    callee <- PRACK | RAck: 501 1 INVITE
    callee -> 200 PRACK
    caller <- 200 PRACK | -Session-Expires | -Contact
"""
ANSWERED = """
    callee -> 200
    callee <- ACK
    caller <- 200
    caller -> ACK
"""
"""After an answer that was reliable the 2xx need not repeat it (RFC 3262 section 5)."""
DELAYED = f"""
    caller -> INVITE | {SPEAKS} | {ALLOWS}
    caller <- 100
    callee <- INVITE | Supported: 100rel
    callee -> 183 sdp rel
    caller <- 183 sdp rel
"""


def one_codec(number: int, name: str) -> tuple[str, bytes]:
    """A session description with nothing else in it, as one of `Ladder.bodies`."""
    return (
        "application/sdp",
        b"v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP %d\r\na=rtpmap:%d %s/8000\r\n" % (number, number, name.encode()),
    )
