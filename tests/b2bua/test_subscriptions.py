"""Subscriptions: two dialogs with one life."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Peer, Settings
from tests.support.ladder import Ladder
from tests.support.world import PBX, PBX2

NewLadder = Callable[..., Ladder]

ASKED = """
    caller -> SUBSCRIBE | Event: dialog | Expires: 600 | Accept: application/dialog-info+xml
    callee <- SUBSCRIBE sip:1001@10.0.0.5 | Event: dialog | Expires: 600 | Accept: application/dialog-info+xml
           | Max-Forwards: 69 | Contact: <sip:10.0.0.1:5060> | Call-ID: $inside | From: *;tag=$ours | CSeq: 1 SUBSCRIBE
"""
ACCEPTED = """
    callee -> 200 SUBSCRIBE | Expires: 300
    caller <- 200 SUBSCRIBE | Expires: 300 | Contact: <sip:192.0.2.1:5060> | To: *;tag=$told
"""
NOTIFIED = """
    callee -> NOTIFY text | Event: dialog | Subscription-State: active;expires=300
    caller <- NOTIFY text | Event: dialog | Subscription-State: active;expires=300 | From: *;tag=$told
           | Contact: <sip:192.0.2.1:5060> | Max-Forwards: 69
    caller -> 200 NOTIFY
    callee <- 200 NOTIFY
"""
ACTIVE = ASKED + ACCEPTED + NOTIFIED
ENDED = """
    callee -> NOTIFY | Event: dialog | Subscription-State: terminated;reason=timeout
    caller <- NOTIFY | Event: dialog | Subscription-State: terminated;reason=timeout
    caller -> 200 NOTIFY
    callee <- 200 NOTIFY
"""
OVER = """
    caller -> SUBSCRIBE | Event: dialog
    caller <- 481 SUBSCRIBE
    callee -> NOTIFY | Event: dialog | Subscription-State: active
    callee <- 481 NOTIFY
"""


def subscriptions(ladder: Ladder) -> int:
    return ladder.edge.b2bua.table_sizes()["subscriptions"]


def test_a_subscription_from_beginning_to_end(ladder: Ladder) -> None:
    ladder.play(ACTIVE, NOTIFIED)
    assert subscriptions(ladder) == 1
    ladder.play(
        """
        caller -> SUBSCRIBE | Event: dialog | Expires: 600
        callee <- SUBSCRIBE sip:callee@10.0.0.5:5060 | Event: dialog | Expires: 600 | Call-ID: $inside
               | CSeq: 2 SUBSCRIBE
        callee -> 200 SUBSCRIBE | Expires: 200
        caller <- 200 SUBSCRIBE | Expires: 200
        caller -> SUBSCRIBE | Event: dialog | Expires: 0
        callee <- SUBSCRIBE | Event: dialog | Expires: 0 | CSeq: 3 SUBSCRIBE
        callee -> 200 SUBSCRIBE | Expires: 0
        caller <- 200 SUBSCRIBE | Expires: 0
    """,
        ENDED,
    )
    assert not any(ladder.edge.b2bua.table_sizes()[name] for name in ("subscriptions", "subscriptions' dialogs"))
    ladder.play(OVER)


def test_of_the_pbx_outwards(ladder: Ladder) -> None:
    """A PBX that watches its trunk, or the presence of a phone outside."""
    ladder.play(
        """
        callee -> SUBSCRIBE sip:phone@198.51.100.7:5070 | Event: presence;id=7
        caller <- SUBSCRIBE sip:phone@198.51.100.7:5070 | Event: presence;id=7
               | From: "Callee" <sip:callee@192.0.2.1>;tag=*
        caller -> 200 SUBSCRIBE
        callee <- 200 SUBSCRIBE | Expires: 3600
        caller -> NOTIFY text | Event: presence;id=7 | Subscription-State: pending
        callee <- NOTIFY text | Event: presence;id=7 | Subscription-State: pending | Contact: <sip:10.0.0.1:5060>
        callee -> 200 NOTIFY
        caller <- 200 NOTIFY
        caller -> NOTIFY | Event: presence;id=7 | Subscription-State: terminated;reason=rejected
        callee <- NOTIFY | Event: presence;id=7 | Subscription-State: terminated;reason=rejected
        callee -> 200 NOTIFY
        caller <- 200 NOTIFY
    """
    )


@pytest.mark.parametrize(
    "package", ["presence", "message-summary", "reg", "conference", "call-completion", "vq-rtcpxr", "as-feature-event"]
)
def test_what_the_event_package_is_nobody_here_needs_to_know(ladder: Ladder, package: str) -> None:
    ladder.play(
        f"""
        caller -> SUBSCRIBE text | Event: {package}
        callee <- SUBSCRIBE text | Event: {package}
        callee -> 489 SUBSCRIBE | Allow-Events: dialog
        caller <- 489 SUBSCRIBE | Allow-Events: dialog
    """
    )
    assert subscriptions(ladder) == 0


def first_notify(ladder: Ladder) -> None:
    """The notifier's dialog is there before it has answered."""
    callee = ladder.parties["callee"]
    subscribe = callee.requests["SUBSCRIBE"]
    callee.identity = (
        subscribe.call_id,
        f"{subscribe.headers.get('To')};tag=callee-own-tag",
        subscribe.headers.get("From") or "",
    )


def test_a_notify_may_come_before_the_2xx(ladder: Ladder) -> None:
    ladder.play(ASKED)
    first_notify(ladder)
    ladder.play(NOTIFIED, ACCEPTED, NOTIFIED, ENDED)


def test_a_fetch(ladder: Ladder) -> None:
    """RFC 6665 section 4.4.3: Expires 0 at once."""
    ladder.play(ASKED.replace("600", "0"), ACCEPTED.replace("300", "0"), ENDED)
    assert subscriptions(ladder) == 0


def test_a_fetch_that_is_told_all_before_the_2xx(ladder: Ladder) -> None:
    ladder.play(ASKED.replace("600", "0"))
    first_notify(ladder)
    ladder.play(ENDED, ACCEPTED.replace("300", "0"))
    assert subscriptions(ladder) == 0


def test_of_two_forks_the_first_to_notify_has_it(ladder: Ladder) -> None:
    ladder.play(ASKED, ACCEPTED, NOTIFIED)
    identity = ladder.parties["callee"].identity
    assert identity is not None
    ladder.parties["callee"].identity = identity[0], identity[1].replace("own-tag", "fork"), identity[2]
    ladder.play("callee -> NOTIFY | Event: dialog | Subscription-State: active", "callee <- 481 NOTIFY")
    ladder.parties["callee"].identity = identity
    ladder.play(NOTIFIED)


def test_a_2xx_of_another_fork_than_the_one_that_notified_changes_nothing(ladder: Ladder) -> None:
    ladder.play(ASKED)
    first_notify(ladder)
    identity = ladder.parties["callee"].identity
    ladder.play(NOTIFIED, "callee -> 200 SUBSCRIBE tag=fork | Expires: 300", "caller <- 200 SUBSCRIBE")
    ladder.parties["callee"].identity = identity
    ladder.play(NOTIFIED)


@pytest.mark.parametrize("status", [403, 481, 489, 500, 603])
def test_who_is_refused_has_none(ladder: Ladder, status: int) -> None:
    ladder.play(ASKED, f"callee -> {status} SUBSCRIBE", f"caller <- {status} SUBSCRIBE | -Contact")
    assert subscriptions(ladder) == 0


def test_too_brief(ladder: Ladder) -> None:
    ladder.play(ASKED, "callee -> 423 SUBSCRIBE | Min-Expires: 900", "caller <- 423 SUBSCRIBE | Min-Expires: 900")


def test_a_challenge_crosses_and_the_next_try_is_another_subscription(ladder: Ladder) -> None:
    ladder.play(
        ASKED,
        """
        callee -> 401 SUBSCRIBE | WWW-Authenticate: Digest realm="office", nonce="n", qop="auth-int,auth"
        caller <- 401 SUBSCRIBE | WWW-Authenticate: Digest realm="office", nonce="n", qop="auth"
        caller -> SUBSCRIBE | Event: dialog | Authorization: Digest username="a"
        callee <- SUBSCRIBE | Event: dialog | Authorization: Digest username="a"
        callee -> 200 SUBSCRIBE | Expires: 60
        caller <- 200 SUBSCRIBE | Expires: 60
    """,
        ENDED,
    )


@pytest.mark.parametrize("status", [404, 481, 489, 604])
def test_a_notifier_that_has_forgotten_it_ends_it(ladder: Ladder, status: int) -> None:
    ladder.play(
        ACTIVE,
        f"""
        caller -> SUBSCRIBE | Event: dialog
        callee <- SUBSCRIBE | Event: dialog
        callee -> {status} SUBSCRIBE
        caller <- {status} SUBSCRIBE
    """,
        OVER,
    )


@pytest.mark.parametrize("status", [401, 423, 500, 503])
def test_another_refusal_of_a_refresh_leaves_it_as_it_is(ladder: Ladder, status: int) -> None:
    challenge = ' | WWW-Authenticate: Digest realm="office", nonce="n"' if status == 401 else ""
    ladder.play(
        ACTIVE,
        f"""
        caller -> SUBSCRIBE | Event: dialog
        callee <- SUBSCRIBE | Event: dialog
        callee -> {status} SUBSCRIBE {challenge}
        caller <- {status} SUBSCRIBE
    """,
        NOTIFIED,
    )


@pytest.mark.parametrize("status", [404, 481])
def test_a_subscriber_that_has_forgotten_it_ends_it(ladder: Ladder, status: int) -> None:
    ladder.play(
        ACTIVE,
        f"""
        callee -> NOTIFY | Event: dialog | Subscription-State: active
        caller <- NOTIFY
        caller -> {status} NOTIFY
        callee <- {status} NOTIFY
    """,
        OVER,
    )


def test_a_subscriber_that_says_nothing_has_none(ladder: Ladder) -> None:
    ladder.play(ACTIVE, "callee -> NOTIFY | Event: dialog | Subscription-State: active", "caller <- NOTIFY")
    ladder.wait(33)
    for party in ladder.parties.values():
        party.inbox.clear()
    assert subscriptions(ladder) == 0
    ladder.play(OVER)


def test_a_notify_that_cannot_be_sent_leaves_it_as_it_is(ladder: Ladder) -> None:
    ladder.play(ACTIVE)
    ladder.edge.fails = lambda hop: hop.zone == "public"
    ladder.play("callee -> NOTIFY | Event: dialog | Subscription-State: active", "callee <- 503 NOTIFY")
    ladder.edge.fails = lambda hop: False
    ladder.play(NOTIFIED)


def test_an_end_that_nobody_tells_is_told_here(ladder: Ladder) -> None:
    ladder.play(ACTIVE, "331 s")
    assert subscriptions(ladder) == 1
    ladder.play(
        """
        1.1 s
        caller <- NOTIFY | Event: dialog | Subscription-State: terminated;reason=timeout | From: *;tag=$told
        caller -> 200 NOTIFY
    """
    )
    assert subscriptions(ladder) == 0


def test_nor_is_a_subscriber_waited_for_that_does_not_answer_that(ladder: Ladder) -> None:
    ladder.play(ACTIVE)
    ladder.wait(370)
    ladder.parties["caller"].inbox.clear()
    assert subscriptions(ladder) == 0


def test_the_notifier_says_how_long(ladder: Ladder) -> None:
    ladder.play(
        ACTIVE,
        """
        callee -> NOTIFY | Event: dialog | Subscription-State: active;expires=1000
        caller <- NOTIFY | Subscription-State: active;expires=1000
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY
        900 s
    """,
        ENDED,
    )


def test_reason_and_pause_of_the_end_cross(ladder: Ladder) -> None:
    ladder.play(ACTIVE, ENDED.replace("reason=timeout", "reason=probation;retry-after=30"))


def test_the_end_is_told_without_a_body_that_may_not_cross(ladder: Ladder) -> None:
    ladder.bodies["naming"] = ("text/plain", b"ask 10.0.0.9")
    ladder.play(
        ACTIVE,
        """
        callee -> NOTIFY naming | Event: dialog | Subscription-State: active
        callee <- 415 NOTIFY
        callee -> NOTIFY naming | Event: dialog | Subscription-State: terminated
        caller <- NOTIFY | Subscription-State: terminated
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY
    """,
    )


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ("caller -> SUBSCRIBE | Event: presence", "caller <- 489 SUBSCRIBE"),
        ("caller -> SUBSCRIBE | Event: dialog;id=2", "caller <- 489 SUBSCRIBE"),
        ("caller -> SUBSCRIBE", "caller <- 400 SUBSCRIBE"),
        ("caller -> SUBSCRIBE | Event: dialog | Max-Forwards: 0", "caller <- 483 SUBSCRIBE"),
        ("caller -> SUBSCRIBE | Event: dialog | Require: x-new", "caller <- 420 SUBSCRIBE"),
        ("caller -> SUBSCRIBE | Event: dialog | CSeq: 0 SUBSCRIBE", "caller <- 500 SUBSCRIBE"),
        ("caller -> NOTIFY | Event: dialog", "caller <- 405 NOTIFY | Allow: SUBSCRIBE"),
        ("callee -> SUBSCRIBE | Event: dialog", "callee <- 405 SUBSCRIBE | Allow: NOTIFY"),
        ("callee -> NOTIFY | Event: presence | Subscription-State: active", "callee <- 481 NOTIFY"),
        ("callee -> NOTIFY | Subscription-State: active", "callee <- 400 NOTIFY"),
        ("callee -> BYE", "callee <- 405 BYE"),
    ],
)
def test_what_does_not_belong_there_is_refused_and_it_goes_on(ladder: Ladder, sent: str, answer: str) -> None:
    ladder.play(ACTIVE, sent, answer, NOTIFIED)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("| -Event", 400),
        ("| Event: ;", 400),
        ("| +Event: presence", 400),
        ("| Max-Forwards: 0", 483),
        ("| Contact: <nonsense", 400),
        ("im:a@192.0.2.1", 416),
    ],
)
def test_what_can_be_no_subscription_is_refused(ladder: Ladder, change: str, status: int) -> None:
    uri, _, rest = change.partition("|")
    ladder.play(
        f"caller -> SUBSCRIBE {uri} | Event: dialog {'| ' + rest if rest else ''}", f"caller <- {status} SUBSCRIBE"
    )
    assert ladder.edge.b2bua.table_sizes()["passages"] == 0


def test_no_more_than_so_many(new_ladder: NewLadder) -> None:
    ladder = new_ladder(settings=Settings(max_subscriptions=1))
    ladder.play(ACTIVE)
    ladder.party("other", PBX2, "sip:1001@10.0.0.1")
    ladder.party("caller", ladder.parties["caller"].address, "sip:1001@192.0.2.1")
    ladder.play("caller -> SUBSCRIBE | Event: dialog", "caller <- 503 SUBSCRIBE | Retry-After: 10", ENDED_AT_CALLER)


ENDED_AT_CALLER = """
    callee -> NOTIFY | Event: dialog | Subscription-State: terminated
    caller <- NOTIFY
    caller -> 200 NOTIFY
    callee <- 200 NOTIFY
"""


def test_the_next_address_is_asked_when_one_says_nothing_but_not_once_it_notifies(new_ladder: NewLadder) -> None:
    ladder = new_ladder(
        peers=(Peer("pbx", "private", "pbx.secret.example"),),
        names={"pbx.secret.example": (PBX.host, PBX2.host)},
        answer_after=lambda: 0.0,
    )
    ladder.play("caller -> SUBSCRIBE | Event: dialog | Expires: 600", "callee <- SUBSCRIBE")
    first_notify(ladder)
    ladder.play(
        """
        callee -> NOTIFY | Event: dialog | Subscription-State: active
        caller <- NOTIFY
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY
    """
    )
    ladder.wait(6)
    assert not ladder.parties["other"].inbox
    ladder.parties["callee"].inbox.clear()
    ladder.play("caller <- 100 SUBSCRIBE", "callee -> 200 SUBSCRIBE", "caller <- 200 SUBSCRIBE", ENDED)


def test_who_is_asked_in_vain_has_no_part_in_what_the_next_accepts(new_ladder: NewLadder) -> None:
    ladder = new_ladder(
        peers=(Peer("pbx", "private", "pbx.secret.example"),), names={"pbx.secret.example": (PBX.host, PBX2.host)}
    )
    ladder.play(
        """
        caller -> SUBSCRIBE | Event: dialog
        0.1 s
        callee <- SUBSCRIBE
        callee -> 503 SUBSCRIBE
        other <- SUBSCRIBE
        other -> 200 SUBSCRIBE | Expires: 60
        caller <- 200 SUBSCRIBE
    """
    )
    first_notify(ladder)
    ladder.play("callee -> NOTIFY | Event: dialog | Subscription-State: active", "callee <- 481 NOTIFY")
    ladder.play(ENDED.replace("callee", "other"))


def test_a_refresh_before_anybody_has_answered_has_to_wait(ladder: Ladder) -> None:
    ladder.play(ASKED)
    identity = ladder.parties["caller"].identity
    assert identity is not None
    (tag,) = {dialog[1] for dialog in ladder.edge.b2bua._context.outside.dialogs if dialog[0] == identity[0]}
    ladder.play(
        f"caller -> SUBSCRIBE | Event: dialog | To: <sip:1001@192.0.2.1>;tag={tag}",
        "caller <- 500 SUBSCRIBE | Retry-After: 1",
        ACCEPTED,
        ENDED,
    )


def test_routes_of_either_side_are_kept_on_it(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> SUBSCRIBE | Event: dialog | Record-Route: <sip:198.51.100.7:5070;lr>
        callee <- SUBSCRIBE | -Record-Route | -Route
        callee -> 200 SUBSCRIBE | Record-Route: <sip:10.0.0.5;lr;at=pbx>
        caller <- 200 SUBSCRIBE | Record-Route: <sip:198.51.100.7:5070;lr>
        callee -> NOTIFY | Event: dialog | Subscription-State: active
        caller <- NOTIFY | Route: <sip:198.51.100.7:5070;lr>
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY
        caller -> SUBSCRIBE | Event: dialog | Expires: 0
        callee <- SUBSCRIBE | Route: <sip:10.0.0.5;lr;at=pbx>
        callee -> 200 SUBSCRIBE
        caller <- 200 SUBSCRIBE | Expires: 0
    """,
        ENDED,
    )


@pytest.mark.parametrize("way", ["drain", "hang up"])
def test_when_the_service_ends_both_sides_are_told(ladder: Ladder, way: str) -> None:
    ladder.play(ACTIVE)
    b2bua, now = ladder.edge.b2bua, ladder.events.now
    ladder.edge.run(b2bua.drain(now, 5.0) if way == "drain" else b2bua.hang_up_all(now))
    ladder.play(
        """
        caller <- NOTIFY | Subscription-State: terminated;reason=deactivated | Event: dialog
        caller -> 200 NOTIFY
        callee <- SUBSCRIBE | Expires: 0 | Event: dialog
        callee -> 200 SUBSCRIBE
    """
    )
    assert subscriptions(ladder) == 0
    if way == "drain":
        ladder.party("caller", ladder.parties["caller"].address, "sip:1001@192.0.2.1")
        ladder.play("caller -> SUBSCRIBE | Event: dialog", "caller <- 503 SUBSCRIBE | Retry-After: 10")
