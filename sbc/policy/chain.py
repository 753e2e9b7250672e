"""The chain of policies that the session layer asks at its fixed points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sbc.b2bua import PASS, AdmitVerdict, CallView, LegView, Network, Pass, Reject, RouteVerdict
from sbc.policy.admission import Admission, AdmissionSettings
from sbc.policy.routing import RouteRule, Routing, RoutingSettings
from sbc.sip import Request, Response


class Admits(Protocol):
    def admit(self, call: CallView) -> AdmitVerdict: ...


class Routes(Protocol):
    def route(self, call: CallView) -> RouteVerdict | None: ...


class Rewrites(Protocol):
    def rewrite(self, message: Request | Response, leg: LegView, received: Request | Response | None) -> None: ...


POLICIES: dict[str, type[Any]] = {"admission": Admission, "routing": Routing}
"""Every policy by its name. A policy has some of the methods `admit`, `route` and `rewrite`, and is asked at those."""


class Chain:
    """Asks each policy in turn; the first verdict other than Pass (or None, from `route`) stands."""

    def __init__(self, policies: Iterable[object]) -> None:
        members = tuple(policies)
        self._admit: tuple[Admits, ...] = tuple(p for p in members if hasattr(p, "admit"))
        self._route: tuple[Routes, ...] = tuple(p for p in members if hasattr(p, "route"))
        self._rewrite: tuple[Rewrites, ...] = tuple(p for p in members if hasattr(p, "rewrite"))
        self.rewrites = bool(self._rewrite)

    def admit(self, call: CallView) -> AdmitVerdict:
        passed = PASS
        for policy in self._admit:
            verdict = policy.admit(call)
            if not isinstance(verdict, Pass):
                return verdict
            if verdict.emergency:
                passed = verdict
        return passed

    def route(self, call: CallView) -> RouteVerdict:
        for policy in self._route:
            verdict = policy.route(call)
            if verdict is not None:
                return verdict
        return Reject("chain", 404, "no policy routes this call")

    def rewrite(self, message: Request | Response, leg: LegView, received: Request | Response | None) -> None:
        for policy in self._rewrite:
            policy.rewrite(message, leg, received)


def build_chain(network: Network, routes: Sequence[RouteRule], admission: AdmissionSettings) -> Chain:
    """The chain as the configuration wants it."""
    routing = RoutingSettings(tuple(routes), admission.emergency)
    return Chain((Admission(admission), Routing(routing, network)))
