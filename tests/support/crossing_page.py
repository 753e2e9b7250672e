"""docs/topology-hiding.md, written from the list in sbc.b2bua that the program itself goes by.

`python -m tests.support.crossing_page` writes it anew; tests/test_docs.py says when that is due.
"""

from __future__ import annotations

from pathlib import Path

from sbc.b2bua import CROSSING, Rule, Treatment

PAGE = Path(__file__).parents[2] / "docs/topology-hiding.md"

WORDS = {
    Treatment.COPY: "as it is; not at all if it names a host of a hidden zone",
    Treatment.CREDENTIALS: (
        "as it is; not at all if it names a host of a hidden zone, or an address other than that of who it is for"
    ),
    Treatment.TEXT: "as it is; not at all if it may name a host",
    Treatment.UNHIDDEN: "only out of zones that are not hidden",
    Treatment.IDENTITY: "only from whom we trust; to others only if the user does not mind; hosts replaced",
    Treatment.PREFERRED: "as P-Asserted-Identity, where there is none",
    Treatment.REDIRECTION: "hosts replaced by ours; anonymous to whom we do not trust, if the user wishes it",
    Treatment.REFERRER: "without parameters; hosts replaced by ours",
    Treatment.PRIVACY: "as it is; to whom we do not trust less what we have done",
    Treatment.REFERENCE: "`cid:` with our host; other URIs only out of zones that are not hidden",
    Treatment.REASON: "protocol and cause; the text only where it names no host",
    Treatment.WARNING: "the code, with us as agent; the text only where it names no host",
    Treatment.SECONDS: "the number and nothing else",
    Treatment.CHALLENGE: "as it is, without `auth-int`; not at all if it names a host of a hidden zone",
    Treatment.ENTITY_TAG: "as it is; not at all if it is an IP address or holds a known name of a hidden zone",
}

HEAD = """\
# What crosses the border

Written by `python -m tests.support.crossing_page` from `sbc/b2bua/crossing.py`, the list that the program goes by.

Both legs of a call are dialogs of their own. A message that leaves is built anew, not edited: Via, Route,
Record-Route, Contact, Call-ID, tags, branches, CSeq, Max-Forwards, Allow, Supported and Require are the SBC's own.
From and To keep the user and the display name; out of a *hidden* zone (every zone but the one named `public`, unless
the configuration says otherwise) their hosts are replaced. Configured peers belong to our *trust domain* (RFC 3325),
others do not; `trusted` of a peer or zone says otherwise. On its edge the SBC does what `Privacy` asks for (RFC 3323):
with `user` From is anonymous and Subject, User-Agent, Server, Organization, Reply-To, Call-Info and Warning stay
inside; with `id` asserted identities do; with `header` nothing that names a host goes out, and with `history` or
`header` nobody that the call has been at. Of the other header fields those in this table cross, and
**no others**:

| header field | how it crosses | why |
|---|---|---|
"""

TAIL = """
Out of a hidden zone nothing crosses that contains any IP address (in credentials: any but that of who they are for), or
a known name of that zone (ours there, or a configured peer's), whatever the table says. The reason phrase of a response
out of a hidden zone is the standard one of its status.

Session descriptions are rewritten line by line (`sbc/media/rewriting.py`). On every leg: origin, session id and
version are our own; addresses and ports are ours; ICE candidates, keys and everything else that would lead media past
us is left out; a stream that cannot be relayed gets port 0. Out of a hidden zone also `s=`, `i=`, `u=`, `e=`, `p=`,
names of software, and every attribute that holds an address or a known name; RTCP then says a CNAME of ours in place
of the sources' own descriptions.

Bodies that name addresses by their nature cross out of a hidden zone rewritten by type (`sbc/b2bua/documents.py`):
dialog-info, pidf, pidf-diff, reginfo, conference-info, watcherinfo, rlmi and x-as-feature-event (XML),
simple-message-summary, call-completion, sipfrag. In URIs the user stays and the host becomes ours; a dialog that leads
through the SBC is named as on its other leg, so that Replaces finds it, another one by names that mean nothing and stay
the same; products, descriptions of sessions and whatever else names a host are left out; of a sipfrag the status is
left. XML with a document type, beyond 64 KiB, 32 levels or 4096 elements, or in another encoding than UTF-8 does not
cross. Out of zones that are not hidden these bodies cross octet for octet.

Bodies (`sbc/b2bua/bodies.py`): the session description is found and rewritten, also as a part of a multipart body,
which gets a boundary of our own; other bodies and parts cross octet for octet, with their Content-* fields (Content-ID
with our host). What does not cross: out of a hidden zone a part that holds an IP address or a known name of it, or that
is encoded so that nobody can tell; in any direction what could hold another session that leads media past us: a second
session description,
`multipart/signed`, `multipart/encrypted`, `application/pkcs7-mime`, `message/sip`, `message/external-body`. Where such
a part may be ignored (`handling=optional`) it is left out; otherwise the request gets 415, but for emergency calls,
which go on without it. Of responses, ACK and BYE it is left out.
"""


def _name(rule: Rule) -> str:
    return f"{rule.name} (outside calls)" if rule.outside else rule.name


def page() -> str:
    rows = "".join(f"| {_name(rule)} | {WORDS[rule.treatment]} | {rule.why} |\n" for rule in CROSSING)
    return HEAD + rows + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
