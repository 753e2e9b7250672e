"""docs/topology-hiding.md, written from the list in sbc.b2bua that the program itself goes by.

`python -m tests.support.crossing_page` writes it anew; tests/test_docs.py says when that is due.
"""

from __future__ import annotations

from pathlib import Path

from sbc.b2bua import CROSSING, Treatment

PAGE = Path(__file__).parents[2] / "docs/topology-hiding.md"

WORDS = {
    Treatment.COPY: "as it is; not at all if it names a host of a hidden zone",
    Treatment.TEXT: "as it is; not at all if it may name a host",
    Treatment.UNHIDDEN: "only out of zones that are not hidden",
    Treatment.IDENTITY: "only from configured peers, to others only if the user does not mind; hosts replaced",
    Treatment.REDIRECTION: "hosts replaced by ours",
    Treatment.REASON: "protocol and cause; the text only where it names no host",
    Treatment.WARNING: "the code, with us as agent; the text only where it names no host",
    Treatment.SECONDS: "the number and nothing else",
}

HEAD = """\
# What crosses the border

Written by `python -m tests.support.crossing_page` from `sbc/b2bua/crossing.py`, the list that the program goes by.

Both legs of a call are dialogs of their own. A message that leaves is built anew, not edited: Via, Route,
Record-Route, Contact, Call-ID, tags, branches, CSeq, Max-Forwards, Allow, Supported and Require are the SBC's own.
From and To keep the user and the display name; out of a *hidden* zone (every zone but the one named `public`, unless
the configuration says otherwise) their hosts are replaced. Of the other header fields those in this table cross, and
**no others**:

| header field | how it crosses | why |
|---|---|---|
"""

TAIL = """
Out of a hidden zone nothing crosses that contains any IP address, or a known name of that zone (ours there, or a
configured peer's), whatever the table says. The reason phrase of a response out of a hidden zone is the standard one
of its status.

Session descriptions are rewritten line by line (`sbc/media/rewriting.py`). On every leg: origin, session id and
version are our own; addresses and ports are ours; ICE candidates, keys and everything else that would lead media past
us is left out; a stream that cannot be relayed gets port 0. Out of a hidden zone also `s=`, `i=`, `u=`, `e=`, `p=`,
names of software, and every attribute that holds an address or a known name; RTCP then says a CNAME of ours in place
of the sources' own descriptions.

Other bodies: an INVITE with a body that is no session description is refused with 415. A body of another request
inside a call (such as INFO) crosses as it is, but is refused with 488 if it names a host of a hidden zone.
"""


def page() -> str:
    rows = "".join(f"| {rule.name} | {WORDS[rule.treatment]} | {rule.why} |\n" for rule in CROSSING)
    return HEAD + rows + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
