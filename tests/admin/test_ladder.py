from __future__ import annotations

from sbc.admin.ladder import CALLEE, CALLER, COLOURS, SBC, Arrow, Note, ladder

NAMES = ("alice", "SBC", "pbx")


def drawn(*steps: Arrow | Note, width: int = 80, plain: bool = False) -> str:
    return "\n".join(ladder(NAMES, steps, began=100.0, width=width, plain=plain))


PICTURE = """
          alice                        SBC                         pbx
            │                           │                           │
  +0.000    │── INVITE sip:bob@examp… ─>│                           │
  +0.001    │                           │ * route/default: pbx: the only peer
  +0.001    │                           │── INVITE sip:bob@10.0.… ─>│
  +0.250    │                           │<─────────── 180 Ringing ──│
  +0.251    │<─────────── 180 Ringing ──│                           │
            │                           │                           │
"""


def test_a_call_reads_like_a_diagram() -> None:
    assert drawn(
        Arrow(100.0, CALLER, SBC, "INVITE sip:bob@example.com SDP"),
        Note(100.001, "route/default: pbx: the only peer"),
        Arrow(100.001, SBC, CALLEE, "INVITE sip:bob@10.0.0.5"),
        Arrow(100.25, CALLEE, SBC, "180 Ringing"),
        Arrow(100.251, SBC, CALLER, "180 Ringing"),
    ) == PICTURE.strip("\n")


def test_it_can_be_drawn_with_ascii_only() -> None:
    text = drawn(Arrow(100.0, SBC, CALLEE, "INVITE sip:a-very-long-name@example.com"), plain=True)
    assert text.isascii()
    assert "|-- INVITE sip:a-very-lo~ ->|" in text


def test_repetitions_are_folded_where_the_message_came_first() -> None:
    text = drawn(
        Arrow(100.0, SBC, CALLEE, "INVITE", b"same"),
        Note(100.2, "something else"),
        Arrow(100.5, SBC, CALLEE, "INVITE", b"same"),
        Arrow(101.5, SBC, CALLEE, "INVITE", b"same"),
        Arrow(101.6, CALLEE, SBC, "INVITE", b"same"),
        Arrow(101.7, SBC, CALLEE, "INVITE", b"other"),
    )
    assert [line[:10].strip() for line in text.split("\n")[2:-1]] == ["+0.000", "+0.200", "+1.600", "+1.700"]
    assert text.count("(x3)") == 1
    assert "+0.000    │                           │── INVITE (x3) ───────────>│" in text


def test_steps_are_put_in_the_order_of_time_and_keep_theirs_within_a_moment() -> None:
    text = drawn(Note(100.2, "third"), Note(100.1, "first"), Note(100.1, "second"))
    assert text.index("first") < text.index("second") < text.index("third")


def test_a_long_decision_takes_two_lines_and_no_line_is_too_wide() -> None:
    for width in (60, 80, 100, 140):
        lines = ladder(
            NAMES, [Note(100.0, "word " * 100), Arrow(100.0, CALLER, SBC, "x" * 500)], began=100.0, width=width
        )
        assert max(map(len, lines)) <= width
        assert len(lines) == 6
        assert any("…" in line for line in lines)


def test_what_went_wrong_stands_out_on_a_terminal() -> None:
    steps = [
        Arrow(100.0, CALLEE, SBC, "486 Busy Here"),
        Arrow(100.0, SBC, CALLER, "200 OK"),
        Note(100.0, "no", bad=True),
    ]
    lines = ladder(NAMES, steps, began=100.0, style=COLOURS)
    assert [COLOURS.bad in line for line in lines[2:5]] == [True, False, True]
    assert COLOURS.good in lines[3]
    assert all(line.count(COLOURS.end) == 1 for line in lines[2:5])


def test_names_that_are_too_long_are_cut() -> None:
    heading = ladder(("a" * 200, "SBC", "b" * 200), [], began=0.0, width=80)[0]
    assert len(heading) <= 80
    assert heading.count("…") == 2
