"""`make bench`: the yardstick with this SBC as the system under test, signalling and media; the ratios at the end.

python -m tests.bench [signalling] [media] [-- options of yardstick.py]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CONFIG = """\
[service]
state_directory = "{state}"
log = "json"
[zones.public]
address = "10.10.0.1"
[zones.private]
address = "10.20.0.1"
[peers.pbx]
zone = "private"
address = "10.20.0.2"
"""
"""The addresses are the yardstick's."""


def measure(what: str, options: list[str]) -> list[str]:
    """Run the yardstick, its lines as they come; those that tell a ratio."""
    with tempfile.TemporaryDirectory(prefix="sbcbench-") as state:
        config = Path(state) / "sbc.toml"
        config.write_text(CONFIG.format(state=state))
        command = f"{Path(sys.executable).parent}/twistd -n --pidfile= sbc --config {config}"
        yardstick: list[str | Path] = [sys.executable, HERE / "yardstick.py", what, "--sut", command, *options]
        with subprocess.Popen(yardstick, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            lines = []
            for line in running.stdout:
                print(line, end="", flush=True)
                lines.append(line.strip())
        if running.returncode:
            sys.exit(running.returncode)
    return [f"{what}: {line}" for line in lines if "ratio" in line]


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("the yardstick makes network namespaces: run it as root")
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    wanted, options = arguments[:cut] or ["signalling", "media"], arguments[cut + 1 :]
    ratios = [ratio for what in wanted for ratio in measure(what, options)]
    print("\n".join(["", *ratios]))


if __name__ == "__main__":
    main()
