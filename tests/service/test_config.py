from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.service.config import Config, ConfigError, Fault, default_config, effective, load, parse
from sbc.service.models import Route, keys_of
from tests.support.machine import EDGE, FakeMachine

ETC = Path(__file__).parents[2] / "etc"
MINIMAL = (ETC / "examples/minimal.toml").read_text()


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "t.toml", EDGE)
    return [str(fault) for fault in caught.value.faults]


def table(config: Config) -> dict[str, Any]:
    return {setting.key: setting.value for setting in effective(config)}


# -- the reference configuration --------------------------------------------------------------------------------------

REFERENCE = (ETC / "sbc.toml").read_text()
UNCOMMENTED = re.sub(r"^#([a-z_0-9]+ = )", r"\1", REFERENCE, flags=re.MULTILINE)


@pytest.fixture
def in_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/sbc")


@pytest.mark.usefixtures("in_service")
def test_defaults_in_the_reference_are_the_real_ones() -> None:
    as_is = table(parse(REFERENCE, "sbc.toml", EDGE))
    with_all_keys = table(parse(UNCOMMENTED, "sbc.toml", EDGE))
    assert with_all_keys == as_is


@pytest.mark.usefixtures("in_service")
def test_the_reference_has_every_key() -> None:
    missing = [s.key for s in effective(parse(UNCOMMENTED, "sbc.toml", EDGE)) if not s.origin.startswith("sbc.toml:")]
    assert [key for key in missing if not key.startswith("routes")] == []
    of_routes = REFERENCE[REFERENCE.index("# -- routes") :]
    assert [key for key in keys_of(Route) if not re.search(rf"(?m)(^#?|`){key} = ", of_routes)] == []


def test_the_reference_is_sound_as_it_is() -> None:
    assert load(ETC / "sbc.toml", EDGE).warnings == []


@pytest.mark.parametrize("file", sorted((ETC / "examples").iterdir()), ids=lambda file: file.name)
def test_examples_are_sound(file: Path) -> None:
    machine = FakeMachine({"eth0": ["203.0.113.10/24", "2001:db8::10/64", "172.31.0.10/24"], "eth1": ["10.0.0.1/24"]})
    assert load(file, machine).warnings == []


# -- faults -----------------------------------------------------------------------------------------------------------


def test_all_faults_are_told_at_once_each_with_its_place() -> None:
    text = """\
[service]
log = "jason"
drain_grac = 3
[sip]
t1 = "abc"
t2 = true
max_headers = 16.5
[sip.tcp]
idle_timeout = 3
[zones.public]
address = ["203.0.113.10:99999", "10.0.0.0.1"]
transport = "udp"
[zones."bad name"]
address = "10.0.0.1"
[peers.pbx]
zone = "privat"
[peers.pbx2]
zone = "privat"
address = "10.0.0.6"
[[routes]]
from = "x"
number = "/((/"
too = "q"
[[routes]]
from = "pubic"
to = "pbx"
[media]
ports = "20001-20100"
[calls]
failover_statuses = [200, "x"]
[record]
"""
    assert faults(text) == [
        "t.toml:2: service.log: expected 'auto', 'json' or 'text', not 'jason'; did you mean 'json'?",
        "t.toml:3: service.drain_grac: unknown key; did you mean 'drain_grace'?",
        't.toml:5: sip.t1: expected seconds, or a text such as "30s", "5m", "12h", "7d"; not \'abc\'',
        "t.toml:6: sip.t2: expected a number of seconds, not True",
        "t.toml:7: sip.max_headers: expected a whole number, not 16.5",
        "t.toml:9: sip.tcp.idle_timeout: must be greater than or equal to 32, not 3",
        "t.toml:11: zones.public.address[1]: expected a port from 1 to 65535 after the colon; not '203.0.113.10:99999'",
        "t.toml:11: zones.public.address[2]: expected an IP address or a name, with :port if need be; not '10.0.0.0.1'",
        "t.toml:12: zones.public.transport: unknown key; did you mean 'transports'?",
        "t.toml:13: zones.bad name: a name begins with a letter and has letters, digits, - and _ only, 63 at most; "
        "not 'bad name'",
        "t.toml:15: peers.pbx.address: must be given",
        "t.toml:22: routes[1].number: not a regular expression: missing ), unterminated subpattern at position 1; "
        "not '/((/'",
        "t.toml:23: routes[1].too: unknown key; did you mean 'to'?",
        "t.toml:28: media.ports: a range begins with an even port (RTP, with RTCP on the odd one above): "
        "20002 or 20000; not '20001-20100'",
        "t.toml:30: calls.failover_statuses[2]: expected a whole number, not 'x'",
        "t.toml:31: record: unknown key; did you mean 'records'?",
    ]


def test_what_is_wrong_together_is_told_beside_what_is_wrong_by_itself() -> None:
    text = MINIMAL.replace('"private"', '"privat"') + 'transport = "udp"\n[[routes]]\nfrom = "pubic"\nto = "pbx"\n'
    assert faults(text) == [
        "t.toml:7: peers.pbx.zone: no zone is named 'privat'; did you mean 'private'?",
        "t.toml:9: peers.pbx.transport: unknown key; did you mean 'transports'?",
        "t.toml:11: routes[1].from: no zone or peer is named 'pubic'; did you mean 'public'?",
    ]


def test_a_table_with_faults_is_not_called_missing() -> None:
    text = '[zones.public]\naddress = "203.0.113.10"\n[zones.private]\naddres = "10.0.0.1"\n'
    text += '[peers.pbx]\nzone = "private"\naddress = 5\n[[routes]]\nfrom = "pbx"\nto = "pbx"\n'
    assert faults(text) == [
        "t.toml:3: zones.private.address: must be given",
        "t.toml:4: zones.private.addres: unknown key; did you mean 'address'?",
        "t.toml:7: peers.pbx.address: expected a text in quotes, not 5",
    ]


def test_a_route_needs_one_outcome() -> None:
    expected = "t.toml:9: routes[1]: needs either to (where calls go) or reject (the status they get)"
    assert faults(MINIMAL + '[[routes]]\nfrom = "public"\n') == [expected]
    assert faults(MINIMAL + '[[routes]]\nto = "pbx"\nreject = 403\n') == [expected]


def test_a_route_may_have_targets_that_are_tried_together() -> None:
    route = '[[routes]]\nto = ["pbx", ["pbx", "sip:10.0.0.9"]]\nzone = "private"\nring = 15\n'
    assert parse(MINIMAL + route, "t.toml", EDGE).document.routes[0].to == ("pbx", ("pbx", "sip:10.0.0.9"))
    assert faults(MINIMAL + '[[routes]]\nto = ["pbx", ["pbx", "sip:x:y"], [], 5]\n') == [
        "t.toml:10: routes[1].to[2][2]: expected a port from 1 to 65535 after the colon; not 'sip:x:y'",
        "t.toml:10: routes[1].to[3]: at least one is needed",
        "t.toml:10: routes[1].to[4]: expected a text in quotes, not 5",
    ]
    (fault,) = faults(MINIMAL + "[[routes]]\nreject = 403\nring = 5\n")
    assert "ring has no effect" in fault


@pytest.mark.parametrize("written", ["1.5", '"1500ms"', "0", "100000", '"x"'])
def test_sip_counts_whole_seconds(written: str) -> None:
    assert len(faults(MINIMAL + f"[calls]\nsession_expires = {written}\n")) == 1


def test_timers_must_be_in_order() -> None:
    assert faults(MINIMAL + "[sip]\nt1 = 3\nt2 = 1\n")[0].startswith("t.toml:9: sip: t2, the longest")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "t.toml:1: zones: must be given"),
        ("[zones]\n", "t.toml:1: zones: at least one is needed"),
        ("zones = 3\n", "t.toml:1: zones: expected a table, not 3"),
        ("a = 1\nb = \n", "t.toml:2: not TOML: Invalid value (column 5)"),
        ("a = [\n", "t.toml:2: not TOML: Invalid value"),
        ("a = 1\na = 2\n", "t.toml:2: not TOML: Cannot overwrite a value (column 6)"),
        ("[zones.public]\naddress = []\n", "t.toml:2: zones.public.address: at least one is needed"),
        ('[zones.public]\naddress = ["10.0.0.1", "10.0.0.1"]\n', "the same value stands here twice"),
        ('[zones.public]\naddress = "10.0.0.1"\ntransports = "tls"\n', "expected 'udp' or 'tcp', not 'tls'"),
        ('peers = []\n[zones.public]\naddress = "10.0.0.1"\n', "t.toml:1: peers: expected a table, not []"),
        ('routes = {}\n[zones.public]\naddress = "10.0.0.1"\n', "t.toml:1: routes: expected a list, not {}"),
        ('[zones.public]\naddress = "10.0.0.1"\n[sip]\nuser_agent = "a\\r\\nVia: x"\n', "sip.user_agent: "),
    ],
)
def test_faults_of_many_kinds_have_a_place_and_plain_words(text: str, expected: str) -> None:
    assert expected in faults(text)[0]


def test_a_file_that_cannot_be_read_is_a_fault_too(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    for data, why in ((None, "cannot be read: No such file"), (b"a = 1\nb = '\xff'", ":2: not UTF-8")):
        if data is not None:
            file.write_bytes(data)
        with pytest.raises(ConfigError, match=re.escape(why)):
            load(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ConfigError, match="longer than"):
        load(file)


toml = st.recursive(
    st.booleans()
    | st.integers(-10, 70000)
    | st.sampled_from(["", "10.0.0.1", "pbx", "a", "/(/", "sip:x", "udp", "5s"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["public", "a b", "address", "zone", "to", "from", "number", "transports", "advertise", "port"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {written(each)}' for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


@given(st.dictionaries(st.sampled_from(["zones", "peers", "routes", "sip", "media", "other"]), toml, max_size=4))
def test_whatever_stands_there_only_config_errors_come_of_it(document: dict[str, Any]) -> None:
    text = "".join(f"{key} = {written(value)}\n" for key, value in document.items())
    found: list[Fault] = []
    try:
        assert effective(parse(text, "t.toml", EDGE))
    except ConfigError as error:
        found = error.faults
    assert all(fault.line and fault.message for fault in found)


# -- what is in force -------------------------------------------------------------------------------------------------


def test_every_setting_tells_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/sbc")
    origins = {s.key: s.origin for s in effective(parse(MINIMAL + "[sip]\nt1 = 1\n", "etc/sbc.toml", EDGE))}
    assert origins["peers.pbx.address"] == "sbc.toml:8"
    assert origins["sip.t1"] == "sbc.toml:10"
    assert origins["sip.t2"] == "default"
    assert origins["zones.private.hidden"] == "inferred: the zone is not named 'public'"
    assert origins["service.state_directory"] == "inferred: $STATE_DIRECTORY"


def test_paths_begin_where_an_operator_expects_it(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(MINIMAL + '[service]\nstate_directory = "state"\n[records]\npath = "old/calls.sqlite"\n')
    config = load(file, EDGE)
    assert config.state_directory == tmp_path / "state"
    assert config.database == tmp_path / "state/old/calls.sqlite"


def test_the_embedded_default_is_two_zones_and_a_peer_on_loopback() -> None:
    config = default_config(5070, FakeMachine())
    assert config.embedded
    assert config.warnings == []
    sockets = {(z.name, x.local) for z in config.network.zones.values() for x in z.listeners}
    assert sockets == {("public", ("127.0.0.1", 5070)), ("private", ("127.0.0.2", 5070))}
    echo = config.network.peers["echo"]
    assert (echo.zone, echo.host, echo.port) == ("private", "127.0.0.3", 5070)
    assert {s.origin for s in effective(config) if s.key == "peers.echo.zone"} == {"embedded default:14"}
