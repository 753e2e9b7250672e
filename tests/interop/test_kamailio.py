"""Kamailio as the PBX: a proxy that stays in the path (Record-Route), with its phones behind it."""

from __future__ import annotations

import pytest

from tests.support.border import Border
from tests.support.kamailio import PHONE, start_pbx
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.scenario import refused
from tests.support.sipp import Sipp

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("kamailio", "sipp")]


@pytest.fixture(autouse=True)
def pbx(border: Border) -> None:
    start_pbx(border)


CALLS = [
    ("caller", "callee", {"talk": 100}, {"delay": 50}),
    ("caller_hears_bye", "callee_hangs_up", {}, {}),
    ("caller_holds", "callee_is_held", {}, {}),
    ("caller_is_held", "callee_holds", {}, {}),
    ("caller_cancels", "callee_is_cancelled", {}, {}),
    ("caller_refused", "callee_refuses", refused(486), {"status": "486 Busy Here"}),
]


@pytest.mark.parametrize(("calling", "answering", "call", "answer"), CALLS, ids=[pair[0] for pair in CALLS])
def test_a_public_phone_calls_a_phone_of_the_pbx(
    border: Border, calling: str, answering: str, call: dict[str, object], answer: dict[str, object]
) -> None:
    callee = Sipp(border.lab.private, answering, PHONE, 5060, replace=answer)
    caller = Sipp(
        border.lab.public, calling, PUBLIC.host, 5060, target=f"{PUBLIC.edge}:5060",
        dialled=f"sip:1001@{PUBLIC.edge}", replace=call,
    )  # fmt: skip
    caller.wait()
    callee.wait()
    assert border.record(caller)["b"]["peer"] == "pbx"


@pytest.mark.parametrize(("calling", "answering", "call", "answer"), CALLS, ids=[pair[0] for pair in CALLS])
def test_a_phone_of_the_pbx_calls_a_public_phone(
    border: Border, calling: str, answering: str, call: dict[str, object], answer: dict[str, object]
) -> None:
    callee = Sipp(border.lab.public, answering, PUBLIC.host, 5060, replace=answer)
    caller = Sipp(
        border.lab.private, calling, PHONE, 5060, target=f"{PRIVATE.host}:5060",
        dialled=f"sip:1001@{PUBLIC.host}", replace=call,
    )  # fmt: skip
    caller.wait()
    callee.wait()
    assert border.record(caller)["a"]["peer"] == "pbx"
