"""The SBC itself, as an operator starts it: `twistd -n sbc --config FILE`, inside the edge of a lab."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pyroute2 import netns

from tests.support.lab import PUBLIC, Lab, Namespace, end_process
from tests.support.raw import request, status

_BIN = Path(sys.executable).parent
_ROOT = Path(__file__).resolve().parents[2]
_TROUBLE = re.compile(r"Traceback|Unhandled|\"level\": ?\"(error|critical)\"|\b(ERROR|CRITICAL)\b")


class Edge:
    """One running SBC. `config` is TOML; the state directory is given here."""

    def __init__(self, lab: Lab, config: str, *, ready: tuple[str, int] = (PUBLIC.edge, 5060)) -> None:
        self.lab = lab
        self.directory = lab.edge.directory()
        self.config = self.directory / "sbc.toml"
        self.config.write_text(f'[service]\nstate_directory = "{self.directory}/state"\n{_service_first(config)}')
        self._ready = ready
        self._start()

    def _start(self) -> None:
        command: list[str | Path] = [_BIN / "twistd", "-n", "--pidfile=", "sbc", "--config", self.config]
        with self._log_file().open("ab") as log:
            self.process = self.lab.edge.popen(command, cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT)
        self._wait_ready(self._ready)

    def subscriptions(self) -> list[dict[str, Any]]:
        """The subscriptions that it has written down."""
        with contextlib.closing(sqlite3.connect(self.directory / "state/subscriptions.sqlite")) as database:
            return [json.loads(text) for (text,) in database.execute("SELECT facts FROM subscriptions")]

    def kill_and_start(self) -> None:
        """End it as nobody should (kill -9), and start it again."""
        self.process.kill()
        self.process.wait(10)
        self._start()

    def _log_file(self) -> Path:
        return self.directory / "log"

    def _wait_ready(self, address: tuple[str, int]) -> None:
        deadline = time.monotonic() + 60
        while not answers_options(self.lab.public, address, 0.2):
            assert self.process.poll() is None, f"the SBC ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"the SBC does not answer:\n{self.log()}"

    def log(self) -> str:
        return self._log_file().read_text(errors="replace")

    def trouble(self) -> list[str]:
        """Lines of the log that tell of a failure of the program itself."""
        return [line for line in self.log().splitlines() if _TROUBLE.search(line)]

    def sbc(self, *arguments: str) -> str:
        """Output of the `sbc` command about this service."""
        command: list[str | Path] = [_BIN / "sbc", *arguments, "--state", self.directory / "state"]
        finished = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_ROOT, timeout=20)
        return finished.stdout

    def calls(self) -> list[dict[str, Any]]:
        """The records of the calls, newest first."""
        return [json.loads(line) for line in self.sbc("calls", "--json", "--limit", "0").splitlines()]

    def registrations(self, user: str = "") -> list[dict[str, Any]]:
        """The flows of registered phones, as `sbc registrations` tells them."""
        return [json.loads(line) for line in self.sbc("registrations", user, "--json").splitlines() if line]

    def processes(self) -> list[int]:
        """Ids of the SBC's processes."""
        return [int(pid) for pid in netns.ns_pids().get(self.lab.edge.name, [])]

    def memory(self) -> int:
        """Bytes of memory of all its processes, shared pages counted once (PSS)."""
        return sum(self.memories().values())

    def memories(self) -> dict[str, int]:
        """The same of each process, by its id and what its command line names it."""
        pattern = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
        found = {}
        for pid in sorted(self.processes()):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            name = "worker" if any("worker" in word for word in words) else "signalling"
            pss = pattern.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
            found[f"{name} {pid}"] = int(pss[1]) * 1024 if pss else 0
        return found

    def cpu(self) -> float:
        """Seconds of CPU time that its processes have used."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.processes()]
        return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")

    def table_sizes(self) -> dict[str, int]:
        """What its tables held when it was asked to end, as its log says."""
        said = re.search(r"in use: ([^\"]+)", self.log())
        assert said, self.log()[-3000:]
        return {name: int(size) for name, size in (each.rsplit(" ", 1) for each in said[1].split(", "))}

    def terminate(self) -> None:
        """Ask it to drain, without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it at once: drain, and a second signal. Raises AssertionError if it fails or had trouble."""
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                if "Main loop terminated" not in self.log():  # else it is on its way, without ears for signals
                    self.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(10)  # one more signal might meet it when nothing catches it any more
        code = end_process(self.process)
        assert code == 0, f"the SBC ended with {code}:\n{self.log()[-5000:]}"
        assert not self.trouble(), self.log()


def _service_first(config: str) -> str:
    """TOML has no table twice: what `config` says under [service] is put under ours."""
    match = re.search(r"^\[service\]\n((?:(?!\[).*\n)*)", config, re.MULTILINE)
    if match is None:
        return config
    return match[1] + config[: match.start()] + config[match.end() :]


def answers_options(namespace: Namespace, address: tuple[str, int], patience: float, source: str = "") -> bool:
    """Whether a SIP element answers an OPTIONS over UDP within `patience` seconds."""
    local = source or (PUBLIC.host6 if ":" in address[0] else PUBLIC.host)
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    with namespace.udp((local, 0)) as probe:
        probe.settimeout(patience)
        probe.sendto(request("OPTIONS", f"sip:{host}:{address[1]}", (local, probe.getsockname()[1])), address)
        try:
            return status(probe.recv(65535)) > 0
        except (TimeoutError, ConnectionRefusedError):
            return False
