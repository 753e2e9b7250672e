"""The edge of a lab as a machine on which nothing of this project is installed, and the SBC as
docs/deploy-remote-phones.md puts it there: its commands and files, word by word.

What the machine writes to /etc, /opt, /usr/local and /var/lib it has for itself, and it is gone afterwards. There is no
systemd in it: what the unit says is done here. What the program needs of others' comes from where the tests have it.
"""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.edge import Edge
from tests.support.lab import PRIVATE, PUBLIC, Lab, Namespace, wait_until

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "sbc", "twisted", "systemd", "tests")
_OWN = ("etc", "opt", "usr/local", "var/lib")
_FIRST = """set -eu
mount -t tmpfs tmpfs "$1"
for folder in {folders}; do
    mkdir -p "$1/$folder/upper" "$1/$folder/work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/$folder/upper,workdir=$1/$folder/work" "/$folder"
done
rm -rf /opt/sbc /etc/sbc /var/lib/sbc /usr/local/bin/sbc
chmod a+x {closed}
touch "$2"
exec sleep infinity
"""
_NOT_HERE = ("apt-get ", "systemctl ", "journalctl ")
"""Commands that are not carried out: packages that tests have already, and systemd."""
_UNPRIVILEGED = (
    "setpriv --reuid=sbc --regid=sbc --init-groups --no-new-privs --bounding-set=-all --inh-caps=-all"  # as in the unit
)


class Page:
    """The page, with the addresses of the lab in place of its own, as it asks for."""

    def __init__(self) -> None:
        text = (_ROOT / "docs/deploy-remote-phones.md").read_text("utf-8")
        assert PUBLIC.edge in text
        for written, ours in (("10.0.0.0/24", PRIVATE.network), ("10.0.0.1", PRIVATE.edge), ("10.0.0.5", PRIVATE.host)):
            text = re.sub(rf"{re.escape(written)}(?!\d)", ours, text)
        self.sections = dict(re.findall(r"^## (\d|When it does not work)[^\n]*\n(.*?)(?=^## |\Z)", text, re.M | re.S))

    def blocks(self, section: str, kind: str) -> list[str]:
        """The blocks of code of a section; `kind` as it stands after the backquotes."""
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", self.sections[section], re.M | re.S)
        return [text for of, text in blocks if of == kind]

    def commands(self, section: str) -> str:
        """Those that are carried out in this machine."""
        lines = "".join(self.blocks(section, "sh")).splitlines()
        return "\n".join(line for line in lines if not line.startswith(_NOT_HERE))

    def rows(self, section: str) -> list[list[str]]:
        """Of its tables, without the headings: the cells of each."""
        rows = re.findall(r"^\| (.*) \|$", self.sections[section], re.M)
        return [row.split(" | ") for row in rows if not row.startswith(("from |", "on the phone |", "you see |"))]

    def firewall(self) -> str:
        """What section 3 lets pass, in nftables: new connections both ways; everything else is dropped."""
        into: list[str] = []
        out: list[str] = []
        for source, target, what in self.rows("3"):
            outwards = source.startswith((PUBLIC.edge, PRIVATE.edge))
            ends = f"{_end('saddr', source)}{_end('daddr', target)}"
            side = "sport" if outwards else "dport"
            for phrase in what.partition(":")[0].split(", "):
                ports = ", ".join(re.findall(r"\d+(?:-\d+)?", phrase))
                for protocol in re.findall(r"UDP|TCP", phrase):
                    (out if outwards else into).append(f"{ends}{protocol.lower()} {side} {{ {ports} }} accept")
        assert len(into) == 8, "the public side's SIP over both, its media over both, and the same inside"
        assert len(out) == 2
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority filter; policy drop;\n{lo} lo accept\n"
            f"ct state established,related accept\n" + "\n".join(rules) + "\n}\n"
            for hook, lo, rules in (("input", "iif", into), ("output", "oif", out))
        )
        return f"table inet filter {{\n{chains}}}\n"


def _end(which: str, cell: str) -> str:
    found = re.match(r"[\d.]+(/\d+)?", cell)
    assert found or cell == "anywhere", cell
    return f"ip {which} {found[0]} " if found else ""


class Installed(Edge):
    """The SBC, installed, configured, fenced in and started as the page says; the commands run in `machine`."""

    def __init__(self, lab: Lab, page: Page) -> None:
        self.lab, self.page = lab, page
        self.directory = lab.edge.directory()
        self._ready = (PUBLIC.edge, 5060)
        self._machine = self._clean_machine(lab.edge)
        self._install()
        (config,) = page.blocks("2", "toml")
        self.run("cat > /etc/sbc/sbc.toml", config)
        self.run(page.commands("2"))
        self.run("nft -f -", page.firewall())
        self.run(page.commands("4"))
        self._start()

    def _clean_machine(self, edge: Namespace) -> int:
        """The process that has its file systems."""
        own, done = self.directory / "own", self.directory / "done"
        own.mkdir()
        # the Python of the tests may lie in somebody's home, which user sbc could not enter
        closed = [str(each) for each in Path(sys.base_prefix).parents if not each.stat().st_mode & 0o1]
        homes = {each.split("/")[1] for each in closed}
        first = _FIRST.format(folders=" ".join({*_OWN, *homes}), closed=" ".join(["/opt", *closed]))
        holder = edge.popen(["unshare", "--mount", "--propagation=private", "sh", "-c", first, "sh", own, done])
        wait_until(lambda: done.exists() or holder.poll() is not None, "the machine has its own file systems")
        assert done.exists(), "no overlays of file systems here"
        return holder.pid

    def _inside(self, command: str) -> list[str]:
        return ["nsenter", f"--target={self._machine}", "--mount", "sh", "-ec", command]

    def run(self, commands: str, given: str = "") -> str:
        """What shell commands print that root types, in the folder of the sources."""
        sources = self.directory / "sources"
        path = f"PATH={sys.base_prefix}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME={self.directory}"
        # pip: nothing is fetched; what it would fetch, and what it builds with, is there (the odd 0 means: none)
        environ = f"{path} PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1"
        line = f"cd {sources}; export {environ}\n{commands}"
        return self.lab.edge.run(self._inside(line), input=given, timeout=120)

    def _install(self) -> None:
        sources = self.directory / "sources"
        sources.mkdir()
        for name in _SOURCES:
            (sources / name).symlink_to(_ROOT / name)
        made, marker, rest = self.page.commands("1").partition("/opt/sbc/bin/pip ")
        self.run(made)
        theirs = Path(sysconfig.get_path("purelib"))
        names = [each.name for each in theirs.iterdir() if not re.match(r"sbc\b|__|pip\b|.*\.pth$", each.name)]
        self.run(f"mkdir /opt/theirs /opt/others; mount --bind {theirs} /opt/theirs")
        self.run(f"cd /opt/others; ln -s -t . {shlex.join(f'/opt/theirs/{name}' for name in names)}")
        # before its own, among which is a setuptools as old as this Python
        line = "import sys; sys.path.insert(0, '/opt/others')"
        self.run(f"cat > /opt/sbc/lib/python3.{sys.version_info.minor}/site-packages/others.pth", line)
        _, twistd = (Path(sys.executable).parent / "twistd").read_text().split("\n", 1)
        self.run("cat > /opt/sbc/bin/twistd; chmod +x /opt/sbc/bin/twistd", f"#!/opt/sbc/bin/python3\n{twistd}")
        self.run(marker + rest)

    def _start(self) -> None:
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read_string(self.run("cat /etc/systemd/system/sbc.service"))
        service = unit["Service"]
        state = f"/var/lib/{service['StateDirectory']}"
        user, mode = service["User"], service["StateDirectoryMode"]
        self.run(f"install -d -m {mode} -o {user} -g {user} {state}")
        environ = f"env -i PATH=/usr/bin:/bin HOME={state} STATE_DIRECTORY={state} {service['Environment']}"
        as_user = f"umask {service['UMask']}; cd {service['WorkingDirectory']}; exec {environ} {_UNPRIVILEGED}"
        self.run(f"({as_user} {service['ExecStartPre']})")
        with self._log_file().open("ab") as log:
            self.process = self.lab.edge.popen(
                self._inside(f"{as_user} {service['ExecStart']}"), stdout=log, stderr=subprocess.STDOUT
            )
        self._wait_ready(self._ready)

    def sbc(self, *arguments: str) -> str:
        """Output of the `sbc` command, as root types it."""
        return self.run(shlex.join(["sbc", *arguments]))
