from __future__ import annotations

from sbc.b2bua import PASS, AdmitVerdict, CallView, Drop, LegView, Pass, Reject, RouteVerdict, Targets
from sbc.policy import POLICIES, AdmissionSettings, Chain, build_chain
from sbc.sip import Request, Response
from tests.support.calls import PBX, network, view

CALL = view(network(PBX))


class Admits:
    def __init__(self, verdict: AdmitVerdict) -> None:
        self.verdict = verdict
        self.asked = 0

    def admit(self, call: CallView) -> AdmitVerdict:
        self.asked += 1
        return self.verdict


class Routes:
    def __init__(self, verdict: RouteVerdict | None) -> None:
        self.verdict = verdict

    def route(self, call: CallView) -> RouteVerdict | None:
        return self.verdict


class Marks:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def rewrite(self, message: Request | Response, leg: LegView, received: Request | Response | None) -> None:
        message.headers.add("X-Mark", self.mark)


def test_the_first_verdict_other_than_pass_stands_and_nobody_else_is_asked() -> None:
    last = Admits(Reject("c", 403, "no"))
    dropped = Drop("b", "known scanner")
    assert Chain([Routes(None), Admits(PASS), Admits(dropped), last]).admit(CALL) == dropped
    assert last.asked == 0
    assert Chain([Admits(PASS)]).admit(CALL) == PASS
    assert Chain([]).admit(CALL) == PASS
    assert Chain([Admits(Pass(emergency=True)), Admits(PASS)]).admit(CALL) == Pass(emergency=True)
    assert Chain([Admits(Pass(emergency=True)), Admits(dropped)]).admit(CALL) == dropped


def test_the_first_policy_that_knows_the_way_routes() -> None:
    there = Targets("b", (), "because")
    assert Chain([Routes(None), Admits(PASS), Routes(there), Routes(Reject("c", 403, ""))]).route(CALL) == there


def test_a_call_that_nobody_routes_is_not_found() -> None:
    for chain in (Chain([]), Chain([Routes(None)])):
        verdict = chain.route(CALL)
        assert isinstance(verdict, Reject)
        assert verdict.status == 404


def test_every_rewriting_policy_has_its_turn() -> None:
    chain = Chain([Marks("one"), Admits(PASS), Marks("two")])
    leg = LegView(CALL.zone, None, CALL.zone, CALL.hop.local, "host")
    request = view(network(PBX)).request
    chain.rewrite(request, leg, None)
    assert request.headers.get_all("X-Mark") == ["one", "two"]
    assert chain.rewrites
    assert not Chain([Admits(PASS)]).rewrites


def test_the_chain_of_a_configuration_admits_and_routes() -> None:
    chain = build_chain(network(PBX), (), AdmissionSettings(max_calls=1))
    assert chain.admit(CALL) == PASS
    assert chain.admit(view(network(PBX), calls=1)) != PASS
    verdict = chain.route(CALL)
    assert isinstance(verdict, Targets)
    assert [target.peer for target in verdict.targets] == ["pbx"]


def test_policies_are_known_by_the_name_that_their_verdicts_carry() -> None:
    assert set(POLICIES) >= {"admission", "routing"}
