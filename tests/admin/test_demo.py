"""The verdict and the report of the demo, and the whole of it against the service with its embedded default."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sbc.admin.audio_line import Heard
from sbc.admin.demo import Evidence, report, verdict
from sbc.admin.privacy import Finding, Token
from sbc.store import USERS, UserStore
from tests.admin.test_explain import call
from tests.support.sockets import free_port

TWISTD = Path(sys.executable).with_name("twistd")
ADDRESS = Token("address in binary", "10.0.0.5", bytes([10, 0, 0, 5]))
HERE = Heard(880.0, 0.99, 150, 0, 0.4, 3.0)
THERE = Heard(440.0, 0.99, 150, 0, 0.4, 3.0)


def demo(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sbc.service.main", "demo", "--state", str(state), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def evidence(**changes: Any) -> Evidence:
    return Evidence(call(), HERE, THERE, [ADDRESS], [], 154)._replace(**changes)


def test_a_good_call_has_no_fault_and_says_how_to_go_on() -> None:
    assert verdict(evidence(), 3.0) == []
    text = "\n".join(report(evidence(), []))
    assert "880 Hz with 99.0% of the power, 150 packets, lost 0 (0.0%), jitter 0.4 ms" in text
    assert "0a 00 00 05" in text
    assert "found: 0" in text
    assert "sbc explain c0ffee" in text
    assert "sip:echo@192.0.2.1:5060" in text


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"here": HERE._replace(frequency=440.0)}, "the phone outside heard 440 Hz (99% of the power), not 880 Hz"),
        ({"there": THERE._replace(share=0.5)}, "the phone inside heard 440 Hz (50% of the power), not 440 Hz"),
        ({"here": HERE._replace(packets=100)}, "the phone outside received 100 packets, not about 150"),
        ({"there": THERE._replace(lost=10)}, "the phone inside lost 10 packets"),
        ({"there": None}, "the phone inside had no call"),
        ({"call": call(cause="silence", ended_by="sbc")}, "the record says silence by sbc, not BYE by caller"),
        ({"tokens": []}, "no private token is known: nothing was looked for"),
        ({"findings": [Finding(ADDRESS, "RTCP")]}, "address in binary '10.0.0.5' of the private side shows in RTCP"),
    ],
)
def test_whatever_did_not_hold_is_a_fault_of_its_own(changes: dict[str, Any], fault: str) -> None:
    seen = evidence(**changes)
    assert verdict(seen, 3.0) == [fault]
    assert f"FAILED: {fault}" in report(seen, [fault])
    assert "Everything held" not in "\n".join(report(seen, [fault]))


def test_a_found_token_is_marked_in_the_list() -> None:
    assert any("0a 00 00 05 FOUND" in line for line in report(evidence(findings=[Finding(ADDRESS, "RTCP")]), ["x"]))


def test_without_a_service_it_says_what_to_start(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    done = demo(tmp_path, "--target", f"127.0.0.1:{port}")
    assert done.returncode == 2
    assert f"no service answers at udp 127.0.0.1:{port}. Start it first" in done.stderr


@pytest.mark.slow
def test_a_call_crosses_the_border_of_the_embedded_default(tmp_path: Path) -> None:
    environment = os.environ | {"STATE_DIRECTORY": str(tmp_path)}
    twistd = [sys.executable, "-m", "twisted", "--log-level=warn"] if not TWISTD.exists() else [str(TWISTD)]
    with (
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(
            [*twistd, "--nodaemon", "--pidfile=", "sbc"], env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as service,
    ):
        try:
            done = demo(tmp_path, "--wait", "15", "--seconds", "1")
        finally:
            service.terminate()
            service.wait(20)
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "log").read_text()
    assert "Everything held" in done.stdout
    assert "desk.private.invalid" in done.stdout
    assert UserStore(tmp_path / USERS).read().keys() == {"alice@127.0.0.1", "bob@127.0.0.1"}
    shown = dict(re.findall(r"user (\w+) +password (\w+)", (tmp_path / "log").read_text()))
    assert shown.keys() == {"alice", "bob"}
    for file in tmp_path.iterdir():
        assert file.name == "log" or not any(word.encode() in file.read_bytes() for word in shown.values())
