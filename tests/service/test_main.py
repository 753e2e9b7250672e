from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sbc.service import paths
from sbc.service.config import parse
from sbc.service.main import main, toml_text
from tests.support.machine import EDGE

MINIMAL = Path(__file__).parents[2] / "etc/examples/minimal.toml"


def test_check_prints_every_setting_with_its_origin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(MINIMAL)]) == 0
    out = capsys.readouterr().out
    lines = dict(line.split("  # ") for line in out.splitlines())
    by_setting = {left.strip(): origin for left, origin in lines.items()}
    assert by_setting['peers.pbx.address = "10.0.0.5"'] == "minimal.toml:8"
    assert by_setting["sip.t1 = 0.5"] == "default"
    assert by_setting["zones.public.open = true"] == "inferred: the zone is named 'public'"


def test_what_check_prints_is_itself_a_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["check", str(MINIMAL)])
    printed = capsys.readouterr().out
    assert parse(printed, str(tmp_path / "t.toml"), EDGE).network == parse(MINIMAL.read_text(), "t.toml", EDGE).network


def test_check_can_leave_defaults_out_or_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--changed", str(MINIMAL)])
    assert "# default" not in capsys.readouterr().out
    assert main(["check", "--quiet", str(MINIMAL)]) == 0
    assert capsys.readouterr().out == ""


def test_check_tells_faults_on_standard_error_and_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[zones.public]\naddress = "127.0.0.1"\nport = 0\nopen = 1\n')
    assert main(["check", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"{file}:3: zones.public.port: must be greater than or equal to 1, not 0",
        f"{file}:4: zones.public.open: expected true or false, not 1",
        "2 faults",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"), (30.0, "30"), (0.5, "0.5"), (4 << 30, "4294967296"), (3e8, "300000000.0"),
        ('a"\\é', '"a\\"\\\\é"'), (("udp", "tcp"), '["udp", "tcp"]'), ({}, "{}"), ({"a": "b"}, '{ "a" = "b" }'),
    ],
)  # fmt: skip
def test_values_are_written_as_toml(value: object, text: str) -> None:
    assert toml_text(value) == text


def test_the_record_is_looked_for_where_the_operator_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(MINIMAL.read_text() + '[service]\nstate_directory = "elsewhere"\n')
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "told"))
    for arguments, place in (
        (["--state", str(tmp_path / "given")], tmp_path / "given"),
        (["--config", str(file)], tmp_path / "elsewhere"),
        ([], tmp_path / "told"),
    ):
        assert main(["calls", *arguments]) == 1
        assert str(place / "calls.sqlite") in capsys.readouterr().err


def test_the_configuration_of_the_systemd_service_leads_to_the_state_of_that(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which it need not name: systemd tells the service, and nobody tells who asks."""
    file = tmp_path / "sbc.toml"
    file.write_text(MINIMAL.read_text())
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(paths, "SYSTEM_CONFIGURATION", file)
    monkeypatch.setattr(paths, "SYSTEM_STATE", tmp_path / "system")
    for command in ("calls", "registrations"):
        assert main([command, "--config", str(file)]) == 1
        assert str(tmp_path / "system") in capsys.readouterr().err


def test_a_faulty_configuration_does_not_tell_where_the_record_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["calls", "--config", str(tmp_path / "none.toml")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_who_reads_the_beginning_only_sees_nothing_else() -> None:
    code = f"import sys, sbc.service.main as m; sys.exit(m.main(['check', {str(MINIMAL)!r}]))"
    reader, writer = os.pipe()
    os.close(reader)
    finished = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert finished.returncode == 0
    assert "BrokenPipe" not in finished.stderr


def test_the_command_starts_without_the_heavy_libraries() -> None:
    code = "import sys, sbc.service.main as m; m._parser(); print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert loaded.isdisjoint({"twisted", "pydantic", "pyroute2", "sqlite3", "OpenSSL"})
