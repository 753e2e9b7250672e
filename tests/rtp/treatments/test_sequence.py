from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sbc.rtp import SequenceShift


def test_nothing_shifts_before_something_was_taken_out_or_put_in():
    shift = SequenceShift()
    assert [shift.passing(1, n) for n in (65534, 65535, 0, 5)] == [65534, 65535, 0, 5]
    assert not shift.is_shifted


def test_what_is_taken_out_leaves_no_gap_and_what_is_put_in_no_number_twice():
    shift = SequenceShift()
    assert shift.passing(1, 10) == 10
    shift.taken_out(1, 11)
    shift.taken_out(1, 12)
    assert shift.passing(1, 13) == 11
    assert [shift.put_in(), shift.put_in(), shift.put_in()] == [12, 13, 14]
    assert shift.passing(1, 14) == 15
    assert shift.is_shifted


def test_loss_stays_loss():
    shift = SequenceShift()
    shift.taken_out(1, 10)
    assert shift.passing(1, 11) == 10
    assert shift.passing(1, 15) == 14


def test_a_late_packet_has_the_number_that_it_would_have_had():
    shift = SequenceShift()
    shift.passing(1, 9)
    shift.passing(1, 11)
    shift.taken_out(1, 12)
    assert shift.passing(1, 13) == 12
    assert shift.put_in() == 13
    assert shift.passing(1, 10) == 10
    assert shift.passing(1, 14) == 14
    shift.taken_out(1, 8)  # late, and repeated packets too, change nothing
    shift.taken_out(1, 12)
    assert shift.passing(1, 15) == 15


def test_another_source_begins_without_shift():
    shift = SequenceShift()
    shift.taken_out(1, 10)
    assert shift.passing(2, 700) == 700
    assert not shift.is_shifted


@given(st.integers(0, 65535), st.lists(st.sampled_from(["pass", "out", "in", "lost"]), max_size=300))
def test_numbers_go_on_by_one_except_where_packets_were_lost(first: int, steps: list[str]) -> None:
    shift = SequenceShift()
    shift.begin(7, first)
    incoming = expected = first
    missing = 0  # what is lost shows when something later comes
    for step in steps:
        if step == "in":
            assert shift.put_in() == expected & 0xFFFF
            expected += 1
            continue
        if step == "lost":
            missing += 1
        else:
            expected += missing
            missing = 0
        if step == "pass":
            assert shift.passing(7, incoming & 0xFFFF) == expected & 0xFFFF
            expected += 1
        elif step == "out":
            shift.taken_out(7, incoming & 0xFFFF)
        incoming += 1
