"""Where state lies. Imports nothing heavy: the command line starts with this."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

DATABASE = "calls.sqlite"
REGISTRATIONS = "registrations.sqlite"
SUBSCRIPTIONS = "subscriptions.sqlite"
"""Beside it, in the state directory."""
SYSTEM_STATE = Path("/var/lib/sbc")
"""What systemd/sbc.service gives the service as its $STATE_DIRECTORY."""
SYSTEM_CONFIGURATION = Path("/etc/sbc/sbc.toml")
"""What it is started with."""


def state_directory(environ: Mapping[str, str] = os.environ) -> tuple[Path, str]:
    """Where a service that is told nothing else keeps its state, and why there."""
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0]), "$STATE_DIRECTORY"
    if given := environ.get("XDG_STATE_HOME"):
        return Path(given) / "sbc", "$XDG_STATE_HOME"
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(home) / ".local/state/sbc", "$HOME; under systemd its $STATE_DIRECTORY"


def is_of_the_unit(file: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `file` is the configuration of the systemd service, of which one asks from outside."""
    return "STATE_DIRECTORY" not in environ and Path(file).absolute() == SYSTEM_CONFIGURATION


def _last_written(path: Path) -> float:
    """When a database last changed; what is new in it may still stand in its write-ahead log."""
    times = [0.0]
    for file in (path, path.with_name(path.name + "-wal")):
        try:
            times.append(file.stat().st_mtime)
        except OSError:
            continue
    return max(times)


def database_to_read(environ: Mapping[str, str] = os.environ, system_state: Path = SYSTEM_STATE) -> Path:
    """The database of calls that somebody who names none wants to see: that of a service started by hand as the same
    user, or that of the systemd service, whichever was written to last."""
    own = state_directory(environ)[0] / DATABASE
    return max(own, system_state / DATABASE, key=_last_written)
