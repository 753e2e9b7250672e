from __future__ import annotations

from tests.support.ladder import Ladder

ANSWERED = """
    caller -> INVITE sdp
    caller <- 100
    callee <- INVITE sdp
    callee -> 200 sdp
    callee <- ACK
    caller <- 200 sdp
    caller -> ACK
"""


def test_first(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    ladder.play("""
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE | Call-ID: $id
        callee -> 200 BYE
        1 s
    """)
    assert ladder.record.cause == "BYE"
