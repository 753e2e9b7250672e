"""The service as twistd runs it, on loopback: what it says when it cannot start, that it serves, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sbc.service.tap import embedded_config, is_free
from tests.support.raw import offer, request, status
from tests.support.sockets import free_port

TWISTD = Path(sys.executable).parent / "twistd"
ROOT = Path(__file__).resolve().parents[2]
PUBLIC, PRIVATE, PBX, CALLER = (f"127.{20 + os.getpid() % 200}.74.{host}" for host in (1, 2, 3, 9))
"""Of this run alone: another one at the same time must not have the media ports."""
PATIENCE = 10.0


class Service:
    """A real twistd with a PBX (a plain socket) behind it."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.port = free_port(PUBLIC)
        self.config = folder / "sbc.toml"
        self.config.write_text(f"""
[service]
state_directory = "{folder}/state"
{more}
[media]
ports = "34000-34099"
[zones.public]
address = "{PUBLIC}"
port = {self.port}
[zones.private]
address = "{PRIVATE}"
port = {self.port}
[peers.pbx]
zone = "private"
address = "{PBX}:{self.port}"
""")
        self.pbx, self.caller = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.pbx.bind((PBX, self.port))
        self.caller.bind((CALLER, 0))
        self.pbx.settimeout(PATIENCE)
        self.caller.settimeout(PATIENCE)
        self.process = run("--config", str(self.config))

    @property
    def address(self) -> tuple[str, int]:
        return PUBLIC, self.port

    def send(self, method: str, body: bytes = b"") -> bytes:
        headers = ("Content-Type: application/sdp",) if body else ()
        uri = f"sip:{PUBLIC}:{self.port}" if method == "OPTIONS" else f"sip:1@{PUBLIC}:{self.port}"
        message = request(method, uri, self.caller.getsockname(), headers=headers, body=body)
        self.caller.sendto(message, self.address)
        return message

    def final(self, of: bytes) -> bytes:
        """The final response to this request of the caller."""
        while True:
            message = self.caller.recv(65535)
            if status(message) >= 200 and header(message, "Call-ID") == header(of, "Call-ID"):
                return message

    def ready(self) -> None:
        """What is sent before the socket is there is lost."""
        deadline = time.monotonic() + PATIENCE
        self.caller.settimeout(0.1)
        while True:
            sent = self.send("OPTIONS")
            with contextlib.suppress(TimeoutError):
                assert status(self.final(sent)) == 200
                break
            assert self.process.poll() is None, self.end()
            assert time.monotonic() < deadline
        self.caller.settimeout(PATIENCE)

    def call(self) -> None:
        """A call in progress, up to the ACK on both sides."""
        invite = self.send("INVITE", offer(CALLER, 40000))
        self.next_request("INVITE")
        ok = self.final(invite)
        to = header(ok, "To")
        ack = invite.replace(b"INVITE", b"ACK").split(b"\r\n\r\n")[0].decode()
        ack = re.sub(r"(?m)^(Content-(Type|Length)|To):.*\r\n?", "", ack + "\r\n").replace("z9hG4bK", "z9hG4bKack")
        self.caller.sendto(f"{ack}To: {to}\r\nContent-Length: 0\r\n\r\n".encode(), self.address)
        assert self.next_request("ACK")

    def next_request(self, method: str) -> bytes:
        """The next request of that method that reaches the PBX, which answers it."""
        while True:
            message, edge = self.pbx.recvfrom(65535)
            if message.startswith(method.encode()):
                if method != "ACK":
                    self.pbx.sendto(answer(message, 200, PBX, self.port), edge)
                return message

    def end(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.pbx.close()
        self.caller.close()


def run(*arguments: str) -> subprocess.Popen[str]:
    command = [str(TWISTD), "-n", "--pidfile=", "sbc", *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def header(message: bytes, name: str) -> str:
    found = re.search(rf"(?m)^{name}: *(.*?)\r$", message.decode())
    assert found
    return found[1]


def answer(received: bytes, code: int, host: str, port: int) -> bytes:
    body = offer(host, 41000)
    lines = [f"SIP/2.0 {code} OK"]
    lines += [f"{name}: {header(received, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
    to = header(received, "To")
    lines += [f"To: {to}" if "tag=" in to else f"To: {to};tag=pbx", f"Contact: <sip:pbx@{host}:{port}>"]
    lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def start(more: str = "") -> Service:
        started.append(Service(tmp_path, more))
        started[-1].ready()
        return started[-1]

    yield start
    for service in started:
        service.close()


# -- that cannot start ------------------------------------------------------------------------------------------------


def test_all_faults_of_a_configuration_are_told_at_once_without_a_trace(tmp_path: Path) -> None:
    config = tmp_path / "sbc.toml"
    config.write_text('[zones.public]\nadress = "127.0.74.1"\n[media]\nports = "high"\n')
    process = run("--config", str(config))
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"{config}:2: zones.public.adress" in out
    assert f"{config}:4: media.ports" in out
    assert "Traceback" not in out


def test_ports_that_are_taken_are_told_with_zone_and_address_without_a_trace(tmp_path: Path) -> None:
    port = free_port("127.0.74.1")
    config = tmp_path / "sbc.toml"
    config.write_text(
        f'[service]\nstate_directory = "{tmp_path}"\n[zones.public]\naddress = "127.0.74.1"\nport = {port}\n'
        f'[zones.private]\naddress = "127.0.74.2"\nport = {port}\n[peers.a]\nzone = "private"\naddress = "127.0.74.3"\n'
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, socket.create_server(("127.0.74.2", port)):
        taken.bind(("127.0.74.1", port))
        process = run("--config", str(config))
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"zone public: cannot listen on UDP 127.0.74.1:{port}: Address already in use" in out
    assert f"zone private: cannot listen on TCP 127.0.74.2:{port}: Address already in use" in out
    assert "Traceback" not in out


# -- that serves and ends ---------------------------------------------------------------------------------------------


def test_an_idle_service_ends_at_once_and_well(start: Callable[..., Service]) -> None:
    service = start()
    began = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    code, out = service.end()
    assert code == 0
    assert time.monotonic() - began < 5
    lines = [json.loads(line) for line in out.splitlines()]
    assert {"ready"} <= {line["message"] for line in lines}
    assert {line["level"] for line in lines} == {"info"}


def test_draining_refuses_new_calls_and_waits_for_those_in_progress(start: Callable[..., Service]) -> None:
    service = start("drain_grace = 1.5")
    service.call()
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    refused = service.final(service.send("INVITE", offer(CALLER, 40000)))
    assert status(refused) == 503
    assert header(refused, "Retry-After")
    assert service.process.poll() is None
    began = time.monotonic()
    assert service.next_request("BYE")
    assert time.monotonic() - began < 3
    code, out = service.end()
    assert code == 0
    calls = [json.loads(line) for line in out.splitlines() if '"call"' in line]
    assert len({line["call"] for line in calls}) >= 1
    assert any("ended by sbc" in line["message"] for line in calls)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hangs_up_and_ends_at_once(start: Callable[..., Service], second: signal.Signals) -> None:
    service = start("drain_grace = 60")
    service.call()
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert service.process.poll() is None
    began = time.monotonic()
    service.process.send_signal(second)
    assert service.next_request("BYE")
    code, out = service.end()
    assert time.monotonic() - began < 5
    assert code == 0
    assert "Traceback" not in out
    assert "bug" not in out


# -- the embedded default ---------------------------------------------------------------------------------------------


def test_the_embedded_default_takes_the_first_port_that_is_free_on_all_its_addresses() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        free = next(port for port in range(5060, 6060, 10) if all(is_free(f"127.0.0.{n}", port) for n in (1, 2, 3)))
        taken.bind(("127.0.0.3", free))
        config = embedded_config()
    ports = {listener.local.port for zone in config.network.zones.values() for listener in zone.listeners}
    assert len(ports) == 1
    assert free < ports.pop() < 6060
    assert config.embedded
