"""The session layer as the driver sees it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Answer, ApplyFlow, Ask, CallView, Decided, LegView, Peer, RouteVerdict
from sbc.media import Latched, SourceMismatch, StatsReport, StreamStats
from sbc.policy import AdmissionSettings, build_chain
from sbc.sip import Address, Hop, Request, Response
from tests.support.ladder import ANSWERED, HUNG_UP, RINGING, Ladder
from tests.support.world import INSIDE, PBX, PBX2


def asks(ladder: Ladder) -> list[str]:
    return [command.query.host for command in ladder.edge.commands if isinstance(command, Ask)]


# -- peers by name -----------------------------------------------------------------------------------------------------

NAMED = (Peer("pbx", "private", "pbx.secret.example"),)


def test_peers_by_name_are_looked_up_at_the_start_and_again(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=NAMED, names={"pbx.secret.example": (PBX.host,)})
    assert asks(ladder) == ["pbx.secret.example"]
    ladder.play("""
        0.1 s
        callee -> OPTIONS
        callee <- 200 OPTIONS
    """)
    ladder.edge.names["pbx.secret.example"] = (PBX2.host,)
    ladder.play("""
        300 s
        other -> OPTIONS
        other <- 200 OPTIONS
        callee -> OPTIONS
        callee <- 403 OPTIONS
    """)
    assert len(asks(ladder)) == 2


def test_a_peer_that_is_not_found_is_asked_for_soon_and_stays_what_it_was(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=NAMED, names={"pbx.secret.example": (PBX.host,)})
    ladder.edge.names.clear()
    ladder.play("316 s")
    assert len(asks(ladder)) == 3
    ladder.play("callee -> OPTIONS", "callee <- 200 OPTIONS")


def test_an_answer_that_nobody_waits_for_is_nothing(ladder: Ladder) -> None:
    hop = Hop("private", "UDP", INSIDE, PBX2)
    for token in ("", "pbx", "peer:", "peer:unknown", "lost"):
        ladder.edge.tell(Answer(token, (hop,)))
    ladder.play("other -> OPTIONS", "other <- 403 OPTIONS")


# -- media events ------------------------------------------------------------------------------------------------------


def test_what_the_plane_sees_is_on_the_trail_of_its_call(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    (flow_id,) = ladder.edge.flows
    source = Address("198.51.100.7", 4000)
    ladder.edge.tell(Latched(flow_id, "a", source))
    for _ in range(3):
        ladder.edge.tell(SourceMismatch(flow_id, "b", Address("10.0.0.9", 1), 5))
    ladder.edge.tell(Latched("unknown/0", "a", source))
    ladder.edge.tell(SourceMismatch("unknown/0", "a", source, 1))
    ladder.edge.tell(StatsReport(flow_id, StreamStats(), StreamStats(), False))
    assert ladder.trail[-2:] == [
        "observe media: latched (flow 0 leg a to 198.51.100.7 4000)",
        "observe media: dropped (leg b: packets from 10.0.0.9 1)",
    ]


def test_every_decision_names_its_call_and_when(ladder: Ladder) -> None:
    ladder.play(RINGING, "3 s", "callee -> 486", "callee <- ACK", "caller <- 486", "caller -> ACK", "0.1 s")
    decided = [command for command in ladder.edge.commands if isinstance(command, Decided)]
    assert {command.call for command in decided} == {ladder.record.call}
    assert decided[-1].at - decided[0].at == pytest.approx(3.0)


# -- tables ------------------------------------------------------------------------------------------------------------


def test_tables_hold_what_is_there_and_nothing_afterwards(ladder: Ladder) -> None:
    session = ladder.edge.b2bua
    assert set(session.table_sizes().values()) == {0}
    assert session.idle
    ladder.play(ANSWERED)
    sizes = session.table_sizes()
    assert (sizes["calls"], sizes["dialogs"], sizes["media sessions"]) == (1, 2, 1)
    assert sizes["ports in use"] == 2
    assert (session.calls, session.idle) == (1, False)
    ladder.play(HUNG_UP)
    assert set(session.table_sizes().values()) == {0}


def test_the_next_deadline_is_known(ladder: Ladder) -> None:
    session = ladder.edge.b2bua
    assert session.next_deadline() is None
    ladder.play(RINGING)
    assert session.next_deadline() == ladder.events.now + 180.0


def test_ports_are_wanted_from_the_start(ladder: Ladder) -> None:
    assert ladder.edge.next_port["192.0.2.1"] > 0
    ladder.play(ANSWERED)
    (applied,) = (command.flow for command in ladder.edge.commands if isinstance(command, ApplyFlow))
    assert (applied.a.local.host, applied.b.local.host) == ("192.0.2.1", "10.0.0.1")
    assert (applied.a.remote, applied.b.remote) == (Address("198.51.100.7", 4000), Address("10.0.0.5", 4000))


# -- rewriting ---------------------------------------------------------------------------------------------------------


class Stamping:
    """A chain whose last word stands in every message of a call."""

    rewrites = True

    def __init__(self, ladder: list[Ladder]) -> None:
        self._ladder = ladder
        self.seen: list[tuple[str, str, str]] = []

    def _chain(self) -> object:
        return build_chain(self._ladder[0].edge.b2bua._context.network, (), AdmissionSettings())

    def admit(self, call: CallView) -> object:
        return self._chain().admit(call)  # type: ignore[attr-defined]

    def route(self, call: CallView) -> RouteVerdict:
        return self._chain().route(call)  # type: ignore[attr-defined, no-any-return]

    def rewrite(self, message: Request | Response, leg: LegView, received: Request | Response | None) -> None:
        what = message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
        self.seen.append((what, leg.zone.name, leg.source.name))
        message.headers.add("X-Stamp", leg.zone.name)


def test_the_rewriting_hook_has_the_last_word(new_ladder: Callable[..., Ladder]) -> None:
    made: list[Ladder] = []
    hooks = Stamping(made)
    made.append(new_ladder(hooks=hooks))
    made[0].play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | X-Stamp: private
        callee -> 180
        caller <- 180 | X-Stamp: public
        callee -> 200 sdp
        callee <- ACK | X-Stamp: private
        caller <- 200 sdp | X-Stamp: public
        caller -> ACK
        caller -> INFO
        callee <- INFO | X-Stamp: private
        callee -> 200 INFO
        caller <- 200 INFO | X-Stamp: public
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE | X-Stamp: public
        caller -> 200 BYE
    """)
    assert ("INVITE", "private", "public") in hooks.seen
    assert ("BYE", "public", "private") in hooks.seen


def test_the_rewriting_hook_sees_what_we_say_of_our_own(new_ladder: Callable[..., Ladder]) -> None:
    made: list[Ladder] = []
    hooks = Stamping(made)
    made.append(new_ladder(hooks=hooks))
    made[0].play("""
        caller -> OPTIONS
        caller <- 200 OPTIONS | X-Stamp: public
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp tag=one
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        callee -> 200 sdp tag=two
        callee <- ACK | X-Stamp: private
        callee <- BYE | X-Stamp: private
        callee -> 200 BYE
        caller -> NONSENSE
        caller <- 405 NONSENSE | X-Stamp: public
        caller -> UPDATE
        caller <- 200 UPDATE | X-Stamp: public
        caller -> BYE
        caller <- 200 BYE | X-Stamp: public
        callee <- BYE | X-Stamp: private
        callee -> 200 BYE
    """)
    made[0].play("0.1 s", "caller -> INFO", "caller <- 481 INFO | X-Stamp: public")
