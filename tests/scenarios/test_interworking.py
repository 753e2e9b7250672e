"""What two sides speak differently, by SIPp through a real twistd: reliable responses, session timers, UPDATE, targets
that are tried together or one after the other, redirections, late offers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import script
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.scenario import INWARDS, OUTWARDS, Route
from tests.support.scenario import callee as start_callee
from tests.support.scenario import caller as start_caller
from tests.support.sipp import Sipp

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

DESK, MOBILE = PRIVATE.others
CONFIG = f"""
[calls]
no_answer = 8
session_expires = 6
min_session_expires = 3
failover_statuses = [408, 486, 500, 502, 503, 504]
[zones.public]
address = "{PUBLIC.edge}"
[zones.private]
address = "{PRIVATE.edge}"
[peers.pbx]
zone = "private"
address = "{PRIVATE.host}"
[peers.desk]
zone = "private"
address = "{DESK}"
[peers.mobile]
zone = "private"
address = "{MOBILE}"
[[routes]]
from = "public"
number = "1*"
to = ["pbx"]
[[routes]]
from = "public"
number = "2*"
to = [["desk", "mobile"], "pbx"]
ring = 2
[[routes]]
from = "public"
number = "3*"
to = ["desk", "pbx"]
ring = "1s"
"""
FIND_ME, FORWARDED = Route("find me", number="2001"), Route("forwarded", number="3001")


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border(CONFIG) as border:
        yield border


both_ways = pytest.mark.parametrize("route", [INWARDS, OUTWARDS], ids=lambda route: route.name)

ANSWER = """
    <- INVITE
    -> 180
    -> 200 sdp
    <- ACK
    <- BYE
    -> 200 BYE
"""
CALL = """
    -> INVITE sdp
    <- 100 maybe
    <- 180 maybe
    <- 200 sdp
    -> ACK
    0.2 s
    -> BYE
    <- 200 BYE
"""


def play(border: Border, folder: Path, route: Route, calls: str, answers: str | None, **others: str) -> dict[str, Any]:
    """One call; `others` are the scenarios of who is at an address of the private side, by "at_" and its name."""
    answering = [_start(border, folder, route, start_callee, script.callee(answers), "callee")] if answers else []
    for name, text in others.items():
        address = {"desk": DESK, "mobile": MOBILE}[name]
        answering.append(_start(border, folder, route, start_callee, script.callee(text), name, address=address))
    calling = _start(border, folder, route, start_caller, script.caller(calls), "caller")
    for party in (calling, *answering):
        try:
            party.wait()
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{border.edge.sbc('explain', 'last')}") from None
    return border.record(calling)


def _start(border: Border, folder: Path, route: Route, start: Any, xml: str, name: str, **more: Any) -> Sipp:
    (folder / f"{name}.xml").write_text(xml)
    party = start(border, route, str(folder / name), **more)
    assert isinstance(party, Sipp)
    return party


# -- reliable provisional responses ------------------------------------------------------------------------------------


@both_ways
def test_reliable_responses_end_to_end(border: Border, tmp_path: Path, route: Route) -> None:
    record = play(
        border, tmp_path, route,
        r"""
        -> INVITE sdp | Supported: 100rel
        <- 100 maybe
        <- 183 sdp | Require: 100rel | RSeq: ([0-9]+) as rseq
        -> PRACK | RAck: [$rseq] 1 INVITE
        <- 200 PRACK
        <- 200
        -> ACK
        0.2 s
        -> BYE
        <- 200 BYE
        """,
        """
        <- INVITE sdp | Supported: 100rel
        -> 183 sdp | Require: 100rel | RSeq: 17
        <- PRACK | RAck: 17 1 INVITE
        -> 200 PRACK
        0.1 s
        -> 200
        <- ACK
        <- BYE
        -> 200 BYE
        """,
    )  # fmt: skip
    assert (record["status"], record["ended_by"]) == (200, "caller")


@both_ways
def test_reliable_responses_for_the_caller_alone(border: Border, tmp_path: Path, route: Route) -> None:
    record = play(
        border, tmp_path, route,
        r"""
        -> INVITE sdp | Require: 100rel
        <- 100 maybe
        <- 180 | Require: 100rel | RSeq: ([0-9]+) as rseq
        -> PRACK | RAck: [$rseq] 1 INVITE
        <- 200 PRACK
        <- 200 sdp
        -> ACK
        0.2 s
        -> BYE
        <- 200 BYE
        """,
        ANSWER.replace("-> 180", "-> 180\n    0.3 s"),
    )  # fmt: skip
    assert record["status"] == 200


@both_ways
def test_reliable_responses_of_the_callee_alone(border: Border, tmp_path: Path, route: Route) -> None:
    record = play(
        border, tmp_path, route,
        """
        -> INVITE sdp
        <- 100 maybe
        <- 183 sdp | -RSeq
        <- 200 sdp
        -> ACK
        0.2 s
        -> BYE
        <- 200 BYE
        """,
        """
        <- INVITE
        -> 183 sdp | Require: 100rel | RSeq: 900
        <- PRACK | RAck: 900 1 INVITE
        -> 200 PRACK
        0.1 s
        -> 200
        <- ACK
        <- BYE
        -> 200 BYE
        """,
    )  # fmt: skip
    assert record["status"] == 200


# -- late offers -------------------------------------------------------------------------------------------------------


@both_ways
def test_an_invite_without_an_offer(border: Border, tmp_path: Path, route: Route) -> None:
    record = play(
        border, tmp_path, route,
        """
        -> INVITE
        <- 100 maybe
        <- 180
        <- 200 sdp
        -> ACK sdp
        0.2 s
        -> BYE
        <- 200 BYE
        """,
        ANSWER.replace("<- ACK", "<- ACK sdp"),
    )  # fmt: skip
    assert record["status"] == 200
    assert record["streams"]


def test_an_invite_without_an_offer_that_is_answered_in_a_prack(border: Border, tmp_path: Path) -> None:
    record = play(
        border, tmp_path, INWARDS,
        r"""
        -> INVITE | Supported: 100rel
        <- 100 maybe
        <- 183 sdp | RSeq: ([0-9]+) as rseq
        -> PRACK sdp | RAck: [$rseq] 1 INVITE
        <- 200 PRACK
        <- 200
        -> ACK
        0.2 s
        -> BYE
        <- 200 BYE
        """,
        """
        <- INVITE
        -> 183 sdp | Require: 100rel | RSeq: 5
        <- PRACK sdp | RAck: 5 1 INVITE
        -> 200 PRACK
        0.1 s
        -> 200
        <- ACK
        <- BYE
        -> 200 BYE
        """,
    )  # fmt: skip
    assert record["status"] == 200
    assert record["streams"]


# -- UPDATE ------------------------------------------------------------------------------------------------------------


def test_an_update_passes(border: Border, tmp_path: Path) -> None:
    play(
        border, tmp_path, INWARDS,
        CALL.replace("0.2 s", "0.1 s\n    -> UPDATE sdp\n    <- 200 UPDATE sdp\n    0.1 s"),
        ANSWER.replace("<- ACK", "<- ACK\n    <- UPDATE sdp\n    -> 200 UPDATE sdp"),
    )  # fmt: skip


def test_an_update_becomes_a_re_invite_for_who_allows_none(border: Border, tmp_path: Path) -> None:
    play(
        border, tmp_path, INWARDS,
        CALL.replace("0.2 s", "0.1 s\n    -> UPDATE sdp\n    <- 200 UPDATE sdp\n    0.1 s"),
        ANSWER.replace("200 sdp", "200 sdp | Allow: INVITE, ACK, BYE, CANCEL").replace(
            "<- ACK", "<- ACK\n    <- INVITE sdp\n    -> 200 sdp\n    <- ACK"
        ),
    )  # fmt: skip


def test_an_update_before_the_answer(border: Border, tmp_path: Path) -> None:
    play(
        border, tmp_path, INWARDS,
        r"""
        -> INVITE sdp | Supported: 100rel
        <- 100 maybe
        <- 183 sdp | RSeq: ([0-9]+) as rseq
        -> PRACK | RAck: [$rseq] 1 INVITE
        <- 200 PRACK
        -> UPDATE sdp
        <- 200 UPDATE sdp
        <- 200
        -> ACK
        0.1 s
        -> BYE
        <- 200 BYE
        """,
        """
        <- INVITE
        -> 183 sdp | Require: 100rel | RSeq: 17
        <- PRACK
        -> 200 PRACK
        <- UPDATE sdp
        -> 200 UPDATE sdp
        0.1 s
        -> 200
        <- ACK
        <- BYE
        -> 200 BYE
        """,
    )  # fmt: skip


# -- session timers ----------------------------------------------------------------------------------------------------


def test_the_sbc_refreshes_who_wants_it_to(border: Border, tmp_path: Path) -> None:
    """The callee by UPDATE, the caller, who allows none, by re-INVITE."""
    record = play(
        border, tmp_path, INWARDS,
        """
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
        """,
        """
        <- INVITE | Session-Expires: 6
        -> 180
        -> 200 sdp | Require: timer | Session-Expires: 3;refresher=uac
        <- ACK
        <- UPDATE | Session-Expires: 3;refresher=uac
        -> 200 UPDATE | Require: timer | Session-Expires: 30;refresher=uac
        <- BYE
        -> 200 BYE
        """,
    )  # fmt: skip
    assert (record["status"], record["ended_by"]) == (200, "caller")


def test_who_does_not_refresh_in_time_has_ended_the_call_for_both(border: Border, tmp_path: Path) -> None:
    record = play(
        border, tmp_path, INWARDS,
        """
        -> INVITE sdp | Supported: timer | Session-Expires: 3;refresher=uac
        <- 100 maybe
        <- 180
        <- 200 sdp | Session-Expires: 3;refresher=uac | Require: timer
        -> ACK
        <- BYE | Reason: SIP.*408.*Session timer
        -> 200 BYE
        """,
        ANSWER.replace("<- BYE", "<- BYE | Reason: SIP.*408.*Session timer"),
    )  # fmt: skip
    assert (record["ended_by"], record["cause"]) == ("sbc", "session timer")


def test_who_asks_for_too_short_a_session_is_told(border: Border, tmp_path: Path) -> None:
    play(
        border, tmp_path, INWARDS,
        """
        -> INVITE sdp | Supported: timer | Session-Expires: 2
        <- 422 | Min-SE: 3
        -> ACK
        """,
        None,
    )  # fmt: skip


# -- targets -----------------------------------------------------------------------------------------------------------

RINGS_AND_IS_CANCELLED = """
    <- INVITE
    -> 180
    <- CANCEL | Reason: {reason}
    -> 200 CANCEL
    -> 487
    <- ACK
"""


def test_find_me(border: Border, tmp_path: Path) -> None:
    """Two ring, one answers, the other hears why its ringing stops."""
    record = play(
        border, tmp_path, FIND_ME, CALL, None,
        desk=RINGS_AND_IS_CANCELLED.format(reason="SIP.*200.*elsewhere"),
        mobile=ANSWER.replace("-> 180", "-> 180\n    0.5 s"),
    )  # fmt: skip
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 2, "mobile")


def test_find_me_not_and_the_voice_mail_takes_it(border: Border, tmp_path: Path) -> None:
    record = play(
        border, tmp_path, FIND_ME, CALL.replace("<- 180 maybe", "<- 180\n    <- 180 maybe\n    <- 180 maybe"), ANSWER,
        desk="<- INVITE\n-> 486\n<- ACK",
        mobile=RINGS_AND_IS_CANCELLED.format(reason="SIP.*408.*No answer"),
    )  # fmt: skip
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 3, "pbx")


def test_call_forwarding_on_busy(border: Border, tmp_path: Path) -> None:
    record = play(border, tmp_path, FORWARDED, CALL, ANSWER, desk="<- INVITE\n-> 486\n<- ACK")
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 2, "pbx")


def test_call_forwarding_on_no_answer(border: Border, tmp_path: Path) -> None:
    record = play(
        border, tmp_path, FORWARDED, CALL, ANSWER,
        desk=RINGS_AND_IS_CANCELLED.format(reason="SIP.*408.*No answer"),
    )  # fmt: skip
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 2, "pbx")


def test_a_redirection_is_followed(border: Border, tmp_path: Path) -> None:
    record = play(
        border, tmp_path, INWARDS, CALL, f"<- INVITE\n-> 302 | Contact: <sip:7042@{MOBILE}>\n<- ACK", mobile=ANSWER
    )
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 2, "mobile")
