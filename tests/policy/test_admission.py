from __future__ import annotations

import pytest

from sbc.b2bua import PASS, Pass, Reject
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


HELP = Admission(AdmissionSettings(max_calls=3, retry_after=7, emergency=("112",)))
DIALLED = "sip:112@192.0.2.1"


def test_emergency_calls_of_peers_are_never_limited() -> None:
    where = network(PBX)
    for uri in (DIALLED, "urn:service:sos.fire"):
        passed = HELP.admit(view(where, uri, zone="private", peer=PBX, calls=10**6, draining=True))
        assert passed == Pass(emergency=True)
    assert refusal(HELP.admit(view(where, "sip:113@192.0.2.1", zone="private", peer=PBX, calls=3))) == (503, LATER)


def test_emergency_calls_of_strangers_have_room_of_their_own() -> None:
    where = network(PBX)
    assert HELP.admit(view(where, DIALLED, calls=12, draining=True)) == Pass(emergency=True)
    assert refusal(HELP.admit(view(where, DIALLED, calls=13))) == (503, LATER)
    assert refusal(HELP.admit(view(where, DIALLED, zone="private"))) == (403, ())


def test_nothing_else_about_such_a_number_is_an_emergency_call() -> None:
    assert refusal(HELP.admit(view(network(PBX), DIALLED, method="OPTIONS", calls=3))) == (503, LATER)


def test_other_requests_need_no_room() -> None:
    assert ADMISSION.admit(view(network(PBX), calls=3, draining=True, method="REGISTER")) == PASS


def test_who_may_not_call_at_all_is_told_so_first() -> None:
    assert refusal(ADMISSION.admit(view(network(PBX), zone="private", draining=True)))[0] == 403
