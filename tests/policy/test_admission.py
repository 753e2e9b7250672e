from __future__ import annotations

import pytest

from sbc.b2bua import PASS, Reject
from sbc.policy import Admission, AdmissionSettings
from tests.support.calls import PBX, network, view

ADMISSION = Admission(AdmissionSettings(max_calls=3, retry_after=7))
LATER = (("Retry-After", "7"),)


def refusal(verdict: object) -> tuple[int, tuple[tuple[str, str], ...]]:
    assert isinstance(verdict, Reject)
    assert (verdict.policy, verdict.reason != "") == ("admission", True)
    return verdict.status, verdict.headers


def test_an_open_zone_serves_strangers() -> None:
    assert ADMISSION.admit(view(network(PBX))) == PASS


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER"])
def test_other_zones_serve_their_peers_only(method: str) -> None:
    assert ADMISSION.admit(view(network(PBX), zone="private", peer=PBX, method=method)) == PASS
    assert refusal(ADMISSION.admit(view(network(PBX), zone="private", method=method))) == (403, ())


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_while_there_is_no_room_or_the_service_ends_callers_are_asked_to_wait(method: str) -> None:
    assert ADMISSION.admit(view(network(PBX), calls=2, method=method)) == PASS
    assert refusal(ADMISSION.admit(view(network(PBX), calls=3, method=method))) == (503, LATER)
    assert refusal(ADMISSION.admit(view(network(PBX), draining=True, method=method))) == (503, LATER)


def test_other_requests_need_no_room() -> None:
    assert ADMISSION.admit(view(network(PBX), calls=3, draining=True, method="REGISTER")) == PASS


def test_who_may_not_call_at_all_is_told_so_first() -> None:
    assert refusal(ADMISSION.admit(view(network(PBX), zone="private", draining=True)))[0] == 403
