"""What is found out: addresses of interfaces, zones of peers and targets, what a zone's name says."""

from __future__ import annotations

import pytest

from sbc.b2bua import DigitsBy, Interworking, Listener, Mode, Redirection, Refer
from sbc.media import MediaAddress, MediaProfile
from sbc.service.config import Config, ConfigError, effective, parse
from sbc.sip import Address
from tests.support.machine import EDGE, FakeMachine

BOTH = '[zones.public]\naddress = "203.0.113.10"\n[zones.private]\naddress = "10.0.0.1"\n'


def config(text: str, machine: FakeMachine = EDGE) -> Config:
    return parse(text, "t.toml", machine)


def faults(text: str, machine: FakeMachine = EDGE) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(text, machine)
    return [str(fault) for fault in caught.value.faults]


def origin(text: str, key: str, machine: FakeMachine = EDGE) -> str:
    (found,) = [setting.origin for setting in effective(config(text, machine)) if setting.key == key]
    return found


def test_the_zone_named_public_is_open_and_others_are_hidden() -> None:
    zones = config(BOTH).network.zones
    assert [(z.name, z.open, z.hidden) for z in zones.values()] == [("public", True, False), ("private", False, True)]
    assert origin(BOTH, "zones.private.hidden") == "inferred: the zone is not named 'public'"


def test_what_a_zone_says_of_itself_counts() -> None:
    zone = config('[zones.public]\naddress = "203.0.113.10"\nopen = false\nhidden = true\n').network.zones["public"]
    assert (zone.open, zone.hidden) == (False, True)


def test_peers_are_trusted_and_others_are_not_unless_it_is_said() -> None:
    pbx = '[peers.pbx]\nzone = "private"\naddress = "10.0.0.5"\n'
    network = config(BOTH + pbx).network
    assert [network.peers["pbx"].trusted, network.zones["public"].trusted] == [True, False]
    network = config(
        BOTH.replace("[zones.private]", "trusted = true\n[zones.private]") + pbx + "trusted = false\n"
    ).network
    assert [network.peers["pbx"].trusted, network.zones["public"].trusted] == [False, True]


def test_what_is_forced_on_the_legs_of_a_peer_or_of_a_zones_strangers() -> None:
    keys = 'reliable = "always"\nsession_timer = "never"\nredirect = "pass"\nrefer = "end"\ndtmf = "rtp"\n'
    pbx = '[peers.pbx]\nzone = "private"\naddress = "10.0.0.5"\n'
    network = config(BOTH.replace("[zones.private]", keys + "[zones.private]") + pbx).network
    forced = Interworking(Mode.ALWAYS, Redirection.PASS, Mode.NEVER, Refer.END, DigitsBy.RTP)
    assert [network.zones["public"].how, network.zones["private"].how] == [forced, Interworking()]
    assert network.peers["pbx"].how == Interworking()
    assert config(BOTH + pbx + keys).network.peers["pbx"].how == forced


def test_a_peer_that_wants_digits_by_info_has_no_telephone_events() -> None:
    pbx = '[peers.pbx]\nzone = "private"\naddress = "10.0.0.5"\ndtmf = "info"\n'
    peer = config(BOTH + pbx).network.peers["pbx"]
    assert peer.how.dtmf is DigitsBy.INFO
    assert peer.media == MediaProfile(deny=("telephone-event",))


def test_codecs_of_a_peer_and_of_a_zones_strangers() -> None:
    keys = (
        'codecs_allowed = ["PCM*", "video/*"]\ncodecs_denied = "PCMU"\ncodecs_first = "PCMA"\ncodecs_offered = "PCMA"\n'
    )
    pbx = '[peers.pbx]\nzone = "private"\naddress = "10.0.0.5"\n'
    network = config(BOTH.replace("[zones.private]", keys + "[zones.private]") + pbx).network
    said = MediaProfile(("PCM*", "video/*"), ("PCMU",), ("PCMA",), ("PCMA",))
    assert [network.zones["public"].media, network.peers["pbx"].media] == [said, MediaProfile()]
    assert config(BOTH + pbx + keys).network.peers["pbx"].media == said


def test_each_address_gets_a_listener_for_each_transport() -> None:
    text = '[zones.public]\naddress = ["203.0.113.10", "[2001:db8::10]:5080"]\nport = 5070\ntransports = "tcp"\n'
    v4, v6 = Address("203.0.113.10", 5070), Address("2001:db8::10", 5080)
    assert config(text).network.zones["public"].listeners == (Listener("TCP", v4, v4), Listener("TCP", v6, v6))


def test_an_interface_stands_for_its_addresses() -> None:
    text = '[zones.public]\naddress = "eth0"\n'
    zone = config(text).network.zones["public"]
    assert {listener.local.host for listener in zone.listeners} == {"203.0.113.10", "2001:db8::10"}
    assert (zone.media_v4, zone.media_v6) == (
        MediaAddress("203.0.113.10", "203.0.113.10"),
        MediaAddress("2001:db8::10", "2001:db8::10"),
    )
    assert origin(text, "zones.public.address") == "inferred: addresses of eth0"


def test_an_unknown_interface_is_a_fault_with_a_suggestion() -> None:
    (fault,) = faults('[zones.public]\naddress = "eht0"\n')
    assert fault == (
        "t.toml:2: zones.public.address: neither an IP address nor an interface with one: 'eht0'; did you mean 'eth0'?"
    )


def test_an_address_that_cannot_be_told_to_others_is_a_fault() -> None:
    for address in ("0.0.0.0", "::", "224.0.0.1"):
        (fault,) = faults(f'[zones.public]\naddress = "{address}"\n')
        assert "no address that others can be told" in fault


def test_an_address_that_is_not_on_this_machine_is_a_warning_only() -> None:
    (warning,) = config('[zones.public]\naddress = "203.0.113.99"\n').warnings
    assert "203.0.113.99 is no address of this machine (it has 10.0.0.1, 127.0.0.1, 203.0.113.10" in str(warning)
    assert config('[zones.public]\naddress = "127.0.0.9"\n').warnings == [], "all of 127.0.0.0/8 can be used"
    assert config('[zones.public]\naddress = "203.0.113.99"\n', FakeMachine()).warnings == [], "nothing is known"


# -- 1:1 NAT ----------------------------------------------------------------------------------------------------------


def test_an_advertised_address_is_said_in_sip_and_sdp() -> None:
    zone = config('[zones.public]\naddress = "203.0.113.10"\nadvertise = "198.51.100.7"\n').network.zones["public"]
    assert {listener.advertised for listener in zone.listeners} == {Address("198.51.100.7", 5060)}
    assert {listener.local for listener in zone.listeners} == {Address("203.0.113.10", 5060)}
    assert zone.media_v4 == MediaAddress("203.0.113.10", "198.51.100.7")


def test_each_of_several_addresses_can_be_advertised() -> None:
    text = '[zones.public]\naddress = ["203.0.113.10", "10.0.0.1:5080"]\nadvertise = { "10.0.0.1" = "198.51.100.8" }\n'
    zone = config(text).network.zones["public"]
    said = {listener.local.host: listener.advertised for listener in zone.listeners}
    assert said == {"203.0.113.10": Address("203.0.113.10", 5060), "10.0.0.1": Address("198.51.100.8", 5080)}


def test_media_can_have_addresses_of_their_own() -> None:
    text = '[zones.public]\naddress = "203.0.113.10"\nadvertise = "198.51.100.7"\nmedia_address = "10.0.0.1"\n'
    assert config(text).network.zones["public"].media_v4 == MediaAddress("10.0.0.1", "10.0.0.1")
    text += 'media_advertise = "198.51.100.9"\n'
    assert config(text).network.zones["public"].media_v4 == MediaAddress("10.0.0.1", "198.51.100.9")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('advertise = "2001:db8::1"', "the zone has none"),
        ('advertise = { "1.2.3.4" = "198.51.100.7" }', "no address of the zone"),
        ('advertise = { "203.0.113.10" = "2001:db8::1" }', "different families"),
        ('media_address = "2001:db8::10"', "no IPv4 address, although the zone speaks SIP over IPv4"),
        ('media_address = ["203.0.113.10", "203.0.113.11"]', "one IPv4 and one IPv6 address at most"),
    ],
)
def test_advertised_and_media_addresses_must_fit(line: str, why: str) -> None:
    assert why in " ".join(faults(f'[zones.public]\naddress = "203.0.113.10"\n{line}\n'))


def test_one_advertised_address_for_several_is_a_fault() -> None:
    text = '[zones.public]\naddress = ["203.0.113.10", "10.0.0.1"]\nadvertise = "198.51.100.7"\n'
    assert 'say which: { "203.0.113.10" = "...", "10.0.0.1" = "..." }' in faults(text)[0]


# -- the zone of a peer -----------------------------------------------------------------------------------------------


def test_a_peer_is_in_the_only_zone() -> None:
    text = '[zones.edge]\naddress = "10.0.0.1"\n[peers.pbx]\naddress = "pbx.example.com"\n'
    assert config(text).network.peers["pbx"].zone == "edge"
    assert origin(text, "peers.pbx.zone") == "inferred: the only zone"


def test_a_peer_is_in_the_zone_with_an_address_in_its_network() -> None:
    text = BOTH + '[peers.pbx]\naddress = "10.0.0.5:5070"\n'
    peer = config(text).network.peers["pbx"]
    assert (peer.zone, peer.host, peer.port) == ("private", "10.0.0.5", 5070)
    assert origin(text, "peers.pbx.zone") == "inferred: connected route 10.0.0.0/24 on eth1"


def test_a_peer_further_away_is_in_the_zone_that_the_route_leaves_from() -> None:
    machine = FakeMachine({"eth0": ["203.0.113.10/24"], "eth1": ["10.0.0.1/24"]}, {"10.7.0.5": ("eth1", "10.0.0.1")})
    text = BOTH + '[peers.pbx]\naddress = "10.7.0.5"\n'
    assert config(text, machine).network.peers["pbx"].zone == "private"
    assert origin(text, "peers.pbx.zone", machine) == "inferred: route to 10.7.0.5 from 10.0.0.1 on eth1"


def test_a_zone_that_nothing_tells_must_be_given() -> None:
    (fault,) = faults(BOTH + '[peers.pbx]\naddress = "10.7.0.5"\n')
    assert fault == (
        "t.toml:5: peers.pbx.zone: must be given (private or public): 10.7.0.5 does not tell, "
        "no zone's address is on the route to it"
    )
    (fault,) = faults(BOTH + '[peers.pbx]\naddress = "pbx.example.com"\n')
    assert "pbx.example.com is a name" in fault


def test_a_zone_that_is_ambiguous_must_be_given() -> None:
    text = '[zones.a]\naddress = "10.0.0.1"\n[zones.b]\naddress = "10.0.0.2"\n[peers.pbx]\naddress = "10.0.0.5"\n'
    (fault,) = faults(text, FakeMachine({"eth1": ["10.0.0.1/24", "10.0.0.2/24"]}))
    assert "networks of several zones hold it" in fault


def test_loopback_addresses_tell_no_zone() -> None:
    text = '[zones.a]\naddress = "127.0.0.1"\n[zones.b]\naddress = "127.0.0.2"\n[peers.pbx]\naddress = "127.0.0.3"\n'
    assert "must be given (a or b)" in faults(text)[0]


# -- the zone of a route's URIs ---------------------------------------------------------------------------------------


def route_zone(text: str) -> str:
    return config(BOTH + text).route_zones[0]


def test_uris_are_in_the_other_of_two_zones() -> None:
    assert route_zone('[[routes]]\nfrom = "public"\nto = "sip:192.0.2.9"\n') == "private"
    peer = '[peers.pbx]\naddress = "10.0.0.5"\n'
    assert route_zone(peer + '[[routes]]\nfrom = "pbx"\nto = "sip:192.0.2.9"\n') == "public"


def test_uris_are_in_the_zone_that_their_address_tells() -> None:
    assert route_zone('[[routes]]\nto = "sip:10.0.0.9:5070"\n') == "private"


def test_a_route_can_say_where_its_uris_are() -> None:
    assert route_zone('[[routes]]\nzone = "public"\nto = "sip:10.0.0.9:5070"\n') == "public"
    (fault,) = faults(BOTH + '[[routes]]\nzone = "publik"\nto = "sip:10.0.0.9:5070"\n')
    assert fault == "t.toml:6: routes[1].zone: no zone is named 'publik'; did you mean 'public'?"


def test_a_zone_without_uris_has_no_effect_and_is_a_fault() -> None:
    (fault,) = faults(BOTH + '[peers.pbx]\naddress = "10.0.0.5"\n[[routes]]\nzone = "private"\nto = "pbx"\n')
    assert "has no effect" in fault


PBX = BOTH + '[peers.pbx]\nzone = "private"\naddress = "10.0.0.5"\n'
ACCESS = '[access]\ndomain = ["Example.com.", "example.net"]\nregistrar = "pbx"\n'


def test_phones_are_in_the_only_open_zone_and_their_domains_mean_us() -> None:
    found = config(PBX + ACCESS)
    assert found.access is not None
    assert (found.access.zone, found.access.domains) == ("public", ("example.com", "example.net"))
    assert {"example.com", "example.net"} <= found.network.zones["public"].domains


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("public]", "outside]"), "access.zone: must be given"),
        (('registrar = "pbx"', 'registrar = "pbxx"'), "did you mean"),
        (('registrar = "pbx"', 'registrar = "pbx"\nzone = "private"'), "where the phones are"),
        (('registrar = "pbx"', 'registrar = "pbx"\nzone = "privat"'), "access.zone: "),
    ],
)
def test_what_does_not_let_phones_register_is_a_fault(change: tuple[str, str], fault: str) -> None:
    found = faults((PBX + ACCESS).replace(*change))
    assert any(fault in each for each in found), found


# -- phones that register ---------------------------------------------------------------------------------------------

OWN = BOTH + '[access]\ndomain = ["Example.com.", "example.org"]\nregistrar = "local"\n'


def test_the_sbc_can_be_the_registrar_itself() -> None:
    found = config(OWN.replace("[zones.public]", "[zones.public]\nopen = true") + 'algorithms = ["MD5", "SHA-256"]\n')
    assert found.access is not None
    assert (found.access.registrar, found.access.zone) == ("", "public")
    assert found.access.domains == ("example.com", "example.org")
    assert found.access.algorithms == ("SHA-256", "MD5")


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("recheck = 60\n", "access.recheck: has no effect with registrar = 'local'"),
        ("watch = 5\n", "access.watch: has no effect with registrar = 'local'"),
        ('zone = "private"\n', "private is not open"),
        ('[peers.local]\naddress = "10.0.0.5"\nzone = "private"\n', "a peer is called 'local', too"),
    ],
)
def test_what_an_own_registrar_cannot_use_is_a_fault(more: str, fault: str) -> None:
    (found,) = faults(OWN + more)
    assert fault in found


def test_what_only_an_own_registrar_uses_is_a_fault_elsewhere() -> None:
    text = OWN.replace('"local"', '"pbx"') + 'mode = "redirect"\n[peers.pbx]\naddress = "10.0.0.5"\nzone = "private"\n'
    (found,) = faults(text)
    assert "access.mode: has no effect with registrar = 'pbx'" in found
