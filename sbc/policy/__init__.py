"""What is decided at the fixed points of a call: each policy is a settings class and one class that answers there."""

from __future__ import annotations

from sbc.policy.admission import Admission, AdmissionSettings
from sbc.policy.chain import POLICIES, Chain, build_chain
from sbc.policy.emergency import emergency_calls
from sbc.policy.numbers import dialled, pattern
from sbc.policy.routing import RouteRule, Routing, RoutingSettings

__all__ = [
    "POLICIES",
    "Admission",
    "AdmissionSettings",
    "Chain",
    "RouteRule",
    "Routing",
    "RoutingSettings",
    "build_chain",
    "dialled",
    "emergency_calls",
    "pattern",
]
