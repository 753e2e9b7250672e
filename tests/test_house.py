"""The checks of the house rules find what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.house import breaches, code_lines, unexcused

ROOT = Path(__file__).parents[1]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small house that keeps all rules."""
    for name, text in {
        "sbc/__init__.py": "",
        "sbc/sip/__init__.py": "",
        "sbc/sip/uri.py": "from sbc.sdp import parse\n\n\ndef read() -> None:\n    parse()\n",
        "sbc/sdp/__init__.py": "",
        "sbc/sdp/parsing.py": "class Description:\n    def text(self) -> str:\n        return ''\n",
        "tests/sip/test_uri.py": "def test_reads() -> None:\n    pass\n",
        "tests/sip/test_uri_equality.py": "",
        "tests/sdp/test_parsing.py": "",
        "tests/conformance/test_rfc4475.py": "",
        "tests/test_packaging.py": "",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def found(house: Path) -> list[str]:
    return unexcused(breaches(house), {})


def test_a_house_in_order_has_no_breach(house: Path) -> None:
    assert found(house) == []


LONG = "def f() -> None:\n" + "    g()\n" * 60
WIDE = "class A:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(13))
CURIOUS = "import sbc.sdp\n" + "".join(f"from sbc.sip.m{n} import x\n" for n in range(20))
NAMED = "class CallManager: ...\n"
INTRUDING = "\nfrom sbc.sdp.parsing import Description\n"


@pytest.mark.parametrize(
    ("file", "text", "breach"),
    [
        ("sbc/sip/uri.py", "\n" * 601, "sbc/sip/uri.py:1: 601 lines, at most 600 [lines]"),
        ("sbc/sip/uri.py", LONG, "sbc/sip/uri.py:1: 61 lines of code, at most 60: f [function]"),
        ("sbc/sip/uri.py", WIDE, "sbc/sip/uri.py:1: 13 public methods, at most 12: A [methods]"),
        ("sbc/sip/uri.py", NAMED, "sbc/sip/uri.py:1: CallManager: say what it is, not 'Manager' [name]"),
        ("sbc/sip/uri.py", INTRUDING, "sbc/sip/uri.py:2: imports sbc.sdp.parsing: take it from sbc.sdp [door]"),
        ("sbc/sip/uri.py", CURIOUS, "sbc:1: 4.20 imports of own modules a module on average, at most 3.5 [imports]"),
        ("sbc/sip/new.py", "", "sbc/sip/new.py:1: has no tests/sip/test_new.py [mirror]"),
        ("tests/sip/test_old.py", "", "tests/sip/test_old.py:1: there is no sbc/sip/old.py [mirror]"),
    ],
)
def test_each_rule_is_checked(house: Path, file: str, text: str, breach: str) -> None:
    (house / file).write_text(text)
    assert found(house) == [breach]


def test_what_says_something_to_readers_only_is_not_counted() -> None:
    source = 'def f():\n    """Long\n    words."""\n    # a comment\n\n    return """text\n    of two lines"""\n'
    assert code_lines(source) == {1, 6, 7}


def test_an_exception_excuses_and_one_that_is_not_needed_is_a_breach(house: Path) -> None:
    (house / "sbc/sip/new.py").write_text("")
    assert unexcused(breaches(house), {("mirror", "sbc/sip/new.py"): "a reason"}) == []
    assert unexcused([], {("lines", "sbc/a.py"): "a reason"}) == ["sbc/a.py: exception not needed any more [lines]"]
