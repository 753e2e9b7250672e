"""The services of RFC 5359, between Alice and Carol outside and Bob, his colleague and the servers of his PBX inside.

What the elements inside say among themselves (a REFER to the music server, say) does not pass the SBC, and is left out:
here they are told by `!` and `?` what they would have been told so.
"""

from __future__ import annotations

from tests.scenarios.rfc3665 import challenge, credentials
from tests.support.flows import (
    ANSWERS,
    CALLS,
    CALLS_FIRST,
    HANGS_UP,
    HEARS_BYE,
    HOLDS,
    IS_HELD,
    IS_RESUMED,
    RESUMES,
    Flow,
    Outcome,
)
from tests.support.lab import PUBLIC

REPLACING = """
        <- 100 maybe
        <- 200 sdp
        -> ACK
"""
ABLE_CALLS = CALLS.replace("INVITE sdp", "INVITE sdp | Supported: replaces")
ABLE_CALLS_FIRST = CALLS_FIRST.replace("INVITE sdp", "INVITE sdp | Supported: replaces")
ABLE_ANSWERS = ANSWERS.replace("200 sdp", "200 sdp | Supported: replaces")
IS_CANCELLED = """
        <- INVITE sdp
        -> 180
        <- CANCEL | Reason: {reason}
        -> 200 CANCEL
        -> 487
        <- ACK
"""
SAYS_IT_WILL = """
        -> 202 REFER
        ! referred [$where]
        -> NOTIFY frag100 | Event: refer | Subscription-State: active;expires=60
        <- 200 NOTIFY
"""
HAS_DONE_IT = """
        -> NOTIFY frag200 | Event: refer | Subscription-State: terminated;reason=noresource
        <- 200 NOTIFY
"""
IS_OBEYED = """
        <- 202 REFER
        <- NOTIFY | Subscription-State: active
        -> 200 NOTIFY
        <- NOTIFY | Subscription-State: terminated
        -> 200 NOTIFY
"""
"""What is said of a REFER (RFC 3515): by who got it, when it begins and when it has ended; and what comes of it."""
_TAKES_OVER = "it takes the place of a call of ours (Replaces)"


def handed_to(server: str, subject: str, retriever: str, hold: str, held: str) -> str:
    """Alice's call goes to `server` while she waits, then to `retriever`; each by INVITE with Replaces."""
    return f"""
        alice calls bob
            {ABLE_CALLS_FIRST}
            {held}
            ? taken
            {HANGS_UP}
            ? over
        alice again
            <- INVITE sdp | Replaces: . | Require: replaces
            -> 200 sdp recvonly | Supported: replaces
            <- ACK
            ! taken
            ? back
            {HANGS_UP}
        or: Subject: {subject}
            <- INVITE
            -> 200 sdp
            <- ACK
            ! back
            {HEARS_BYE}
            ! over
        bob
            {ABLE_ANSWERS}
            ? up
            {hold}
            ! away dialog
            {HEARS_BYE}
        {server} calls [$away.uri]
            ? away
            -> INVITE sdp sendonly | Replaces: [$away.replaces] | Require: replaces
            <- 100 maybe
            <- 200 sdp recvonly
            -> ACK
            ! waits dialog
            {HEARS_BYE}
        {retriever} calls [$waits.uri]
            ? waits
            -> INVITE sdp | Replaces: [$waits.replaces] | Require: replaces | Subject: {subject}
            {REPLACING}
            speaks 0.4 s
            {HANGS_UP}
        """


def screened(caller: str, callee: str, uri: str) -> str:
    """The callee's proxy wants to know who calls, and then does not let the call pass."""
    known = f'username="alice", realm="screening", nonce="n5", uri="{uri}"'
    known += f', response="{credentials("screening", "n5", uri)}"'
    return f"""
        {caller} calls {callee}
            -> INVITE sdp
            <- 100 maybe
            <- 407
            -> ACK
            -> INVITE sdp | Proxy-Authorization: Digest {known}
            <- 100 maybe
            <- 403
            -> ACK
            ! refused
        {callee}
            <- INVITE
            -> 407 | {challenge("screening", "n5")}
            <- ACK
        or: Proxy-Authorization: Digest {known}
            <- INVITE
            -> 403
            <- ACK
        """


FLOWS = [
    Flow(
        "2.1", "Call Hold", "re-INVITEs with `sendonly`, and back, cross; media as before after that",
        f"""
        alice calls bob
            {CALLS_FIRST}
            {IS_HELD}
            {IS_RESUMED}
            speaks 0.4 s
            {HANGS_UP}
        bob
            {ANSWERS}
            ? up
            {HOLDS}
            {RESUMES}
            {HEARS_BYE}
        """,
        {"alice": Outcome(heard=True)},
    ),
    Flow(
        "2.2", "Consultation Hold", "two calls, each with its own media; the first one waits for the second",
        f"""
        alice calls bob
            {CALLS_FIRST}
            {IS_HELD}
            {IS_RESUMED}
            speaks 0.4 s
            {HANGS_UP}
        bob
            {ANSWERS}
            ? up
            {HOLDS}
            ! held
            ? consulted
            {RESUMES}
            {HEARS_BYE}
        bob2 calls carol
            ? held
            {CALLS}
            speaks 0.4 s
            {HANGS_UP}
            ! consulted
        carol
            {ANSWERS}
            {HEARS_BYE}
        """,
        {"alice": Outcome(heard=True), "bob2": Outcome(heard=True)},
    ),
    Flow(
        "2.3", "Music on Hold",
        "the Replaces of the music server, and of Bob when he returns, name Alice's dialogs as she knows them",
        handed_to("server", "resume", "bob2", HOLDS, IS_HELD),
        {
            "alice": Outcome(), "server": Outcome(200, "callee", trail=(_TAKES_OVER,)),
            "bob2": Outcome(heard=True, trail=(_TAKES_OVER,)),
        },
    ),
    Flow(
        "2.4", "Transfer - Unattended",
        "the REFER passes to Alice, whose phone can do it; Refer-To names the colleague at the SBC",
        f"""
        alice calls bob
            {CALLS_FIRST}
            <- REFER | Refer-To: <([^>]*)> as where | Referred-By: <sip:bob@%outside%>
            {SAYS_IT_WILL}
            ? transferred
            {HAS_DONE_IT}
            {HEARS_BYE}
        bob
            {ANSWERS}
            ? up
            -> REFER | Refer-To: <sip:1003@%colleague%> | Referred-By: <sip:bob@%bob%>
            {IS_OBEYED}
            {HANGS_UP}
        alice2 calls [$referred.uri]
            ? referred
            {CALLS}
            ! transferred
            speaks 0.4 s
            {HANGS_UP}
        colleague
            {ANSWERS}
            {HEARS_BYE}
        """,
        {"alice": Outcome(200, "callee", trail=("REFER passed on",)), "alice2": Outcome(heard=True)},
    ),
    Flow(
        "2.5", "Transfer - Attended",
        "Refer-To names the dialog that Carol knows: Alice takes it over, and Bob's two calls end",
        f"""
        alice calls bob
            {ABLE_CALLS_FIRST}
            {IS_HELD}
            <- REFER | Refer-To: <([^>]*)> as where
            {SAYS_IT_WILL}
            ? replaced
            {HAS_DONE_IT}
            {HEARS_BYE}
        bob
            {ABLE_ANSWERS}
            ? up
            {HOLDS}
            ! held
            ? consulted
            -> REFER | Refer-To: <[$consulted_refer]>
            {IS_OBEYED}
            {HANGS_UP}
        bob2 calls carol
            ? held
            {ABLE_CALLS}
            {HOLDS}
            ! consulted dialog
            {HEARS_BYE}
        carol
            {ABLE_ANSWERS}
            {IS_HELD}
            ? replaced
            {HANGS_UP}
        or: Replaces:
            <- INVITE
            -> 200 sdp
            <- ACK
            ! replaced
            {HEARS_BYE}
        alice2 calls [$referred.uri]
            ? referred
            -> INVITE sdp | Replaces: [$referred.replaces] | Require: replaces
            {REPLACING}
            {HANGS_UP}
        """,
        {"alice": Outcome(200, "callee", trail=("REFER passed on",)), "bob2": Outcome(200, "callee")},
    ),
    Flow(
        "2.6", "Transfer - Instant Messaging",
        "the Replaces of the colleague names Alice's dialog as she knows it",
        f"""
        alice calls bob
            {ABLE_CALLS_FIRST}
            ? taken
            {HANGS_UP}
            ? over
        alice again
            <- INVITE sdp | Replaces: 1-[0-9]*@%alice%;
            -> 200 sdp
            <- ACK
            ! taken
            {HEARS_BYE}
            ! over
        bob
            {ABLE_ANSWERS}
            ? up
            ! told dialog
            {HEARS_BYE}
        colleague calls [$told.uri]
            ? told
            -> INVITE sdp | Replaces: [$told.replaces] | Require: replaces
            {REPLACING}
            speaks 0.4 s
            {HANGS_UP}
        """,
        {"alice": Outcome(), "colleague": Outcome(heard=True, trail=(_TAKES_OVER,))},
    ),
    Flow(
        "2.7", "Call Forwarding Unconditional",
        "the PBX calls on to a gateway outside: 181 crosses, and Diversion without the names of the PBX",
        f"""
        alice calls bob
            -> INVITE sdp
            <- 100 maybe
            <- 181
            <- 180
            <- 200 sdp
            -> ACK
            {HANGS_UP}
        bob
            <- INVITE sdp
            -> 181
            ! forward
            ? rings
            -> 180
            ? answered
            -> 200 sdp
            <- ACK
            {HEARS_BYE}
            ! over
        bob2 calls sip:+19727293660@%gateway%;user=phone
            ? forward
            -> INVITE sdp | Diversion: <sip:1001@%bob%>;reason=unconditional
            <- 100 maybe
            <- 180
            ! rings
            <- 200 sdp
            -> ACK
            ! answered
            ? over
            {HANGS_UP}
        gateway
            <- INVITE sdp | Diversion: <sip:1001@%outside%>;reason=unconditional
            -> 180
            -> 200 sdp
            <- ACK
            {HEARS_BYE}
        """,
        {"alice": Outcome(), "bob2": Outcome()},
    ),
    Flow(
        "2.8", "Call Forwarding - Busy", "the next target of the route, with 486 among `calls.failover_statuses`",
        f"""
        alice calls 2003
            {CALLS}
            {HANGS_UP}
        bob
            <- INVITE sdp
            -> 486
            <- ACK
        colleague
            {ANSWERS}
            {HEARS_BYE}
        """,
        {"alice": Outcome(attempts=2, trail=("answered 486",))},
    ),
    Flow(
        "2.9", "Call Forwarding - No Answer",
        "the next target of the route after the `ring` of the first, which gets a CANCEL",
        f"""
        alice calls 2004
            {CALLS.replace("<- 180", "<- 180" + chr(10) + "<- 180 maybe")}
            {HANGS_UP}
        bob
            {IS_CANCELLED.format(reason='SIP *;cause=408;text="No answer"')}
        colleague
            {ANSWERS}
            {HEARS_BYE}
        """,
        {"alice": Outcome(attempts=2, trail=("no answer in its time",))},
    ),
    Flow(
        "2.10", "3-Way Conference - Third Party Is Added",
        "Bob mixes: two calls, whose media go to his mixer; that he is the focus (`isfocus`) is not told across",
        f"""
        alice calls bob
            {CALLS_FIRST}
            <- INVITE sdp
            -> 200 sdp
            <- ACK
            ! mixed
            ? added
            speaks 0.4 s
            {HANGS_UP}
            ! gone
        bob
            {ANSWERS}
            ? up
            -> INVITE sdp@%colleague% | Contact: <sip:mixer@%colleague%>;isfocus
            <- 100 maybe
            <- 200 sdp
            -> ACK
        bob2 calls carol
            ? mixed
            {CALLS.replace("INVITE sdp", "INVITE sdp | Contact: <sip:mixer@%bob%:5080>;isfocus")}
            ! added
            speaks 0.4 s
            ? gone
            {HANGS_UP}
        carol
            <- INVITE sdp | Contact: ^ *<sip:%outside%:5060>$
            -> 180
            -> 200 sdp
            <- ACK
            {HEARS_BYE}
        colleague
            {HEARS_BYE}
        """,
        {"alice": Outcome(heard=True), "bob2": Outcome(heard=True)},
    ),
    Flow(
        "2.11", "3-Way Conference - Third Party Joins",
        "Join does not cross: Carol's call is one of its own, which Bob mixes with Alice's",
        f"""
        alice calls bob
            {CALLS}
            ! talking
            ? joined
            speaks 0.4 s
            {HANGS_UP}
            ! gone
        carol calls bob
            ? talking
            {CALLS.replace("INVITE sdp", "INVITE sdp | Subject: join | Join: [$talking.replaces] | Supported: join")}
            ! joined
            speaks 0.4 s
            ? gone
            {HANGS_UP}
        bob
            {ANSWERS}
            {HEARS_BYE}
        or: Subject: join
            {ANSWERS}
            {HEARS_BYE}
        """.replace("! talking", "! talking dialog"),
        {"alice": Outcome(heard=True), "carol": Outcome(heard=True)},
    ),
    Flow(
        "2.12", "Find-Me", "the targets of a route one after the other, each with its `ring`, until one answers",
        f"""
        alice calls 2005
            {CALLS.replace("<- 180", "<- 180" + chr(10) + "<- 180 maybe")}
            {HEARS_BYE}
        bob
            {IS_CANCELLED.format(reason="SIP *;cause=408")}
        server
            <- INVITE sdp
            -> 480
            <- ACK
        colleague
            <- INVITE sdp
            -> 486
            <- ACK
        colleague1
            {ANSWERS}
            {HANGS_UP}
        """,
        {"alice": Outcome(200, "callee", attempts=4, trail=("no answer in its time", "answered 480", "answered 486"))},
    ),
    Flow(
        "2.13", "Call Management (Incoming Call Screening)",
        "challenge, credentials and refusal cross, then Alice calls the announcement; no 305: the SBC is the proxy",
        screened("alice", "bob", f"sip:1001@{PUBLIC.edge}") + f"""
        alice2 calls server
            ? refused
            {CALLS}
            {HEARS_BYE}
        server
            <- INVITE sdp
            -> 180
            -> 200 sdp sendonly
            <- ACK
            {HANGS_UP}
        """,
        {"alice2": Outcome(200, "callee")},
    ),
    Flow(
        "2.14", "Call Management (Outgoing Call Screening)",
        "the same the other way; credentials may name the address of the proxy outside, but none inside",
        screened("bob", "carol", f"sip:carol@{PUBLIC.others[0]}"),
    ),
    Flow(
        "2.15", "Call Park", "the Replaces of the park server, and of who retrieves the call, name Alice's dialogs",
        handed_to("server", "retrieve", "colleague", "", ""),
        {
            "alice": Outcome(), "server": Outcome(200, "callee", trail=(_TAKES_OVER,)),
            "colleague": Outcome(heard=True, trail=(_TAKES_OVER,)),
        },
    ),
    Flow(
        "2.16", "Call Pickup",
        "the Replaces of the colleague names the early dialog that Alice has; her CANCEL reaches Bob",
        f"""
        alice calls bob
            -> INVITE sdp | Supported: replaces
            <- 100 maybe
            <- 180
            ? picked
            -> CANCEL
            <- 200 CANCEL
            <- 487
            -> ACK
            ? over
        alice again
            <- INVITE sdp | Replaces: 1-[0-9]*@%alice%;
            -> 200 sdp
            <- ACK
            ! picked
            {HEARS_BYE}
            ! over
        bob
            <- INVITE sdp
            -> 180
            ! rings dialog
            <- CANCEL
            -> 200 CANCEL
            -> 487
            <- ACK
        colleague calls [$rings.uri]
            ? rings
            -> INVITE sdp | Replaces: [$rings.replaces] | Require: replaces
            {REPLACING}
            speaks 0.4 s
            {HANGS_UP}
        """,
        {"alice": Outcome(487), "colleague": Outcome(heard=True, trail=(_TAKES_OVER,))},
    ),
    Flow(
        "2.17", "Automatic Redial", "486 crosses, and the call when it is made again",
        f"""
        alice calls bob
            -> INVITE sdp
            <- 100 maybe
            <- 486
            -> ACK
            ! busy
        alice2 calls bob
            ? busy
            {CALLS.replace("INVITE sdp", "INVITE sdp | Subject: again")}
            {HANGS_UP}
        bob
            <- INVITE
            -> 486
            <- ACK
        or: Subject: again
            {ANSWERS}
            {HEARS_BYE}
        """,
        {"alice": Outcome(486, "callee"), "alice2": Outcome()},
    ),
    Flow(
        "2.18", "Click to Dial", "who told Bob's phone to call (Referred-By) crosses without the names of the PBX",
        f"""
        bob calls carol
            {CALLS.replace("INVITE sdp", "INVITE sdp | Referred-By: <sip:pc@%bob%>")}
            speaks 0.4 s
            {HANGS_UP}
        carol
            <- INVITE sdp | Referred-By: <sip:pc@%outside%>
            -> 180
            -> 200 sdp
            <- ACK
            {HEARS_BYE}
        """,
        {"bob": Outcome(heard=True)},
    ),
    Flow(
        "2.5", "Transfer - Attended",
        "where the phones know neither REFER nor Replaces the SBC joins Alice and Carol, and hangs up on Bob",
        f"""
        alice calls bob
            {CALLS.replace("INVITE sdp", "INVITE sdp | Allow: INVITE, ACK, BYE, CANCEL")}
            ! up
            ? joined
            speaks 0.4 s
            {HANGS_UP}
        bob
            {ANSWERS}
            ? up
            ! asks
            ? consulted
            -> REFER | Refer-To: <[$consulted_refer]>
            {IS_OBEYED}
            {HANGS_UP}
        bob2 calls carol
            ? asks
            {CALLS}
            ! consulted dialog
            <- BYE | Reason: Transferred
            -> 200 BYE
            ! joined
        carol
            {ANSWERS.replace("200 sdp", "200 sdp | Allow: INVITE, ACK, BYE, CANCEL")}
            {HEARS_BYE}
        """,
        {"alice": Outcome(with_="carol", heard=True)},
        "done here",
    ),
]  # fmt: skip
