from __future__ import annotations

from sbc.service.faults import Fault
from sbc.service.findings import Findings


def test_a_single_value_in_place_of_a_list_is_named_without_an_index() -> None:
    findings = Findings("etc/sbc.toml", {("a",): 4, ("b",): 6, ("b", 0): 7})
    findings.fault(("a", 0), "bad")
    findings.warn(("b", 0), "odd")
    assert findings.faults == [Fault("etc/sbc.toml", 4, "a", "bad")]
    assert findings.warnings == [Fault("etc/sbc.toml", 7, "b[1]", "odd")]


def test_a_place_names_the_file_without_its_folder() -> None:
    assert Findings("etc/sbc.toml", {("a",): 4}).place(("a", "unknown")) == "sbc.toml:4"
