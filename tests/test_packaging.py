"""What an installed wheel brings: above all the twistd plugin, which setuptools leaves out if it is not told of it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from a copy of what belongs into it, so that nothing is left in the checkout."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("out")
    for name in ("pyproject.toml", "README.md", "LICENSE", "sbc", "twisted", "tests"):
        (sources / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(sources)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (file,) = out.iterdir()
    return zipfile.ZipFile(file)


def test_the_twistd_plugin_is_in_it_and_no_package_of_twisteds_is_shadowed(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if name.startswith("twisted/")] == ["twisted/plugins/sbc_plugin.py"]


def test_every_module_is_in_it_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if name.startswith("sbc/")}
    assert packed == {p.relative_to(ROOT).as_posix() for p in (ROOT / "sbc").rglob("*.py")} | {"sbc/py.typed"}
    assert {name.split("/")[0] for name in wheel.namelist()} == {"sbc", "twisted", "sbc-0.1.0.dist-info"}


def test_it_brings_the_sbc_command_and_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    assert "sbc = sbc.service.main:main" in wheel.read("sbc-0.1.0.dist-info/entry_points.txt").decode()
    metadata = message_from_string(wheel.read("sbc-0.1.0.dist-info/METADATA").decode())
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    needed = {line.split(">")[0] for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert needed == {"twisted", "pyopenssl", "service-identity", "pyroute2", "pydantic<3,"}


def test_twistd_finds_the_plugin_where_the_wheel_is_installed(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = (
        f"import sys; sys.path[:] = [{str(tmp_path)!r}] + [p for p in sys.path if p != {str(ROOT)!r}]\n"
        "from twisted.application.service import IServiceMaker\n"
        "from twisted.plugin import getPlugins\n"
        "print([p.module for p in getPlugins(IServiceMaker) if p.tapname == 'sbc'])\n"
        "import sbc; print(sbc.__file__)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["['sbc.service.tap']", str(tmp_path / "sbc/__init__.py")]
