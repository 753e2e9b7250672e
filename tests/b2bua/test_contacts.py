"""What a REGISTER asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Access, Reject, Settings
from sbc.b2bua.contacts import Asked, read
from sbc.b2bua.context import Context
from sbc.sip import Address, Headers, Hop, Request
from tests.support.ladder import Ladder
from tests.support.world import OUTSIDE

PHONE = Hop("public", "UDP", OUTSIDE, Address("198.51.100.7", 5070))
INSTANCE = '+sip.instance="<urn:uuid:1>"'


@pytest.fixture
def context(new_ladder: Callable[..., Ladder]) -> Context:
    ladder = new_ladder(settings=Settings(access=Access("public", ("example.com",), "pbx", max_contacts=3)))
    return ladder.edge.b2bua._context


def register(
    context: Context,
    *fields: tuple[str, str],
    uri: str = "sip:example.com",
    to: str = "<sip:1001@example.com>",
) -> Asked | Reject:
    headers = Headers(
        [
            ("Via", "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK1"),
            ("From", "<sip:1001@example.com>;tag=1"),
            ("To", to),
            ("Call-ID", "abc"),
            ("CSeq", "1 REGISTER"),
        ]
    )
    for name, value in fields:
        headers.add(name, value)
    return read(context, Request("REGISTER", uri, headers), "t", PHONE)


def wishes(asked: Asked | Reject) -> list[tuple[str, int, str, int]]:
    assert isinstance(asked, Asked)
    return [(wish.address.uri_text, wish.expires, wish.device.id, wish.reg_id) for wish in asked.wishes]


def status(asked: Asked | Reject) -> int:
    assert isinstance(asked, Reject)
    return asked.status


def test_expires_is_the_contacts_own_else_the_headers_else_an_hour(context: Context) -> None:
    contacts = ("Contact", "<sip:a@h>;expires=60, <sip:b@h>, <sip:c@h>;expires=soon")
    assert [wish[1] for wish in wishes(register(context, contacts, ("Expires", "120")))] == [60, 120, 3600]
    assert wishes(register(context, ("Contact", "<sip:a@h>"))) == [("sip:a@h", 3600, "sip:a@h", 0)]


def test_a_device_is_its_instance_else_its_contact(context: Context) -> None:
    asked = register(context, ("Contact", f"<sip:a@h>;{INSTANCE}"))
    assert wishes(asked) == [("sip:a@h", 3600, '"<urn:uuid:1>"', 0)]


def test_a_reg_id_counts_where_the_phone_speaks_outbound_and_has_an_instance(context: Context) -> None:
    contact = ("Contact", f"<sip:a@h>;{INSTANCE};reg-id=2")
    assert wishes(register(context, contact))[0][3] == 0
    assert wishes(register(context, contact, ("Supported", "path, outbound")))[0][3] == 2
    without = register(context, ("Contact", "<sip:a@h>;reg-id=2"), ("Supported", "outbound"))
    assert wishes(without)[0][3] == 0


def test_a_reg_id_behind_a_proxy_that_does_not_know_it_is_439(context: Context) -> None:
    contact = ("Contact", f"<sip:a@h>;{INSTANCE};reg-id=2")
    proxy = ("Via", "SIP/2.0/UDP 198.51.100.8;branch=z9hG4bK0")
    outbound = ("Supported", "outbound")
    assert status(register(context, contact, proxy, outbound)) == 439
    assert wishes(register(context, contact, proxy, outbound, ("Path", "<sip:x@198.51.100.8;lr;ob>")))[0][3] == 2


def test_who_takes_one_contact_back_and_brings_another_one_wants_its_device_moved(context: Context) -> None:
    contacts = f"<sip:a@new>;{INSTANCE}, <sip:a@old>;{INSTANCE};expires=0"
    assert [wish[:2] for wish in wishes(register(context, ("Contact", contacts)))] == [("sip:a@new", 3600)]


def test_a_star_is_all_contacts_and_needs_expires_0(context: Context) -> None:
    asked = register(context, ("Contact", "*"), ("Expires", "0"))
    assert isinstance(asked, Asked)
    assert asked.everything
    assert status(register(context, ("Contact", "*"))) == 400
    assert status(register(context, ("Contact", "*, <sip:a@h>"), ("Expires", "0"))) == 400


@pytest.mark.parametrize(
    ("field", "answer"),
    [
        (("Require", "x-new"), 420),
        (("Contact", "<sip:a@h>;expires=10"), 423),
        (("Contact", "<sips:a@h>"), 400),
        (("Contact", "<mailto:a@h>"), 400),
        (("Contact", ", ".join(f"<sip:{n}@h>" for n in range(4))), 403),
        (("Contact", f"<sip:{'a' * 600}@h>"), 400),
        (("Path", ", ".join(["<sip:a@h;lr>"] * 9)), 403),
    ],
)
def test_what_is_refused_whoever_asks(context: Context, field: tuple[str, str], answer: int) -> None:
    assert status(register(context, field)) == answer


@pytest.mark.parametrize("uri", ["sip:elsewhere.example", "tel:+1", "urn:service:sos", "mailto:a@example.com"])
def test_what_is_no_domain_of_ours_is_404(context: Context, uri: str) -> None:
    assert status(register(context, uri=uri)) == 404


@pytest.mark.parametrize(
    ("uri", "to", "why"),
    [
        ("sip:example.com", "<sip:1001@elsewhere.example>", "elsewhere.example is no domain of ours"),
        ("sip:elsewhere.example", "<sip:1001@example.com>", "elsewhere.example is no domain of ours"),
        ("sip:example.com", "<sip:example.com>", "To names no user"),
    ],
)
def test_the_log_says_what_is_wrong_with_an_address(context: Context, uri: str, to: str, why: str) -> None:
    assert register(context, uri=uri, to=to) == Reject("registrations", 404, why)
