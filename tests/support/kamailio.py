"""Kamailio as the PBX of the private side: started with a configuration of tests/interop, and asked what it knows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.border import Border
from tests.support.edge import answers_options
from tests.support.lab import PRIVATE, Lab, end_process, wait_until

_CONFIGS = Path(__file__).parent.parent / "interop"
PHONE = PRIVATE.others[0]
"""Where its phones are."""


class Kamailio:
    """Kamailio where the SBC looks for its PBX, with a configuration (of tests/interop, if it is no path). `memory`: in
    MiB. It ends with whatever else runs on the private side."""

    def __init__(self, lab: Lab, config: str | Path, memory: int = 16) -> None:
        self._namespace = lab.private
        self._directory = self._namespace.directory()
        text = (_CONFIGS / config).read_text()
        values = {"LISTEN": PRIVATE.host, "PHONE": PHONE, "BORDER": PRIVATE.edge, "DIRECTORY": str(self._directory)}
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        (self._directory / "kamailio.cfg").write_text(text)
        with (self._directory / "log").open("wb") as log:
            command = ["kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", str(memory), "-Y", self._directory]
            running = self.process = self._namespace.popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self._directory
            )

        def ready() -> bool:
            assert running.poll() is None, self.log()
            return answers_options(self._namespace, (PRIVATE.host, 5060), 0.2, source=PRIVATE.host)

        wait_until(ready, "Kamailio answers")

    def stop(self) -> None:
        """It is no more, until another one is made."""
        end_process(self.process)

    def log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")

    def dump(self) -> str:
        """All that its location service knows (module `usrloc`, asked through `ctl`)."""
        return self._asked("ul.dump")

    def count(self, statistic: str) -> int:
        """One of its figures, as "usrloc.registered_users" (module `kex`)."""
        return int(self._asked("stats.fetchn", statistic).split(":")[1].strip(" \n}"))

    def _asked(self, *command: str) -> str:
        return self._namespace.run(["kamcmd", "-s", f"unix:{self._directory}/ctl", *command])

    def contacts(self) -> dict[str, list[str]]:
        """The contacts of each user that is registered."""
        found: dict[str, list[str]] = {}
        user = ""
        for name, value in re.findall(r"^\s*(AoR|Address): (\S+)$", self.dump(), re.MULTILINE):
            if name == "AoR":
                user = value
            else:
                found.setdefault(user, []).append(value)
        return found


def start_pbx(border: Border) -> None:
    """A proxy that stays in the path (Record-Route), with its phones behind it."""
    Kamailio(border.lab, "kamailio_pbx.cfg")
