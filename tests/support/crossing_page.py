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

Messages in calls (MSRP, `sbc/msrp/stream.py`): To-Path and From-Path are written anew on every leg, and of the other
header fields only those of RFC 4975, Use-Nickname and Content-* cross. Transaction ids, Message-IDs and bodies cross as
they are: what users write to each other (message/cpim names them) is theirs.

## Bodies

One table (`sbc/b2bua/documents.py`) says what is done to a body by its type, in requests and responses, in and
outside of calls, in either direction:

| type | out of a hidden zone | out of another zone (inwards, say) |
|---|---|---|
| `application/sdp` that describes the session | rewritten, see above | rewritten, see above |
| XML that names addresses (1) | rewritten | rewritten where need be, else octet for octet |
| lines that name addresses (2) | rewritten | rewritten |
| `message/sipfrag` | the status of a response | the status of a response |
| other XML: `+xml`, `text/xml`, `application/xml` | read; as it is if it names no host | read; as it is |
| what may lead media past us (3) | does not cross | does not cross |
| anything else | as it is if it can be read and names no host | as it is |

(1) dialog-info, pidf, pidf-diff, cpim-pidf, reginfo, conference-info, watcherinfo, rlmi, x-as-feature-event. (2)
simple-message-summary, call-completion, vq-rtcpxr. (3) a second session description, `multipart/signed`,
`multipart/encrypted`, `application/pkcs7-mime`, `message/sip`, `message/external-body`.

*Rewritten*: in URIs the user stays and the host becomes ours; inwards a domain stays, an address of ours becomes the
PBX's, and what a phone calls itself (192.168.1.7, alices-phone.local) becomes the SBC, through which it is reached. A
dialog that leads through the SBC is named as on its other leg, so that Replaces finds it, another one by names that
mean nothing to anybody but the SBC, which reads them where a Replaces brings them back (call pickup). What names a
host besides is left out; out of a hidden zone so are products and descriptions of sessions. Content-ID, and `cid:`
that refers to it, get our host.

XML is read before anybody behind the SBC reads it. With a document type (and thus entities), or where it cannot be
read as UTF-8, it does not cross (400); nor beyond 64 KiB, 32 levels, 4096 elements or 64 attributes of one (413).

Parts of a multipart body, which gets a boundary of our own, are looked at one by one, with their Content-* fields.
Where a part that does not cross may be ignored (`handling=optional`) it is left out; otherwise the request is refused
(400, 413 or 415), but for emergency calls, which go on without it. Of responses, ACK and BYE it is left out. The
call's trail says so.
"""


def _name(rule: Rule) -> str:
    return f"{rule.name} (outside calls)" if rule.outside else rule.name


def page() -> str:
    rows = "".join(f"| {_name(rule)} | {WORDS[rule.treatment]} | {rule.why} |\n" for rule in CROSSING)
    return HEAD + rows + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
