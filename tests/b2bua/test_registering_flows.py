"""Flows of RFC 5626, several contacts, and what else a REGISTER and its answer may carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import Access, FlowLost, KeepBinding, Settings
from sbc.sip import Address, Hop
from tests.support.ladder import Ladder
from tests.support.world import OUTSIDE

ACCESS = Access("public", ("example.com",), "pbx", expires_udp=60, max_contacts=2, key=b"site")
INSTANCE = '+sip.instance="<urn:uuid:1>"'
TAKEN = f"callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;{INSTANCE};expires=3600"
PASSED = f"callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;{INSTANCE};expires=3600"


@pytest.fixture
def access(new_ladder: Callable[..., Ladder]) -> Ladder:
    ladder = new_ladder(settings=Settings(access=ACCESS))
    ladder.party("second", Address("198.51.100.7", 5071), "sip:example.com")
    return ladder


def registered(ladder: Ladder) -> tuple[int, int]:
    return ladder.edge.b2bua.registered.counts()


def register_flow(name: str, reg_id: int) -> str:
    contact = f"<sip:1001@192.168.1.5:5060;ob>;{INSTANCE};reg-id={reg_id}"
    return f"""
        {name} -> REGISTER sip:example.com | Supported: path, outbound | Contact: {contact} | Call-ID: flow-{reg_id}
        {PASSED}
        {TAKEN}
        {name} <- 200 REGISTER | Require: outbound | Flow-Timer: 25
    """


def test_two_flows_of_a_phone_are_one_contact_inside_and_the_older_one_is_used_when_the_newer_fails(
    access: Ladder,
) -> None:
    access.play(register_flow("caller", 1), register_flow("second", 2))
    assert registered(access) == (1, 2)
    access.edge.tell(FlowLost(Hop("public", "UDP", OUTSIDE, Address("198.51.100.7", 5071))))
    access.play("""
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        caller <- INVITE sip:1001@192.168.1.5:5060;ob sdp
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
    """)


def test_a_flow_that_is_silent_is_given_up_for_the_other_one(access: Ladder) -> None:
    access.play(register_flow("caller", 1), "1 s", register_flow("second", 2))
    access.parties["callee"].send(f"INVITE sip:{access['token']}@10.0.0.1 sdp".split(), [])
    access.wait(4.1)
    access.parties["second"].inbox.clear()
    access.play("""
        callee <- 100
        caller <- INVITE sip:1001@192.168.1.5:5060;ob sdp
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
    """)
    access.wait(40.0)
    access.parties["second"].inbox.clear()


def two_flows(access: Ladder) -> None:
    """The second one is the newer one."""
    access.play(register_flow("caller", 1), "1 s", register_flow("second", 2))


def test_an_edge_of_the_phone_that_has_lost_the_flow_sends_the_call_to_the_other_one_at_once(access: Ladder) -> None:
    two_flows(access)
    access.play("""
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        second <- INVITE sip:1001@192.168.1.5:5060;ob sdp
        second -> 430
        second <- ACK
        caller <- INVITE sip:1001@192.168.1.5:5060;ob sdp
        caller -> 430
        caller <- ACK
        callee <- 480
        callee -> ACK
    """)


def test_a_phone_that_has_answered_is_not_asked_again_over_its_other_flow(access: Ladder) -> None:
    """RFC 5626 section 7: "The targeted instance has already provided its response"."""
    two_flows(access)
    access.play("""
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        second <- INVITE sip:1001@192.168.1.5:5060;ob sdp
        second -> 500
        second <- ACK
        callee <- 500
        callee -> ACK
        callee -> MESSAGE sip:$token@10.0.0.1 text
        second <- MESSAGE sip:1001@192.168.1.5:5060;ob text
        second -> 503 MESSAGE
        callee <- 503 MESSAGE
    """)


def test_a_phone_that_nothing_comes_back_from_is_a_480_for_who_wants_it(access: Ladder) -> None:
    """Not a 503, by which the PBX would take the SBC itself for out of service (RFC 3261 section 21.5.4)."""
    access.play(register_flow("caller", 1))
    access.edge.fails = lambda hop: hop.zone == "public"
    access.play("""
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        callee <- 480
        callee -> ACK
        callee -> MESSAGE sip:$token@10.0.0.1 text
        callee <- 480 MESSAGE
    """)


def test_a_message_takes_the_other_flow_too(access: Ladder) -> None:
    two_flows(access)
    access.play("""
        callee -> MESSAGE sip:$token@10.0.0.1 text
        second <- MESSAGE sip:1001@192.168.1.5:5060;ob text
        second -> 430 MESSAGE
        caller <- MESSAGE sip:1001@192.168.1.5:5060;ob text
        caller -> 200 MESSAGE
        callee <- 200 MESSAGE
        callee -> MESSAGE sip:$token@10.0.0.1 text
        second <- MESSAGE sip:1001@192.168.1.5:5060;ob text
        second -> 430 MESSAGE
        caller <- MESSAGE sip:1001@192.168.1.5:5060;ob text
        caller -> 430 MESSAGE
        callee <- 480 MESSAGE
    """)


def test_one_of_two_flows_that_is_unregistered_leaves_the_device_to_the_registrar(access: Ladder) -> None:
    access.play(register_flow("caller", 1), register_flow("second", 2))
    contact = f"<sip:1001@192.168.1.5:5060;ob>;{INSTANCE};reg-id=1;expires=0"
    access.play(
        f"caller -> REGISTER sip:example.com | Supported: outbound | Contact: {contact} | CSeq: 9 REGISTER"
        " | Call-ID: flow-1",
        PASSED,
        TAKEN,
        "caller <- 200 REGISTER",
    )
    assert registered(access) == (1, 1)


def test_a_star_takes_all_devices_of_the_user_out(access: Ladder) -> None:
    access.play(
        register_flow("caller", 1),
        """
        second -> REGISTER sip:example.com | Contact: * | Expires: 0
        callee <- REGISTER sip:example.com | Contact: * | Expires: 0
        callee -> 200 REGISTER | -Contact
        second <- 200 REGISTER | -Contact
        """,
    )
    assert registered(access) == (0, 0)


def test_who_asks_what_is_registered_gets_the_phones_own_contacts_and_nothing_of_the_inside(access: Ladder) -> None:
    access.play(
        register_flow("caller", 1),
        """
        second -> REGISTER sip:example.com | -Contact
        callee <- REGISTER sip:example.com | -Contact
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600, <sip:desk@10.0.0.77>;expires=5
        second <- 200 REGISTER | Contact: <sip:1001@192.168.1.5:5060;ob>;*;expires=60
        """,
    )


def test_what_the_registrar_gives_crosses_with_our_domain_in_place_of_its_own(access: Ladder) -> None:
    given = 'pub-gruu="sip:1001@10.0.0.5;gr=urn:uuid:1";temp-gruu="sip:tgruu.7hs@example.com;gr"'
    shown = 'pub-gruu="sip:1001@example.com;gr=urn:uuid:1";temp-gruu="sip:tgruu.7hs@example.com;gr"'
    access.play(
        f"""
        caller -> REGISTER sip:example.com | Contact: <sip:1001@192.168.1.5>;{INSTANCE};q=0.7 | Supported: gruu
        | Path: <sip:edge@198.51.100.7;lr>
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;{INSTANCE};q=0.7;expires=3600
        | Supported: gruu | -Path
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;{given};expires=3600
        | P-Associated-URI: <sip:1001@10.0.0.5>, <tel:+4930123>
        caller <- 200 REGISTER | Contact: <sip:1001@192.168.1.5>;{INSTANCE};q=0.7;{shown};expires=60
        | P-Associated-URI: <sip:1001@example.com>, <tel:+4930123> | Path: <sip:edge@198.51.100.7;lr>
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        caller <- INVITE sip:1001@192.168.1.5 sdp | Route: <sip:edge@198.51.100.7;lr>
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
        """
    )


@pytest.mark.parametrize("gruu", ["sip:1001@10.0.0.5;gr=10.0.0.5", "sip:1001@example.com;gr=%31%30.0.0.5"])
def test_what_the_registrar_gives_says_nothing_of_where_it_is(access: Ladder, gruu: str) -> None:
    access.play(f"""
        caller -> REGISTER sip:example.com | Contact: <sip:1001@192.168.1.5>;{INSTANCE} | Supported: gruu
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;*
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600;pub-gruu="{gruu}"
        | P-Associated-URI: <sip:1001@example.com;maddr=10.0.0.5>
        caller <- 200 REGISTER | Contact: <sip:1001@192.168.1.5>;{INSTANCE};expires=60
        | P-Associated-URI: <sip:1001@example.com>
    """)


def test_a_contact_that_the_registrar_does_not_list_is_not_registered(access: Ladder) -> None:
    access.play("""
        caller -> REGISTER sip:example.com
        callee <- REGISTER sip:example.com
        callee -> 200 REGISTER | Contact: <sip:desk@10.0.0.77>;expires=5
        caller <- 200 REGISTER | -Contact
    """)
    assert registered(access) == (0, 0)


def test_a_phone_that_finds_out_its_address_keeps_its_contact_inside(access: Ladder) -> None:
    """As baresip and pjsip do: the old contact is taken back in the same request."""
    access.play("""
        caller -> REGISTER sip:example.com | Contact: <sip:1001@192.168.1.5:5060>
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        caller <- 200 REGISTER
        caller -> REGISTER sip:example.com
        | Contact: <sip:1001@192.168.1.5:5060>;expires=0, <sip:1001@198.51.100.7:5070>
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        caller <- 200 REGISTER | Contact: <sip:1001@198.51.100.7:5070>;expires=60
    """)
    assert registered(access) == (1, 1)


def test_a_user_has_so_many_devices_and_those_that_are_gone_do_not_count(access: Ladder) -> None:
    def device(name: str, number: int, answer: str) -> str:
        return (
            f"{name} -> REGISTER sip:example.com | Call-ID: d{number} | Contact: <sip:d{number}@198.51.100.7:5070>"
            + answer
        )

    let_in = """
        callee <- REGISTER sip:example.com | Contact: *$t{0}@10.0.0.1:5060>;expires=3600
        callee -> 200 REGISTER | Contact: <sip:$t{0}@10.0.0.1:5060>;expires=3600
        caller <- 200 REGISTER
    """.replace("*", "<sip:")
    for number in (1, 2):
        access.play(device("caller", number, let_in.format(number)))
    access.play(device("caller", 3, "\ncaller <- 403 REGISTER"), "75 s")
    access.play(device("caller", 3, let_in.format(3)))
    assert registered(access) == (2, 1)


def test_credentials_are_checked_again_when_it_is_wanted(new_ladder: Callable[..., Ladder]) -> None:
    access = Access("public", ("example.com",), "pbx", expires_udp=60, recheck=100, key=b"site")
    ladder = new_ladder(settings=Settings(access=access))
    passed = """
        caller -> REGISTER sip:example.com
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        caller <- 200 REGISTER
    """
    here = "55 s\ncaller -> REGISTER sip:example.com\ncaller <- 200 REGISTER"
    ladder.play(passed, here, "55 s", passed, here)


def test_the_registrar_gets_its_rate_and_the_others_a_time_to_come_again(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(access=Access("public", ("example.com",), "pbx", rate=10, key=b"k")))
    phone, pbx = ladder.parties["caller"], ladder.parties["callee"]
    for number in range(100):
        phone.send(["REGISTER", "sip:example.com"], [f"Call-ID: {number}", f"Contact: <sip:d@192.168.1.{number}>"])
    ladder.wait(0.0)
    assert len(pbx.inbox) <= 10
    told = [int(each.headers.get("Retry-After") or "") for each in phone.inbox]
    assert len(told) + len(pbx.inbox) == 100
    assert max(told.count(second) for second in told) <= 6, "half of the rate, since each asks twice"
    ladder.wait(40.0)
    phone.inbox.clear()
    pbx.inbox.clear()


def test_who_was_registered_before_a_restart_is_called_without_doing_anything(
    access: Ladder, new_ladder: Callable[..., Ladder]
) -> None:
    access.play(register_flow("caller", 1))
    records = tuple(command.record for command in access.edge.commands if isinstance(command, KeepBinding))
    restarted = new_ladder(settings=Settings(access=ACCESS), bindings=records)
    restarted.play(
        f"""
        callee -> INVITE sip:{access["token"]}@10.0.0.1 sdp
        callee <- 100
        caller <- INVITE sip:1001@192.168.1.5:5060;ob sdp
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
        """
    )


@pytest.mark.parametrize("gone", [{"zone": "former"}, {"local": Address("192.0.2.99", 5060)}])
def test_who_was_registered_at_a_place_that_is_configured_no_more_has_to_register_anew(
    access: Ladder, new_ladder: Callable[..., Ladder], gone: dict[str, Any]
) -> None:
    access.play(register_flow("caller", 1))
    kept = [command.record for command in access.edge.commands if isinstance(command, KeepBinding)]
    records = tuple(record._replace(hop=record.hop._replace(**gone)) for record in kept)
    restarted = new_ladder(settings=Settings(access=ACCESS), bindings=records)
    assert registered(restarted) == (1, 0)
    call = f"callee -> INVITE sip:{access['token']}@10.0.0.1 sdp"
    restarted.play(call, "callee <- 100", "callee <- 480", "callee -> ACK")


def test_a_gateway_registers_many_users_over_one_flow_and_each_is_refreshed_here(access: Ladder) -> None:
    for user in range(2000, 2030):
        who = f"| To: <sip:{user}@example.com> | Contact: <sip:{user}@198.51.100.7:5070> | Call-ID: {user}"
        access.play(f"""
            caller -> REGISTER sip:example.com {who}
            callee <- REGISTER sip:example.com | Contact: <sip:$token{user}@10.0.0.1:5060>;expires=3600
            callee -> 200 REGISTER | Contact: <sip:$token{user}@10.0.0.1:5060>;expires=3600
            caller <- 200 REGISTER | Contact: <sip:{user}@198.51.100.7:5070>;expires=60
        """)
    for user in (2000, 2029):
        who = f"| To: <sip:{user}@example.com> | Contact: <sip:{user}@198.51.100.7:5070> | Call-ID: {user}"
        access.play(f"caller -> REGISTER sip:example.com {who}", "caller <- 200 REGISTER | Contact: *;expires=60")
    assert registered(access) == (30, 30)
