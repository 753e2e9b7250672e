"""The call flows of RFC 3665 section 3, with this SBC in the place of the proxies: Alice is outside, Bob inside.

Registration (section 2) makes no call.
"""

from __future__ import annotations

from hashlib import md5

from tests.support.flows import ANSWERS, CALLS, CALLS_FIRST, HANGS_UP, HEARS_BYE, Flow, Outcome
from tests.support.lab import PUBLIC


def credentials(realm: str, nonce: str, uri: str, method: str = "INVITE") -> str:
    """The response to a challenge, of alice with the password secret (RFC 2617 section 3.2.2.1, without qop)."""
    secret, asked = (md5(text.encode()).hexdigest() for text in (f"alice:{realm}:secret", f"{method}:{uri}"))
    return md5(f"{secret}:{nonce}:{asked}".encode()).hexdigest()


def challenge(realm: str, nonce: str) -> str:
    return f'Proxy-Authenticate: Digest realm="{realm}", nonce="{nonce}", algorithm=MD5'


_BOB = f"sip:1001@{PUBLIC.edge}"
_SIPPS_URI = f"sip:{PUBLIC.edge}:5060"
"""What SIPp makes its digest of."""
_FIRST, _SECOND = (
    f'Digest username="alice", realm="{realm}", nonce="{nonce}", uri="{_BOB}", '
    f'response="{credentials(realm, nonce, _BOB)}", algorithm=MD5'
    for realm, nonce in (("atlanta", "n1"), ("biloxi", "n2"))
)

FLOWS = [
    Flow(
        "3.1", "Successful Session Establishment", "INVITE to BYE, media both ways; Bob hangs up",
        f"""
        alice calls bob
            {CALLS}
            speaks 0.4 s
            ! heard
            {HEARS_BYE}
        bob
            {ANSWERS}
            ? heard
            {HANGS_UP}
        """,
        {"alice": Outcome(200, "callee", "BYE", heard=True)},
    ),
    Flow(
        "3.2", "Session Establishment Through Two Proxies",
        "the challenge of Bob's proxy and Alice's credentials cross; each leg keeps the route set of its own proxies",
        f"""
        alice calls bob
            -> INVITE sdp
            <- 100 maybe
            <- 407 | Proxy-Authenticate: realm="biloxi", nonce="ea9c8e88df84f1cec4341ae6cbe5a359"
            -> ACK
            -> INVITE sdp auth | Record-Route: <sip:%alice%;lr;proxy=atlanta>
            <- 100 maybe
            <- 180
            <- 200 sdp | Record-Route: ^ *<sip:%alice%;lr;proxy=atlanta>$
            -> ACK
            ! up
            <- BYE | Route: %alice%;lr;proxy=atlanta
            -> 200 BYE
        bob
            <- INVITE sdp
            -> 407 | {challenge("biloxi", "ea9c8e88df84f1cec4341ae6cbe5a359")}
            <- ACK
        or: {credentials("biloxi", "ea9c8e88df84f1cec4341ae6cbe5a359", _SIPPS_URI)}
            <- INVITE
            -> 180 | Record-Route: <sip:%bob%;lr;proxy=biloxi>
            -> 200 sdp | Record-Route: <sip:%bob%;lr;proxy=biloxi>
            <- ACK | Route: %bob%;lr;proxy=biloxi
            ? up
            {HANGS_UP}
        """,
        {},
    ),
    Flow(
        "3.3", "Session with Multiple Proxy Authentication",
        "the challenges of two proxies in a row cross, and then the credentials for both",
        f"""
        alice calls bob
            -> INVITE sdp
            <- 100 maybe
            <- 407 | Proxy-Authenticate: realm="atlanta", nonce="n1"
            -> ACK
            -> INVITE sdp | Proxy-Authorization: {_FIRST}
            <- 100 maybe
            <- 407 | Proxy-Authenticate: realm="biloxi", nonce="n2"
            -> ACK
            -> INVITE sdp | Proxy-Authorization: {_FIRST} | Proxy-Authorization: {_SECOND}
            <- 100 maybe
            <- 180
            <- 200 sdp
            -> ACK
            {HANGS_UP}
        bob
            <- INVITE sdp
            -> 407 | {challenge("atlanta", "n1")}
            <- ACK
        or: Proxy-Authorization: {_FIRST}
            <- INVITE
            -> 407 | {challenge("biloxi", "n2")}
            <- ACK
        or: Proxy-Authorization: {_SECOND}
            {ANSWERS}
            {HEARS_BYE}
        """,
    ),
    Flow(
        "3.4", "Successful Session with Proxy Failure",
        "a target that does not answer is passed over for the next, which challenges, also when the INVITE comes again",
        f"""
        alice calls 2001
            -> INVITE sdp
            <- 100 maybe
            <- 407
            -> ACK
            -> INVITE sdp auth
            <- 100 maybe
            <- 180
            <- 200 sdp
            -> ACK
            {HEARS_BYE}
        bob
            <- INVITE sdp
            -> 407 | {challenge("biloxi", "n4")}
            <- ACK
        or: {credentials("biloxi", "n4", _SIPPS_URI)}
            {ANSWERS}
            {HANGS_UP}
        """,
    ),
    Flow(
        "3.5", "Session Through a SIP ALG",
        "the SBC is the ALG: to each side all addresses are its own there, those of the media included",
        f"""
        alice calls bob
            -> INVITE sdp
            <- 100 maybe
            <- 180
            <- 200 sdp at@%outside% | Contact: <sip:%outside%
            -> ACK
            speaks 0.4 s
            {HANGS_UP}
        bob
            <- INVITE sdp at@%inside% | Contact: <sip:%inside% | Via: SIP/2.0/UDP %inside%
            -> 180
            -> 200 sdp
            <- ACK
            {HEARS_BYE}
        """,
        {"alice": Outcome(heard=True)},
    ),
    Flow(
        "3.6", "Session via Redirect and Proxy Servers with SDP in ACK",
        'followed for Alice (`redirect = "follow"`); the offer is in the 200, the answer in the ACK',
        f"""
        alice calls bob
            -> INVITE
            <- 100 maybe
            <- 180
            <- 200 sdp
            -> ACK sdp
            {HEARS_BYE}
        bob
            <- INVITE
            -> 302 | Contact: <sip:1003@%colleague%>
            <- ACK
        colleague
            <- INVITE
            -> 180
            -> 200 sdp
            <- ACK sdp
            {HANGS_UP}
        """,
        {"alice": Outcome(200, "callee", attempts=2, trail=("redirect: followed to sip:1003@10.201.173.87",))},
    ),
    Flow(
        "3.6", "Session via Redirect and Proxy Servers with SDP in ACK",
        'passed on to Alice (`redirect = "pass"`), with a Contact at the SBC that she calls',
        f"""
        alice calls server
            -> INVITE
            <- 100 maybe
            <- 302 | Contact: <sip:1003@%outside%>
            -> ACK
            ! moved
        alice2 calls colleague
            ? moved
            -> INVITE
            <- 100 maybe
            <- 180
            <- 200 sdp
            -> ACK sdp
            {HEARS_BYE}
        server
            <- INVITE
            -> 302 | Contact: <sip:1003@%colleague%>
            <- ACK
        colleague
            <- INVITE
            -> 180
            -> 200 sdp
            <- ACK sdp
            {HANGS_UP}
        """,
        {"alice": Outcome(302, "callee"), "alice2": Outcome(200, "callee")},
        "passed",
    ),
    Flow(
        "3.7", "Session with re-INVITE (IP Address Change)",
        "Bob's new address is known on his leg only: media go there, and so does the BYE",
        f"""
        alice calls bob
            {CALLS_FIRST}
            <- INVITE sdp at@%outside% | Contact: <sip:%outside%
            -> 200 sdp
            <- ACK
            ! moved
            speaks 0.4 s
            {HANGS_UP}
        bob
            {ANSWERS}
            ? up
            -> INVITE sdp@%colleague% | Contact: <sip:callee@%colleague%>
            <- 100 maybe
            <- 200 sdp
            -> ACK
        colleague
            {HEARS_BYE}
        """,
        {"alice": Outcome(heard=True)},
    ),
    Flow(
        "3.8", "Unsuccessful No Answer", "the CANCEL of Alice cancels the INVITE to Bob",
        """
        alice calls bob
            -> INVITE sdp
            <- 100 maybe
            <- 180
            -> CANCEL
            <- 200 CANCEL
            <- 487
            -> ACK
        bob
            <- INVITE sdp
            -> 180
            <- CANCEL
            -> 200 CANCEL
            -> 487
            <- ACK
        """,
        {"alice": Outcome(487, "caller")},
    ),
    Flow(
        "3.9", "Unsuccessful Busy", "the refusal crosses, with its Reason",
        """
        alice calls bob
            -> INVITE sdp
            <- 100 maybe
            <- 486 | Reason: Q.850;cause=17
            -> ACK
        bob
            <- INVITE sdp
            -> 486 | Reason: Q.850;cause=17
            <- ACK
        """,
        {"alice": Outcome(486, "callee")},
    ),
    Flow(
        "3.10", "Unsuccessful No Response from User Agent", "408 when Bob has said nothing for as long as he may ring",
        """
        alice calls 2002
            -> INVITE sdp
            <- 100 maybe
            <- 408
            -> ACK
            ! over
        bob2
            <- INVITE sdp
            ? over
        """,
        {"alice": Outcome(408, "sbc")},
    ),
    Flow(
        "3.11", "Unsuccessful Temporarily Unavailable", "the refusal crosses, also after it rang",
        """
        alice calls bob
            -> INVITE sdp
            <- 100 maybe
            <- 180
            <- 480 | Retry-After: 60
            -> ACK
        bob
            <- INVITE sdp
            -> 180
            -> 480 | Retry-After: 60
            <- ACK
        """,
        {"alice": Outcome(480, "callee")},
    ),
]  # fmt: skip
