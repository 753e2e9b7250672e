"""A new INVITE: admitted, answered with 100, routed; or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import PASS, CallOpened, CallView, Drop, LegView, MessageSeen, Reject, RouteVerdict, Targets
from sbc.sip import Request, Response
from tests.support.ladder import ANSWERED, HUNG_UP, Ladder
from tests.support.world import CALLER


def test_the_first_call(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp | Subject: lunch
        caller <- 100 | -Contact
        callee <- INVITE sip:1001@10.0.0.5 sdp | Max-Forwards: 69 | Subject: lunch
            | Call-ID: $b | Contact: <sip:10.0.0.1:5060>
        callee -> 180
        caller <- 180 | To: *;tag=$a | Contact: <sip:192.0.2.1:5060>
        callee -> 200 sdp
        callee <- ACK sip:callee@10.0.0.5:5060 | Call-ID: $b | CSeq: 1 ACK
        caller <- 200 sdp | To: *;tag=$a | Contact: <sip:192.0.2.1:5060> | -Server
        caller -> ACK
    """)
    ladder.play(HUNG_UP)
    record = ladder.record
    assert (record.status, record.ended_by, record.cause) == (200, "caller", "BYE")
    assert (record.attempts, record.ringing, record.answered) == (1, record.started, record.started)
    assert record.a is not None
    assert record.b is not None
    assert (record.a.zone, record.a.peer, record.a.remote) == ("public", "", "198.51.100.7:5070/UDP")
    assert (record.a.from_uri, record.a.request_uri) == ("sip:caller@198.51.100.7", "sip:1001@192.0.2.1")
    assert (record.a.user_agent, record.b.user_agent) == ("Phone/1.0", "SecretPBX/2.0")
    assert (record.b.zone, record.b.peer, record.b.remote, record.b.status) == (
        "private",
        "pbx",
        "10.0.0.5:5060/UDP",
        200,
    )
    assert record.b.call_id == ladder["b"]
    assert [stream.kind for stream in record.streams] == ["audio"]
    assert ladder.trail == [
        "route routing: to pbx (pbx is the only peer outside public)",
        "call call: ended (by caller: BYE)",
    ]


def test_the_record_begins_before_anything_else_is_said_of_a_call_and_has_every_message(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    ladder.play(HUNG_UP)
    said = [command for command in ladder.edge.commands if isinstance(command, CallOpened | MessageSeen)]
    assert isinstance(said[0], CallOpened)
    assert said[0].record.cause == ""
    assert [command.packet.data.split(b"\r\n")[0] for command in said[1:] if isinstance(command, MessageSeen)] == [
        b"INVITE sip:1001@192.0.2.1 SIP/2.0",
        b"SIP/2.0 200 Whatever SecretPBX says",
        b"ACK sip:192.0.2.1:5060 SIP/2.0",
        b"BYE sip:192.0.2.1:5060 SIP/2.0",
        b"SIP/2.0 200 Whatever SecretPBX says",
    ]


REFUSED = [
    ("INVITE sdp | Max-Forwards: 0", "483", "Max-Forwards is 0"),
    ("INVITE sdp | Require: x-new, y-new", "420 | Unsupported: x-new, y-new", "requires x-new, y-new"),
    ("INVITE sdp | Proxy-Require: x-new", "420 | Unsupported: x-new", "requires x-new"),
    ("INVITE closed", "415 | Accept: application/sdp, multipart/mixed*", "body of type application/pkcs7-mime"),
    ("INVITE sdp | Content-Encoding: gzip", "415 | Accept-Encoding: identity", "encoded body"),
    ("INVITE im:bob@192.0.2.1 sdp", "416", "scheme im"),
    ("INVITE sips:bob@192.0.2.1 sdp", "416", "scheme sips"),
    ("INVITE rubbish", "400", ""),
]


@pytest.mark.parametrize(("invite", "answer", "reason"), REFUSED, ids=[answer[:3] for _, answer, _ in REFUSED])
def test_what_nobody_could_serve_is_refused(ladder: Ladder, invite: str, answer: str, reason: str) -> None:
    hundred = "caller <- 100" if "rubbish" in invite else ""
    ladder.play(f"""
        caller -> {invite}
        {hundred}
        caller <- {answer} | To: *;tag=*
        caller -> ACK
        0.1 s
    """)
    assert ladder.record.status == int(answer[:3])
    assert ladder.record.ended_by == "sbc"
    assert any(f"reject {answer[:3]}" in line and reason in line for line in ladder.trail)


def test_a_call_that_nothing_routes_is_not_found(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=())
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        caller <- 404
        caller -> ACK
    """)


def test_strangers_are_forbidden_where_a_zone_is_not_open(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(open=False)
    ladder.play("""
        caller -> INVITE sdp
        caller <- 403
        caller -> ACK
    """)


def test_when_there_are_calls_enough_others_are_asked_to_wait(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(max_calls=1)
    ladder.play(ANSWERED)
    ladder.party("second", CALLER._replace(port=5090), "sip:1001@192.0.2.1")
    ladder.play("""
        second -> INVITE sdp
        second <- 503 | Retry-After: 10
        second -> ACK
    """)
    ladder.play(HUNG_UP)
    ladder.play("""
        second -> INVITE sdp
        second <- 100
        callee <- INVITE sdp
        second -> CANCEL
        second <- 200 CANCEL
        second <- 487
        second -> ACK
    """)


class Deaf:
    """A chain that wants to hear nothing."""

    rewrites = False

    def admit(self, call: CallView) -> Drop:
        return Drop("deaf", "known scanner")

    def route(self, call: CallView) -> RouteVerdict:
        raise AssertionError("nobody routes what was dropped")

    def rewrite(self, message: Request | Response, leg: LegView, received: Request | Response | None) -> None: ...


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_what_is_dropped_gets_no_answer_and_leaves_nothing(new_ladder: Callable[..., Ladder], method: str) -> None:
    ladder = new_ladder(hooks=Deaf())
    ladder.play(f"""
        caller -> {method}
        0.5 s
        caller -> again
        40 s
    """)
    assert ladder.edge.stack.server_count == 0
    assert not [command for command in ladder.edge.commands if isinstance(command, CallOpened)]


class Refusing:
    rewrites = False

    def __init__(self, verdict: RouteVerdict) -> None:
        self.verdict = verdict

    def admit(self, call: CallView) -> object:
        return PASS

    def route(self, call: CallView) -> RouteVerdict:
        return self.verdict

    def rewrite(self, message: Request | Response, leg: LegView, received: Request | Response | None) -> None: ...


def test_a_policy_says_how_it_refuses(new_ladder: Callable[..., Ladder]) -> None:
    verdict = Reject("mine", 480, "for the record", "Come Back", (("Retry-After", "5"),))
    ladder = new_ladder(hooks=Refusing(verdict))
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        caller <- 480 | Retry-After: 5
        caller -> ACK
        0.1 s
    """)
    assert ladder.trail[0] == "route mine: reject 480 (for the record)"


def test_a_route_to_nowhere_is_503(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(hooks=Refusing(Targets("mine", (), "no target left")))
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        caller <- 503
        caller -> ACK
    """)


def test_a_repeated_invite_gets_what_it_got_before(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        caller -> again
        caller <- 100
        callee -> 180
        caller <- 180
        caller -> again
        caller <- 180
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """)


def test_a_call_without_max_forwards_gets_one(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp | -Max-Forwards
        caller <- 100
        callee <- INVITE sdp | Max-Forwards: 70
    """)


def test_an_invite_that_comes_back_to_us_is_a_loop(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | Via: $via
    """)
    via = ladder["via"]
    ladder.party("callee", ladder.parties["callee"].address, "sip:1001@10.0.0.5")
    ladder.play(f"""
        callee -> INVITE sdp | +Via: {via}
        callee <- 482
        callee -> ACK
    """)
