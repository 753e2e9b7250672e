from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from sbc.b2bua import Settings
from sbc.media import MediaSettings
from sbc.policy import AdmissionSettings, RouteRule
from sbc.service import wiring
from sbc.service.config import Config, parse
from sbc.sip import Address, Limits, Timers
from sbc.store import StoreError, StoreSettings
from sbc.transport import TransportSettings
from tests.support.machine import EDGE

ETC = Path(__file__).parents[2] / "etc"
MINIMAL = (ETC / "examples/minimal.toml").read_text()


def config(text: str = "") -> Config:
    return parse(MINIMAL + text, "t.toml", EDGE)


def test_defaults_of_the_configuration_are_those_of_the_rooms() -> None:
    default = config()
    assert wiring.limits(default) == Limits()
    assert wiring.timers(default) == Timers()
    assert wiring.session_settings(default) == Settings()
    assert wiring.transport_settings(default) == TransportSettings()
    assert wiring.media_settings(default) == MediaSettings(hosts=("203.0.113.10", "10.0.0.1"))
    assert wiring.store_settings(default) == StoreSettings()


EVERY_NUMBER = """
[sip]
t1 = 0.25
t2 = 2
t4 = 3
max_message = 40000
max_header_line = 4000
max_headers = 100
max_uri = 1000
max_transactions = 70
path_safe_size = 1200
udp_receive_buffer = "1M"
user_agent = "edge"
[sip.tcp]
max_connections = 21
max_connections_per_source = 22
idle_timeout = 40
message_timeout = 24
connect_timeout = 25
output_limit = "100k"
[calls]
max_calls = 31
no_answer = 32
longest = 33
target_timeout = 34
session_expires = "10m"
min_session_expires = 120
failover_statuses = 503
emergency = "112"
[media]
ports = "40000-40999"
silence = 41
drain = 42
[records]
keep = 51
max_size = 52
messages = false
spool = "53M"
"""


def test_every_value_arrives_where_it_belongs() -> None:
    changed = config(EVERY_NUMBER)
    timers = Timers(0.25, 2, 3)
    assert wiring.limits(changed) == Limits(40000, 4000, 100, 1000)
    assert wiring.timers(changed) == timers
    assert wiring.session_settings(changed) == replace(
        Settings(),
        user_agent="edge",
        no_answer=32,
        longest_call=33,
        target_timeout=34,
        session_expires=600,
        min_session_expires=120,
        failover_statuses=frozenset({503}),
        timers=timers,
    )
    assert wiring.transport_settings(changed) == TransportSettings(1 << 20, 21, 22, 40, 24, 25, 100 << 10)
    assert wiring.media_settings(changed) == replace(wiring.media_settings(config()), silence=41, drain=42)
    assert asdict(wiring.store_settings(changed)).items() >= {
        ("keep", 51.0), ("max_size", 52), ("messages", False), ("spool", 53 << 20)
    }  # fmt: skip


def test_limits_reach_the_stack_the_chain_and_the_plane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: dict[str, tuple[Any, ...]] = {}

    def remembering(name: str) -> Callable[..., None]:
        return lambda *args: told.__setitem__(name, args)

    for name in ("SipStack", "build_chain", "UserspacePlane", "B2bua"):
        monkeypatch.setattr(wiring, name, remembering(name))
    parts = wiring.build(config(EVERY_NUMBER.replace("[records]", f'[records]\npath = "{tmp_path}/c"')), Clock())
    parts.store.close()
    assert told["SipStack"][-2:] == (70, 1200)
    assert told["build_chain"][-1] == AdmissionSettings(max_calls=31, emergency=("112",))
    assert told["UserspacePlane"][1:] == ((40000, 40999, "*"),)


def test_a_via_says_the_advertised_address() -> None:
    text = '[zones.public]\naddress = ["10.0.0.1", "[2001:db8::10]:5080"]\n'
    text += 'advertise = "198.51.100.7"\ntransports = "udp"\n'
    assert wiring.sent_by(parse(text, "t.toml", EDGE)) == {
        ("public", "UDP", Address("10.0.0.1", 5060)): "198.51.100.7:5060",
        ("public", "UDP", Address("2001:db8::10", 5080)): "[2001:db8::10]:5080",
    }


def test_routes_carry_their_place_in_the_file_as_their_name() -> None:
    text = '[[routes]]\nnumber = "0900*"\nreject = 403\n'
    text += '[[routes]]\nfrom = "public"\ndomain = "*.example"\nto = "sip:10.0.0.9"\n'
    text += '[[routes]]\nemergency = true\nto = "pbx"\n'
    text += '[[routes]]\nfrom = "pbx"\nto = ["pbx", ["pbx", "sip:10.0.0.9"]]\nring = "20s"\nzone = "private"\n'
    assert wiring.routes(config(text)) == (
        RouteRule("route at t.toml:9", numbers=("0900*",), reject=403),
        RouteRule("route at t.toml:12", "public", domains=("*.example",), to=("sip:10.0.0.9",), zone="private"),
        RouteRule("route at t.toml:16", to=("pbx",), emergency=True),
        RouteRule("route at t.toml:19", "pbx", to=("pbx", ("pbx", "sip:10.0.0.9")), ring=20.0, zone="private"),
    )


def test_all_parts_are_built_and_no_socket_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "new/calls.sqlite"
    parts = wiring.build(config(f'[records]\npath = "{file}"\n'), Clock())
    assert file.exists()
    assert file.parent.stat().st_mode & 0o7 == 0, "who called whom is nobody else's business"
    parts.store.close()


def test_a_record_of_calls_that_cannot_be_had_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        wiring.build(config(f'[records]\npath = "{tmp_path}/file/calls.sqlite"\n'), Clock())
