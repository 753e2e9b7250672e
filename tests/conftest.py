"""What holds for every test: nothing may leak, and in CI nothing may be skipped."""

from __future__ import annotations

import gc
import glob
import os
import shutil
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a busy one is slow, which proves nothing
settings.load_profile("any machine")

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        pytest.skip("needs root (network namespaces)")
    for marker in item.iter_markers("needs_peers"):
        missing = [each for each in marker.args if shutil.which(each) is None and not glob.glob(each)]
        if missing:
            pytest.skip(f"needs {', '.join(missing)}: `make test` as root on Debian or Ubuntu installs it")


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"in CI every test runs, this one did not: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


# -- leaks ------------------------------------------------------------------------------------------------------------


def _children() -> set[str]:
    found: set[str] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(file.read_text().split())
        except OSError:  # the thread has ended
            continue
    return found


def _sockets() -> set[str]:
    found: set[str] = set()
    for file in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(file)
        except OSError:  # the descriptor of iterdir itself
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def _threads() -> set[str]:
    # The reactor's pool and the resolver's threads live as long as the reactor does.
    return {t.name for t in threading.enumerate() if not t.name.startswith("PoolThread-twisted.internet.reactor")}


def _namespaces() -> set[str]:
    folder = Path("/run/netns")
    return {f.name for f in folder.iterdir() if f.name.startswith(f"sbc{os.getpid()}")} if folder.is_dir() else set()


def _delayed_calls() -> set[str]:
    reactor = sys.modules.get("twisted.internet.reactor")
    return {str(call) for call in reactor.getDelayedCalls()} if reactor is not None else set()


def _holdings() -> dict[str, set[str]]:
    return {
        "child process": _children(),
        "socket": _sockets(),
        "thread": _threads(),
        "network namespace": _namespaces(),
        "delayed call": _delayed_calls(),
    }


@pytest.fixture(scope="module", autouse=True)
def nothing_leaks() -> Generator[None, None, None]:
    """A module of tests leaves no process, socket, thread, namespace or delayed call behind.

    Fixtures that hold such a thing may be module-wide, therefore this is looked at once a module, not once a test.
    """
    before = _holdings()
    yield
    gc.collect()
    after = _holdings()
    leaked = [f"{what} {name}" for what, names in after.items() for name in sorted(names - before[what])]
    assert not leaked, "leaked: " + ", ".join(leaked)
