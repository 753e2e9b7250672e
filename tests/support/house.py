"""The house rules that no other tool checks: sizes, names, doors between rooms, and tests that mirror the code.

`python -m tests.support.house` prints every breach as file:line: text and exits with 1 if there is one. What the rules
are for: docs/decisions/001-house-rules-are-checked.md.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 600
FUNCTION_CODE_LINES = 60
PUBLIC_METHODS = 12
OWN_IMPORTS_ON_AVERAGE = 3.5
FORBIDDEN_WORDS = ("Manager", "Handler", "Processor", "Engine", "Helper", "Utils", "Base")

EXCEPTIONS: dict[tuple[str, str], str] = {
    # (rule, path or path:name): reason. Keep it short; an exception that is not needed any more is a breach itself.
    ("mirror", "sbc/sip/wire.py"): "named tuples only, nothing to run",
    ("mirror", "sbc/media/flow.py"): "plain data and a protocol, nothing to run",
    ("mirror", "sbc/media/facts.py"): "plain data, nothing to run",
    ("methods", "sbc/media/session.py:MediaSession"): "one for each thing that happens to the media of a call",
    ("mirror", "sbc/transport/settings.py"): "plain data, nothing to run",
    ("mirror", "sbc/b2bua/commands.py"): "plain data, nothing to run",
    ("mirror", "sbc/b2bua/hooks.py"): "plain data and a protocol, nothing to run",
    ("mirror", "sbc/b2bua/network.py"): "plain data, nothing to run",
    ("mirror", "sbc/b2bua/transfer_state.py"): "plain data, nothing to run",
}
"""Rules: lines, function, methods, name, door, mirror."""

UNMIRRORED_TESTS = {"support", "conformance", "scenarios", "interop", "fuzz", "bench"}
"""Folders of tests/ that test no single room."""

Breach = tuple[str, str, int, str]
"""(rule, path or path:name as in EXCEPTIONS, line, text)"""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(source: str) -> set[int]:
    """Numbers of the lines that hold code: no blank line, comment or docstring."""
    dull = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in dull:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def sizes(path: str, source: str, tree: ast.Module) -> Iterator[Breach]:
    count = source.count("\n")
    if count > FILE_LINES:
        yield "lines", path, 1, f"{count} lines, at most {FILE_LINES}"
    code = code_lines(source)
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode):
            length = len(code.intersection(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
            if length > FUNCTION_CODE_LINES:
                yield "function", f"{path}:{node.name}", node.lineno, f"{length} lines of code, at most 60: {node.name}"
        elif isinstance(node, ast.ClassDef) and path.startswith("sbc/"):
            public = [m.name for m in node.body if isinstance(m, FunctionNode) and not m.name.startswith("_")]
            if len(public) > PUBLIC_METHODS:
                text = f"{len(public)} public methods, at most {PUBLIC_METHODS}: {node.name}"
                yield "methods", f"{path}:{node.name}", node.lineno, text


def names(path: str, tree: ast.Module) -> Iterator[Breach]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for word in FORBIDDEN_WORDS:
                if node.name.endswith(word) or node.name.startswith(word):
                    yield "name", f"{path}:{node.name}", node.lineno, f"{node.name}: say what it is, not {word!r}"


def own_imports(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, module) of each import of the project's own modules."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sbc":
            found.append((node.lineno, node.module))
        elif isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "sbc"]
    return found


def doors(path: str, tree: ast.Module) -> Iterator[Breach]:
    """Another room is entered through its __init__ only."""
    room = path.split("/")[1]
    for line, module in own_imports(tree):
        parts = module.split(".")
        if len(parts) > 2 and parts[1] != room:
            yield "door", f"{path}:{module}", line, f"imports {module}: take it from sbc.{parts[1]}"


def mirror(root: Path) -> Iterator[Breach]:
    modules = {p.relative_to(root / "sbc") for p in (root / "sbc").rglob("*.py")}
    modules = {p for p in modules if p.name != "__init__.py" and len(p.parts) > 1}
    tests = {p.relative_to(root / "tests") for p in (root / "tests").rglob("test_*.py")}
    tests = {p for p in tests if len(p.parts) > 1 and p.parts[0] not in UNMIRRORED_TESTS}
    for module in sorted(modules):
        if module.with_name(f"test_{module.name}") not in tests:
            yield "mirror", f"sbc/{module}", 1, f"has no tests/{module.with_name('test_' + module.name)}"
    for test in sorted(tests):
        # test_parser.py tests parser.py; test_parser_limits.py does too, where one file would grow too long
        stem = test.stem.removeprefix("test_")
        candidates = [p for p in modules if p.parent == test.parent and (stem + "_").startswith(p.stem + "_")]
        if not candidates:
            yield "mirror", f"tests/{test}", 1, f"there is no sbc/{test.with_name(stem + '.py')}"


def breaches(root: Path) -> list[Breach]:
    """Everything that is wrong under `root`, exceptions not yet taken out."""
    found: list[Breach] = []
    files = sorted((root / "sbc").rglob("*.py"))
    imports = 0
    for file in files + sorted((root / "tests").rglob("*.py")):
        path = file.relative_to(root).as_posix()
        source = file.read_text("utf-8")
        tree = ast.parse(source, path)
        found += sizes(path, source, tree)
        found += names(path, tree)
        if path.startswith("sbc/") and path.count("/") > 1:
            found += doors(path, tree)
            imports += len({module for _, module in own_imports(tree)})
    if files and imports / len(files) > OWN_IMPORTS_ON_AVERAGE:
        text = (
            f"{imports / len(files):.2f} imports of own modules a module on average, at most {OWN_IMPORTS_ON_AVERAGE}"
        )
        found.append(("imports", "sbc", 1, text))
    found += mirror(root)
    return found


def unexcused(found: list[Breach], exceptions: dict[tuple[str, str], str]) -> list[str]:
    """Lines to print: breaches without an exception, and exceptions without a breach."""
    excused = {(rule, key) for rule, key, _, _ in found}
    here = [(key.split(":")[0], line, text, rule) for rule, key, line, text in found if (rule, key) not in exceptions]
    unneeded = [(key, rule) for rule, key in exceptions if (rule, key) not in excused]
    return [f"{path}:{line}: {text} [{rule}]" for path, line, text, rule in here] + [
        f"{key}: exception not needed any more [{rule}]" for key, rule in unneeded
    ]


def main() -> int:
    lines = unexcused(breaches(Path(__file__).parents[2]), EXCEPTIONS)
    print("\n".join(lines) if lines else "house rules kept")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
