"""SIPp as a caller and as a callee in a namespace of the lab."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import script
from tests.support.lab import Namespace, end_process, wait_until

SCENARIOS = Path(__file__).parent.parent / "scenarios" / "sipp"
_MEANING = {
    1: "a call failed",
    97: "exited on a command or with no call",
    99: "no call processed",
    253: "RTP check failed",
    254: "connection error",
    255: "fatal",
}
RECEIVE_BUFFER = 212_992
"""What the kernel grants anybody: SIPp's own choice holds some 50 messages; on a busy machine more come meanwhile."""
_control_ports = itertools.count(48100)


class Sipp:
    """One running SIPp.

    `scenario` names a file of tests/scenarios/sipp without ".xml" (it may be a path), or one that SIPp has built in:
    "-uac", "-uas"; or it is a script (`tests.support.script`) of several lines: of a caller if there is a `target`.
    `dialled` is the Request-URI of its calls. `replace` fills the places written
    %name% in the file (SIPp's own keywords cannot stand in attributes).
    """

    def __init__(
        self,
        namespace: Namespace,
        scenario: str,
        address: str,
        port: int,
        *,
        target: str = "",
        calls: int = 1,
        tcp: bool = False,
        service: str = "1001",
        dialled: str = "",
        extra: Sequence[str] = (),
        replace: Mapping[str, object] | None = None,
        timeout: float = 20.0,
        trace: bool = True,
    ) -> None:
        self.scenario = "of a script" if "\n" in scenario else scenario
        self._timeout = timeout
        self._namespace, self._directory = namespace, namespace.directory()
        self._address = bare = address.strip("[]")
        if "\n" in scenario:
            written = self._directory / "script.xml"
            written.write_text(script.caller(scenario) if target else script.callee(scenario))
            scenario = str(written.with_suffix(""))
        options = ["-sn", scenario[1:]] if scenario.startswith("-") else ["-sf", str(self._filled(scenario, replace))]
        options += ["-i", f"[{bare}]" if ":" in bare else bare, "-p", str(port), "-m", str(calls), "-s", service]
        control = next(_control_ports)
        options += ["-t", "t1" if tcp else "u1", "-nostdin", "-cp", str(control)]
        options += ["-timeout", f"{timeout:.0f}s", "-timeout_error"]
        options += ["-buff_size", str(RECEIVE_BUFFER)]
        options += ["-trace_err", "-error_file", "errors"]
        options += ["-trace_msg", "-message_file", "messages"] if trace else []
        options += ["-key", "dialled", dialled] if dialled else []
        command = ["sipp", *([target] if target else []), *options, *extra]
        with (self._directory / "screen").open("wb") as screen:
            self._process = namespace.popen(command, cwd=self._directory, stdout=screen, stderr=subprocess.STDOUT)
        if not target:
            self._wait_bound(control)

    def _filled(self, scenario: str, replace: Mapping[str, object] | None) -> Path:
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        for name, value in (replace or {}).items():
            assert f"%{name}%" in text, f"{scenario}.xml has no %{name}%"
            text = text.replace(f"%{name}%", str(value))
        unfilled = re.findall(r"%[a-z_]+%", text)
        assert not unfilled, f"{scenario}.xml wants {unfilled}"
        path = self._directory / f"{Path(scenario).name}.xml"
        path.write_text(text)
        return path

    def _wait_bound(self, control: int) -> None:
        """The control port is the last that SIPp binds."""

        def ready() -> bool:
            assert self._process.poll() is None, f"SIPp did not start: {self.trouble()}"
            return self._namespace.is_bound(control, "udp")

        wait_until(ready, f"SIPp {self.scenario} at work")

    def wait(self) -> None:
        """Wait for the end of its calls. Raises AssertionError, with what SIPp says, unless all went as written."""
        try:
            code = self._process.wait(self._timeout + 5)
        except subprocess.TimeoutExpired:
            end_process(self._process)
            code = -1
        assert code == 0, f"SIPp {self.scenario}: {_MEANING.get(code, code)}\n{self.trouble()}"

    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def failed(self) -> bool:
        """It has ended, and not as written."""
        return self._process.poll() not in (None, 0)

    def count(self, label: str) -> int:
        """A figure of the closing screen: "Successful call", "Failed call", "Retransmissions" ..."""
        screen = (self._directory / "screen").read_text(errors="replace")
        return int((re.findall(re.escape(label) + r"\s+\|\s+\d+\s+\|\s+(\d+)", screen) or ["0"])[-1])

    def call_id(self, number: int = 1) -> str:
        """Call-ID of its call of this number."""
        return f"{number}-{self._process.pid}@{self._address}"

    def messages(self) -> str:
        """What it sent and received."""
        path = self._directory / "messages"
        return path.read_text(errors="replace") if path.exists() else ""

    def errors(self) -> str:
        """What it complains of."""
        path = self._directory / "errors"
        return (path if path.exists() else self._directory / "screen").read_text(errors="replace")

    def trouble(self) -> str:
        """What it complains of: the beginning, which is the cause, and the end, with the last messages."""
        errors = self.errors()
        if len(errors) > 5000:
            errors = f"{errors[:3000]}\n...\n{errors[-2000:]}"
        return f"{errors}\n--- messages ---\n{self.messages()[-6000:]}"

    def finish(self, patience: float = 30.0) -> None:
        """End it once its calls in progress have ended; without new ones."""
        end_process(self._process, signal.SIGUSR1, patience)

    def stop(self) -> None:
        """End it, whatever its calls do."""
        end_process(self._process)
