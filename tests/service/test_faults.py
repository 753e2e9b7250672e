from __future__ import annotations

from sbc.service.faults import ConfigError, Fault, key_text, meant, unknown_name


def test_a_fault_reads_as_a_compiler_would_say_it() -> None:
    assert str(Fault("sbc.toml", 3, "sip.t1", "no number")) == "sbc.toml:3: sip.t1: no number"
    assert str(Fault("sbc.toml", 0, "", "cannot be read")) == "sbc.toml: cannot be read"


def test_faults_are_told_in_the_order_of_their_lines() -> None:
    error = ConfigError([Fault("f", 9, "b", "later"), Fault("f", 2, "a", "first")])
    assert [fault.line for fault in error.faults] == [2, 9]
    assert str(error) == "f:2: a: first\nf:9: b: later"


def test_elements_of_lists_count_from_one() -> None:
    assert key_text(("routes", 0, "to", 2)) == "routes[1].to[3]"


def test_a_near_miss_brings_a_suggestion_and_a_far_one_does_not() -> None:
    assert meant("Adress", ["address", "port"]) == "; did you mean 'address'?"
    assert meant("colour", ["address", "port"]) == ""
    assert unknown_name("peer", "x", ["pbx2", "pbx"]) == "no peer is named 'x' (there is: pbx, pbx2)"
    assert unknown_name("peer", "x", []) == "no peer is named 'x' (there is: none)"
