"""Calls that SIPp places and takes, as scripts (`tests.support.script`), for scenarios and for the soak."""

from __future__ import annotations

ENDS = """
    -> ACK
    0.2 s
    -> BYE
    <- 200 BYE
"""
IS_ENDED = """
    <- ACK
    <- BYE
    -> 200 BYE
"""
CALL = f"""
    -> INVITE sdp
    <- 100 maybe
    <- 180 maybe
    <- 200 sdp
    {ENDS}
"""
ANSWER = f"""
    <- INVITE
    -> 180
    -> 200 sdp
    {IS_ENDED}
"""
BUSY = """
    <- INVITE
    -> 486
    <- ACK
"""
RINGS_AND_IS_CANCELLED = """
    <- INVITE
    -> 180
    <- CANCEL
    -> 200 CANCEL
    -> 487
    <- ACK
"""

# Answers in reliable provisional responses (RFC 3262).
RELIABLE = rf"""
    -> INVITE sdp | Supported: 100rel
    <- 100 maybe
    <- 183 sdp | Require: 100rel | RSeq: ([0-9]+) as rseq
    -> PRACK | RAck: [$rseq] 1 INVITE
    <- 200 PRACK
    <- 200
    {ENDS}
"""
RELIABLE_ANSWER = f"""
    <- INVITE sdp | Supported: 100rel
    -> 183 sdp | Require: 100rel | RSeq: 17
    <- PRACK | RAck: 17 1 INVITE
    -> 200 PRACK
    0.2 s
    -> 200
    {IS_ENDED}
"""

UPDATED = CALL.replace("0.2 s", "0.1 s\n    -> UPDATE sdp\n    <- 200 UPDATE sdp\n    0.1 s")
AS_RE_INVITE = ANSWER.replace("200 sdp", "200 sdp | Allow: INVITE, ACK, BYE, CANCEL").replace(
    "<- ACK", "<- ACK\n    <- INVITE sdp\n    -> 200 sdp\n    <- ACK"
)
"""It allows no UPDATE."""

# Session timers (RFC 4028) that the SBC serves: the callee's by UPDATE, the caller's, who allows none, by re-INVITE.
TIMED = """
    -> INVITE sdp | Supported: timer | Session-Expires: 4;refresher=uas | Allow: INVITE, ACK, BYE, CANCEL
    <- 100 maybe
    <- 180
    <- 200 sdp | Session-Expires: 4;refresher=uas
    -> ACK
    <- INVITE sdp | Session-Expires: 4;refresher=uac
    -> 200 sdp | Supported: timer | Session-Expires: 4;refresher=uac
    <- ACK
    0.2 s
    -> BYE
    <- 200 BYE
"""
TIMED_ANSWER = """
    <- INVITE | Session-Expires: 6
    -> 180
    -> 200 sdp | Require: timer | Session-Expires: 3;refresher=uac
    <- ACK
    <- UPDATE | Session-Expires: 3;refresher=uac
    -> 200 UPDATE | Require: timer | Session-Expires: 30;refresher=uac
    <- BYE
    -> 200 BYE
"""
