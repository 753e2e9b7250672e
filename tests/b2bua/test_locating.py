"""Where requests for registered users go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Access, Binding, Reject, Settings, Target, Targets
from sbc.b2bua.context import Context
from sbc.b2bua.locating import address_of_record, locate
from sbc.sip import Address, Headers, Hop, Request, parse_uri
from tests.support.ladder import Ladder
from tests.support.world import OUTSIDE

AOR = "1001@example.com"


@pytest.fixture
def context(new_ladder: Callable[..., Ladder]) -> Context:
    ladder = new_ladder(settings=Settings(access=Access("public", ("example.com",), "pbx", key=b"k")))
    return ladder.edge.b2bua._context


def bind(context: Context, name: str, port: int, until: float, reg_id: int = 0) -> str:
    device = context.registrations.device(AOR, name)
    device.inside_until = context.now + 3600.0
    hop = Hop("public", "UDP", OUTSIDE, Address("198.51.100.7", port))
    contact = f"sip:{name}@198.51.100.7:{port}"
    written = f"<{contact}>"
    context.registrations.bind(Binding(device, reg_id, "", written, written, hop, "c", 1, until, 60))
    return device.token


def found(context: Context, uri: str, zone: str = "private") -> list[Target]:
    verdict = locate(context, Request("INVITE", uri, Headers()), zone)
    assert isinstance(verdict, Targets)
    return list(verdict.targets)


def test_a_contact_of_ours_leads_to_the_flows_of_its_device_newest_first(context: Context) -> None:
    token = bind(context, "desk", 1, 200.0, 1)
    bind(context, "desk", 2, 250.0, 2)
    bind(context, "mobile", 3, 260.0)
    (target,) = found(context, f"sip:{token}@10.0.0.1")
    assert target.uri == "sip:desk@198.51.100.7:2"
    assert target.hop is not None
    assert target.hop.remote.port == 2
    assert [(uri, hop.remote.port) for uri, hop in target.others] == [("sip:desk@198.51.100.7:1", 1)]


def test_all_devices_of_a_user_are_called_together_where_the_registrar_calls_the_user(context: Context) -> None:
    bind(context, "desk", 1, 200.0)
    bind(context, "mobile", 3, 260.0)
    targets = found(context, "sip:1001@10.0.0.1")
    assert [(target.uri.partition("@")[0], target.together) for target in targets] == [
        ("sip:mobile", False),
        ("sip:desk", True),
    ]


def test_phones_call_through_the_registrar(context: Context) -> None:
    token = bind(context, "desk", 1, 200.0)
    for uri in ("sip:1001@example.com", f"sip:{token}@192.0.2.1", "sip:2002@elsewhere.example"):
        assert locate(context, Request("INVITE", uri, Headers()), "public") is None


def test_a_contact_that_is_unknown_is_404(context: Context) -> None:
    verdict = locate(context, Request("INVITE", f"sip:{'0' * 24}@10.0.0.1", Headers()), "private")
    assert isinstance(verdict, Reject)
    assert verdict.status == 404


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        ("sip:1001@example.com", AOR),
        ("sip:%31001@EXAMPLE.com:5070;transport=tcp", AOR),
        ("sip:1001@192.0.2.1", AOR),
        ("sip:1001@elsewhere.example", None),
        ("sip:example.com", None),
        ("tel:1001", None),
        ("sip:a%20b@example.com", "a b@example.com"),
        ("sip:a%0D%0AX:%20y@example.com", None),
        ("sip:%1B%5B2J@example.com", None),
        ("sip:%FF@example.com", None),
    ],
)
def test_users_of_our_domains_and_addresses_have_an_address_of_record(
    context: Context, uri: str, aor: str | None
) -> None:
    assert address_of_record(context, parse_uri(uri)) == aor
