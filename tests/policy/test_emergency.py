"""Which calls are emergency calls."""

from __future__ import annotations

import pytest

from sbc.policy import emergency_calls
from tests.support.calls import PBX, network, view


@pytest.mark.parametrize(
    ("uri", "numbers", "is_one"),
    [
        ("sip:112@192.0.2.1", ("112",), True),
        ("sip:%31%312;user=phone@192.0.2.1", ("112",), True),
        ("tel:1-1-2", ("112",), True),
        ("sip:0112@192.0.2.1", ("112",), False),
        ("sip:911@192.0.2.1", ("112", "/^9?911$/"), True),
        ("sip:112@192.0.2.1", (), False),
        ("sip:192.0.2.1", (), False),
        ("urn:service:sos", (), True),
        ("URN:Service:SOS.mountain", (), True),
        ("urn:service:sosx", (), False),
        ("urn:service:counseling", ("112",), False),
        ("urn:service:counseling", ("urn:service:*",), True),
    ],
)
def test_numbers_and_the_service_urn(uri: str, numbers: tuple[str, ...], is_one: bool) -> None:
    assert emergency_calls(numbers)(view(network(PBX), uri).request) is is_one


def test_what_cannot_be_read_is_none() -> None:
    request = view(network(PBX)).request
    request.uri = "sip:112@@x"
    assert not emergency_calls(("112",))(request)
