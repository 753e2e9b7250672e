"""The worker as a process of its own, spoken to without the rest of the project."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LOW, HIGH = 27410, 27449


class Worker:
    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        command = [sys.executable, "-m", "sbc.dataplane.worker", "--socket", str(path), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline()
        self.connections: list[socket.socket] = []

    def connect(self) -> Control:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(3.0)
        sock.connect(str(self.path))
        self.connections.append(sock)
        return Control(sock)

    def close(self) -> None:
        for sock in self.connections:
            sock.close()
        self.process.kill()
        self.process.communicate(timeout=5)


class Control:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""
        self._events: list[Any] = []

    def say(self, *commands: Any) -> None:
        self.sock.sendall(b"".join(json.dumps(command).encode() + b"\n" for command in commands))

    def event(self) -> Any:
        while not self._events:
            data = self.sock.recv(65536)
            assert data, "the worker hung up"
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._events += json.loads(line)
        return self._events.pop(0)

    def is_shut(self) -> bool:
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def worker(folder: Path) -> Iterator[Worker]:
    made = Worker(folder / "media.sock", "--range", "127.0.0.1", str(LOW), str(HIGH))
    yield made
    made.close()


def flow(port_a: int, port_b: int, name: str = "c/0") -> list[Any]:
    def place(port: int) -> list[Any]:
        return [["127.0.0.1", port], ["127.0.0.1", 9], None, False, None, "any", 1, "", 0]

    return ["a", name, True, 8000, 0.0, place(port_a), place(port_b), None, None]


def test_it_says_when_it_is_ready_and_ends_at_once_on_sigterm(worker: Worker) -> None:
    assert worker.ready == "ready\n"
    worker.connect()
    before = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(3) == 0
    assert time.monotonic() - before < 1
    assert not worker.path.exists()


def test_only_our_user_can_reach_its_socket(worker: Worker, folder: Path) -> None:
    assert stat.S_IMODE(worker.path.stat().st_mode) == 0o600
    folder.chmod(0o755)
    refused = Worker(folder / "other.sock")
    try:
        assert refused.ready == ""
        assert refused.process.wait(3) == 1
    finally:
        refused.close()


def test_it_loads_neither_twisted_nor_the_signalling(worker: Worker) -> None:
    code = "import sys, sbc.dataplane.worker; print([m for m in sys.modules if m.startswith(('twisted', 'sbc'))])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "twisted" not in loaded
    assert "sbc.sip" not in loaded
    assert "sbc.media" not in loaded
    assert "sbc.rtp.packet" in loaded


def test_it_takes_all_the_descriptors_it_may_have(worker: Worker) -> None:
    limits = resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE)
    assert limits[0] == limits[1]


def test_it_ends_when_nobody_comes_back(folder: Path) -> None:
    made = Worker(folder / "m.sock", "--linger", "0.3")
    try:
        control = made.connect()
        time.sleep(0.6)
        assert made.process.poll() is None
        control.sock.close()
        time.sleep(0.1)
        again = made.connect()
        time.sleep(0.5)
        assert made.process.poll() is None
        again.sock.close()
        assert made.process.wait(3) == 0
    finally:
        made.close()


def test_flows_outlive_a_connection(worker: Worker) -> None:
    first = worker.connect()
    first.say(flow(LOW, LOW + 2))
    first.say(["b", "127.0.0.1", 1])
    assert first.event()[0] == "p"
    first.sock.close()
    second = worker.connect()
    second.say(["r", "c/0"])
    assert second.event()[:2] == ["s", "c/0"]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\n",
        b"{\n",
        b"null\n",
        b"[]\n",
        b"5\n",
        b'["z"]\n',
        b'["b"]\n',
        b'["b","example.net",1]\n',
        b'["b","127.0.0.1","many"]\n',
        b'["b",null,1]\n',
        b'["b","192.0.2.55",1]\n',
        b'["a"]\n',
        b'["a","x",true,8000,0,null,null,null,null]\n',
        b'["a","x",true,8000,0,[],[],null,null]\n',
        b'["a","x",true,8000,0,[["127.0.0.1",99999],null,null,0,null,"any",1,"",0],[],null,null]\n',
        b'["a","x",true,8000,0,[["127.0.0.1",27412],null,null,0,null,"odd",1,"",0],[],null,null]\n',
        b'["a","x",true,8000,0,[["example.net",27412],null,null,0,null,"any",1,"",0],[],null,null]\n',
        b"\xff\xfe\x00\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_rubbish_is_answered_and_does_no_harm(worker: Worker, rubbish: bytes) -> None:
    control = worker.connect()
    control.sock.sendall(rubbish)
    event = control.event()
    while event[0] == "p":
        event = control.event()
    assert event[0] == "e"
    control.say(["r", "x"], ["b", "127.0.0.1", 2])
    while event[0] != "p" or not event[2]:
        event = control.event()
    assert len(event[2]) == 2
    assert worker.process.poll() is None


def test_a_line_without_an_end_loses_the_connection_and_no_more(worker: Worker) -> None:
    control = worker.connect()
    with pytest.raises(OSError):  # noqa: PT012
        for _ in range(40):
            control.sock.sendall(b"x" * 65536)
        time.sleep(0.2)
        control.sock.sendall(b"x")
    worker.connect().say(["b", "127.0.0.1", 1])


def test_one_who_does_not_read_is_hung_up_on(worker: Worker) -> None:
    deaf, other = worker.connect(), worker.connect()
    deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line = json.dumps(["z" * 200]).encode() + b"\n"
    other.sock.settimeout(0.01)
    for _ in range(150):
        try:
            deaf.sock.sendall(line * 200)
            other.sock.recv(1 << 20)
        except TimeoutError:
            continue
        except OSError:
            break
    other.sock.settimeout(3.0)
    assert deaf.is_shut()
    assert worker.process.poll() is None


def test_a_port_of_somebody_else_is_passed_over(worker: Worker) -> None:
    holders = []
    for port in (LOW, LOW + 3, LOW + 8):  # an RTP port, an RTCP port
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holders.append(holder)
    control = worker.connect()
    control.say(["b", "127.0.0.1", 100])
    ports = control.event()[2]
    assert sorted(ports) == [p for p in range(LOW, HIGH, 2) if p not in (LOW, LOW + 2, LOW + 8)]
    for holder in holders:
        holder.close()


def test_nobody_can_take_a_port_that_it_holds(worker: Worker) -> None:
    control = worker.connect()
    control.say(["b", "127.0.0.1", 1])
    port = control.event()[2][0]
    thief = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with pytest.raises(OSError, match="in use"):
        thief.bind(("127.0.0.1", port))
    thief.close()


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_flow_without_media_costs_no_socket_and_one_with_media_gives_them_back(worker: Worker) -> None:
    control = worker.connect()
    control.say(["b", "127.0.0.1", 20])
    control.event()
    idle = _descriptors(worker.process.pid)
    control.say(flow(LOW, LOW + 2), ["b", "127.0.0.1", 1])
    control.event()
    assert _descriptors(worker.process.pid) == idle
    phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.connect(("127.0.0.1", LOW))
    for sequence in range(100):
        phone.send(b"\x80\x00" + sequence.to_bytes(2, "big") + bytes(8))
        time.sleep(0.001)
    time.sleep(0.1)
    assert _descriptors(worker.process.pid) > idle
    control.say(["r", "c/0"])
    event = control.event()
    while event[0] != "s":
        event = control.event()
    assert event[2][0] == 100
    assert _descriptors(worker.process.pid) == idle
    phone.close()


@pytest.mark.parametrize("options", [["--range", "127.0.0.1", "9", "5"], ["--range", "127.0.0.1", "70000", "70009"]])
def test_a_range_without_ports_is_refused(folder: Path, options: list[str]) -> None:
    made = Worker(folder / "m.sock", *options)
    try:
        assert made.process.wait(3) == 1
    finally:
        made.close()
