from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sbc.service.positions import KeyPath, line_of, positions

DOCUMENT = """\
# a comment with [brackets] = "and quotes
a.b = 1
[x]
y = [1, 2, # in = [a
 3, { q = 1, r = [ "a]", 'b' ] } ]
s = \"\"\"
[no]
k = 1 \\\"""
\"\"\" # c
literal = '''
z = '' 1'''
"quoted.key" = 1979-05-27 07:32:00
[[r]]
to = "a#"
[[r]]
to = "b"
  [r.sub]
z = true
[[r.deep]]
f = 1.5
[[r.deep]]
f = {}
[ last . 'of all' ]
k = []
"""


def paths_of(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Every key path of a parsed document."""
    found = {path} if path else set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        found |= paths_of(each, (*path, key))
    return found


def test_every_key_table_and_element_has_its_line() -> None:
    found = positions(DOCUMENT)
    lines = DOCUMENT.splitlines()
    expected = {
        ("a", "b"): "a.b = 1",
        ("x",): "[x]",
        ("x", "y", 1): "y = [1, 2, # in = [a",
        ("x", "y", 2): " 3, { q = 1, r = [ \"a]\", 'b' ] } ]",
        ("x", "y", 3, "r", 1): " 3, { q = 1, r = [ \"a]\", 'b' ] } ]",
        ("x", "s"): 's = """',
        ("x", "literal"): "literal = '''",
        ("x", "quoted.key"): '"quoted.key" = 1979-05-27 07:32:00',
        ("r", 0, "to"): 'to = "a#"',
        ("r", 1, "to"): 'to = "b"',
        ("r", 1, "sub", "z"): "z = true",
        ("r", 1, "deep", 0, "f"): "f = 1.5",
        ("r", 1, "deep", 1, "f"): "f = {}",
        ("last", "of all", "k"): "k = []",
    }
    assert {path: lines[found[path] - 1] for path in expected} == expected


def test_no_key_is_missed_and_none_invented() -> None:
    assert set(positions(DOCUMENT)) == paths_of(tomllib.loads(DOCUMENT))


def test_a_path_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    found = positions("\n[a]\nb = 1\n")
    assert line_of(found, ("a", "c", 3)) == 2
    assert line_of(found, ("nowhere",)) == 1


def test_windows_line_ends_count_once() -> None:
    assert positions("a = 1\r\n\r\nb = [\r\n2]\r\n") == {("a",): 1, ("b",): 3, ("b", 0): 4}


# -- any document -----------------------------------------------------------------------------------------------------

keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(key)} = {written(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[\n" + "".join(f"  {written(each)}, # ]\n" for each in value) + "]"
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


values = st.recursive(
    st.integers(-9, 9) | keys, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)


@given(st.dictionaries(keys, values, max_size=4))
def test_any_document_is_walked_to_its_end(document: dict[str, Any]) -> None:
    text = "".join(f"{quoted(key)} = {written(value)}\n" for key, value in document.items())
    assert tomllib.loads(text) == document
    assert set(positions(text)) == paths_of(document)
