"""What documents say and a machine can check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sbc.service.config import parse
from tests.support import crossing_page, flows_page, remote_phones
from tests.support.machine import EDGE

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def test_the_page_of_what_crosses_is_the_list_that_the_program_goes_by() -> None:
    assert crossing_page.PAGE.read_text("utf-8") == crossing_page.page(), "run: python -m tests.support.crossing_page"


def test_the_page_of_call_flows_is_what_the_tests_play() -> None:
    assert flows_page.PAGE.read_text("utf-8") == flows_page.page(), "run: python -m tests.support.flows_page"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
    assert [link for link in links if ":" not in link and not (page.parent / link).exists()] == []


def test_the_configuration_in_the_readme_is_the_minimal_example_and_then_one_for_remote_phones() -> None:
    minimal, more = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    example = (ROOT / "etc/examples/minimal.toml").read_text("utf-8")
    assert parse(minimal, "t", EDGE).network == parse(example, "t", EDGE).network
    access = parse(minimal + more, "t", EDGE).access
    assert access is not None
    assert (access.zone, access.domains, access.registrar) == ("public", ("example.com",), "pbx")


def test_two_settings_make_an_edge_for_remote_phones() -> None:
    """The configuration that the page on it tells to write; `tests/interop/test_registration.py` runs it."""
    config = parse(remote_phones.configuration(), "t", EDGE)
    assert config.access is not None
    assert (config.access.zone, config.access.domains, config.access.registrar) == ("public", ("example.com",), "pbx")
    assert (config.network.peers["pbx"].zone, config.network.zones["public"].open) == ("private", True)


@pytest.mark.parametrize("key", re.findall(r"`(\w+)(?: = [^`]+)?` in `\[", remote_phones.PAGE.read_text("utf-8")))
def test_settings_that_the_page_on_remote_phones_names_exist(key: str) -> None:
    assert re.search(rf"(?m)^#?{key} = ", (ROOT / "etc/sbc.toml").read_text("utf-8"))


def test_settings_that_the_guide_names_exist() -> None:
    reference = (ROOT / "etc/sbc.toml").read_text("utf-8")
    named = set(
        re.findall(r"`(service|sip|calls|media|records)\.([a-z_0-9]+)`", (ROOT / "docs/guide.md").read_text("utf-8"))
    )
    assert named
    assert [key for _, key in named if not re.search(rf"(?m)^#?{key} = ", reference)] == []


def test_each_row_about_interworking_names_a_test_that_exists() -> None:
    page = (ROOT / "docs/interworking.md").read_text("utf-8")
    rows = [
        line
        for line in page.splitlines()
        if line.startswith("| ") and not line.startswith(("| A side", "| transferor"))
    ]
    assert len(rows) > 40
    for row in rows:
        for file, name in re.findall(r"`(test_\w+)::(test_\w+)`", row) or [("", row)]:
            sources = [path.read_text("utf-8") for path in (ROOT / "tests").rglob(f"{file}.py")]
            assert any(f"def {name}(" in source for source in sources), row
