"""docs/call-flows.md, written from the flows that the tests play.

`python -m tests.support.flows_page` writes it anew; tests/test_docs.py says when that is due.
"""

from __future__ import annotations

from pathlib import Path

from tests.scenarios import rfc3665, rfc5359
from tests.support.flows import Flow

PAGE = Path(__file__).parents[2] / "docs/call-flows.md"

HEAD = """\
# The call flows of RFC 3665 and RFC 5359, and what the SBC does in them

Written by `python -m tests.support.flows_page` from `tests/scenarios/rfc3665.py` and `rfc5359.py`, where each flow
stands in full, as its parties see it. The tests play each with SIPp through a real `twistd`, look at the records of its
calls, and search every byte outside for what names the inside.

Alice, Carol and a gateway are *outside*; Bob, his colleague and the servers of his PBX *inside*; the SBC stands in the
place of the proxies. What two elements of one side say to each other does not pass it, and is left out.
"""

TAIL = """
Not in the tables: registration (RFC 3665 section 2) makes no call. What these services say outside of calls (SUBSCRIBE
and NOTIFY of the dialog package in call park, pickup and automatic redial; the MESSAGE of 2.6) is said inside the PBX
in these tests; what the SBC does where it passes is in [interworking.md](interworking.md). The REFER outside of calls
to a music or park server, and the one that click to dial begins with, stay inside as well: no such REFER crosses.
"""


def page() -> str:
    return HEAD + _table("RFC 3665", rfc3665.FLOWS) + _table("RFC 5359", rfc5359.FLOWS) + TAIL


def _table(rfc: str, flows: list[Flow]) -> str:
    test = f"test_{rfc.lower().replace(' ', '')}"
    rows = [f"| {each.section} | {each.title} | {each.does} | `{test}[{each.name}]` |\n" for each in _sorted(flows)]
    return (
        f"\n## {rfc}\n\n| section | flow | what the SBC does | `test_call_flows` |\n|---|---|---|---|\n{''.join(rows)}"
    )


def _sorted(flows: list[Flow]) -> list[Flow]:
    return sorted(flows, key=lambda flow: [int(part) for part in flow.section.split(".")])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
