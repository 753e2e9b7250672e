"""Kamailio as the PBX of the private side: a proxy that stays in the path (Record-Route), with its phones behind it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.border import Border
from tests.support.edge import answers_options
from tests.support.lab import PRIVATE, wait_until

_CONFIG = Path(__file__).parent.parent / "interop" / "kamailio_pbx.cfg"
PHONE = PRIVATE.others[0]
"""Where its phones are."""


def start_pbx(border: Border) -> None:
    """Kamailio where the SBC looks for its PBX; it is ended with whatever else runs on the private side."""
    text = _CONFIG.read_text()
    for name, value in (("LISTEN", PRIVATE.host), ("PHONE", PHONE), ("BORDER", PRIVATE.edge)):
        text = text.replace(f"@{name}@", value)
    directory = border.lab.private.directory()
    (directory / "kamailio.cfg").write_text(text)
    with (directory / "log").open("wb") as log:
        running = border.lab.private.popen(
            ["kamailio", "-f", directory / "kamailio.cfg", "-DD", "-E", "-m", "16", "-Y", directory],
            stdout=log, stderr=subprocess.STDOUT, cwd=directory,
        )  # fmt: skip

    def ready() -> bool:
        assert running.poll() is None, (directory / "log").read_text(errors="replace")
        return answers_options(border.lab.private, (PRIVATE.host, 5060), 0.2, source=PRIVATE.host)

    wait_until(ready, "Kamailio answers")
