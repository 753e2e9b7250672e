"""Values that are right by themselves and wrong together."""

from __future__ import annotations

import pytest

from sbc.service.config import Config, ConfigError, parse
from tests.support.machine import EDGE

BOTH = '[zones.public]\naddress = "203.0.113.10"\n[zones.private]\naddress = "10.0.0.1"\n'
PBX = '[peers.pbx]\naddress = "10.0.0.5"\n'


def config(text: str) -> Config:
    return parse(text, "t.toml", EDGE)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(text)
    return [str(fault) for fault in caught.value.faults]


def test_a_sound_configuration_has_neither_fault_nor_warning() -> None:
    assert config(BOTH + PBX + '[[routes]]\nfrom = "public"\nto = "pbx"\n').warnings == []


def test_no_socket_is_bound_twice() -> None:
    assert faults('[zones.a]\naddress = ["10.0.0.1", "10.0.0.1:5060"]\ntransports = "udp"\n') == [
        "t.toml:2: zones.a.address: 10.0.0.1 port 5060 over UDP twice"
    ]
    assert "10.0.0.1 port 5060 over UDP is zone a's" in " ".join(
        faults('[zones.a]\naddress = "10.0.0.1"\n[zones.b]\naddress = "10.0.0.1"\n')
    )


def test_two_zones_on_one_address_are_possible_but_worth_a_warning() -> None:
    text = '[zones.a]\nopen = true\naddress = "10.0.0.1"\n[zones.b]\nopen = true\naddress = "10.0.0.1:5080"\n'
    (warning,) = config(text).warnings
    assert "shares an address with zone a" in str(warning)


def test_media_ports_must_leave_the_sip_port_alone() -> None:
    assert faults(BOTH + PBX + '[media]\nports = "5000-5999"\n')[0] == (
        "t.toml:8: media.ports: 5000-5999 holds port 5060, on which zone public speaks SIP"
    )


def test_a_peer_cannot_have_a_zones_name() -> None:
    assert "a zone has this name" in faults(BOTH + '[peers.public]\naddress = "10.0.0.5"\n')[0]


def test_two_peers_cannot_be_in_one_place() -> None:
    assert faults(BOTH + PBX + '[peers.pbx2]\naddress = "10.0.0.5:5060"\n') == [
        "t.toml:8: peers.pbx2.address: 10.0.0.5 port 5060 is peer pbx"
    ]


def test_two_peers_on_one_host_are_possible_but_worth_a_warning() -> None:
    (warning,) = config(BOTH + PBX + '[peers.pbx2]\naddress = "10.0.0.5:5070"\n').warnings
    assert "calls that come from 10.0.0.5 count as pbx2's, not as pbx's" in str(warning)


def test_sources_of_two_peers_cannot_overlap() -> None:
    text = (
        BOTH
        + PBX
        + 'sources = "10.1.0.0/16"\n[peers.pbx2]\naddress = "10.0.0.6"\nsources = ["10.2.0.0/16", "10.1.2.3"]\n'
    )
    assert faults(text) == ["t.toml:10: peers.pbx2.sources[2]: 10.1.2.3/32 overlaps 10.1.0.0/16 of peer pbx"]


def test_a_peer_cannot_be_the_sbc_itself() -> None:
    assert faults(BOTH + '[peers.pbx]\naddress = "10.0.0.1"\n')[0].endswith("10.0.0.1 port 5060 is this SBC itself")


def test_a_peer_must_be_within_reach_of_its_zone() -> None:
    text = BOTH + '[peers.pbx]\nzone = "private"\naddress = "2001:db8::5"\n'
    assert "zone private has no IPv6 address" in faults(text)[0]
    text = (
        '[zones.a]\naddress = "10.0.0.1"\ntransports = "udp"\n[peers.pbx]\naddress = "10.0.0.5"\ntransports = "tcp"\n'
    )
    assert "zone a does not speak tcp" in faults(text)[0]


def test_a_zone_from_which_nobody_can_call_is_worth_a_warning() -> None:
    (warning,) = config(BOTH).warnings
    assert str(warning).startswith("t.toml:3: zones.private: nobody can call from here")


def test_routes_name_what_there_is() -> None:
    assert faults(BOTH + PBX + '[[routes]]\nfrom = "publik"\nto = ["pbx", "pbx2", "private"]\n') == [
        "t.toml:8: routes[1].from: no zone or peer is named 'publik'; did you mean 'public'?",
        "t.toml:9: routes[1].to[2]: no peer is named 'pbx2'; did you mean 'pbx'?",
        "t.toml:9: routes[1].to[3]: no peer is named 'private' (there is: pbx)",
    ]


def test_a_uri_must_be_within_reach_of_its_zone() -> None:
    text = '[zones.public]\naddress = "203.0.113.10"\ntransports = "udp"\n[[routes]]\nfrom = "public"\n'
    both = [
        "t.toml:6: routes[1].to[1]: zone public has no IPv6 address to reach 2001:db8::1 from",
        "t.toml:6: routes[1].to[2]: zone public does not speak tcp",
    ]
    assert faults(text + 'to = ["sip:[2001:db8::1]", "sip:192.0.2.1;transport=tcp"]\n') == both


def test_a_route_that_no_call_reaches_is_a_fault() -> None:
    route = '[[routes]]\nnumber = "49*"\nto = "pbx"\n'
    assert faults(BOTH + PBX + route + route) == [
        "t.toml:10: routes[2]: never used: the route at t.toml:7 takes the same calls before it"
    ]


def test_a_route_for_emergency_calls_is_no_other_ones() -> None:
    route = '[[routes]]\nto = "pbx"\n'
    numbers = '[calls]\nemergency = "112"\n'
    assert config(BOTH + PBX + numbers + route + route + "emergency = true\n").warnings == []


def test_a_route_for_emergency_calls_without_numbers_is_worth_a_warning() -> None:
    (warning,) = config(BOTH + PBX + '[[routes]]\nto = "pbx"\nemergency = true\n').warnings
    assert "only urn:service:sos" in str(warning)


def test_targets_that_are_tried_together_are_named_with_their_place() -> None:
    assert faults(BOTH + PBX + '[[routes]]\nto = ["pbx", ["pbx", "pbx2"]]\n') == [
        "t.toml:8: routes[1].to[2][2]: no peer is named 'pbx2'; did you mean 'pbx'?"
    ]


def test_targets_of_several_zones_cannot_be_tried_together() -> None:
    carrier = '[peers.carrier]\nzone = "public"\naddress = "203.0.113.20"\n'
    (warning,) = config(BOTH + PBX + carrier + '[[routes]]\nto = [["pbx", "carrier"]]\n').warnings
    assert str(warning).endswith("not all of them are tried together: they are in zones private and public")


def test_session_timers_go_together() -> None:
    assert faults(BOTH + PBX + "[calls]\nsession_expires = 100\nmin_session_expires = 120\n") == [
        "t.toml:8: calls.session_expires: is less than calls.min_session_expires (120)"
    ]


def test_session_timers_that_are_too_short_are_worth_a_warning() -> None:
    (warning,) = config(BOTH + PBX + "[calls]\nmin_session_expires = 5\n").warnings
    assert "no less than 90 seconds" in str(warning)
