"""Bodies that name addresses, as they leave a hidden zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua import Access, Settings
from sbc.b2bua.documents import KINDS, rewritten
from sbc.b2bua.hosts import Border
from sbc.sip import Address
from tests.support.ladder import ANSWERED, HUNG_UP, Ladder

BORDER = Border(
    True,
    True,
    ("10.0.0.5", "pbx.corp.example"),
    "192.0.2.1",
    dialog=lambda call_id, local, remote: (f"C({len(call_id)})", local and "L", remote and "R"),
)
HIDDEN = re.compile(rb"10\.0\.0|corp\.example|\[fd00", re.IGNORECASE)

DIALOG_INFO = b"""<?xml version="1.0"?>
<!-- made by pbx.corp.example -->
<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="3" state="partial" entity="sip:1002@pbx.corp.example">
  <dialog id="a84b4c76e66710@10.0.0.7" call-id="a84b4c76e66710@10.0.0.7" local-tag="1928301774" remote-tag="a6c85cf"
          direction="recipient">
    <state event="remote-bye">confirmed</state>
    <replaces call-id="zz@10.0.0.8" local-tag="1" remote-tag="2"/>
    <referred-by display="10.0.0.9">sip:1003@10.0.0.9</referred-by>
    <local>
      <identity display="Bob &amp; Co">sip:1002@pbx.corp.example</identity>
      <target uri="sip:1002@10.0.0.7:5062;transport=tcp"><param pname="+sip.rendering" pval="no"/></target>
      <session-description type="application/sdp">v=0
o=- 1 1 IN IP4 10.0.0.7</session-description>
    </local>
    <remote><identity>tel:+4930</identity><target uri="sip:[fd00::7]:5060"/></remote>
  </dialog>
</dialog-info>
"""
PIDF = b"""<?xml version="1.0" encoding="UTF-8"?>
<p:presence xmlns:p="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
    xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="pres:alice@corp.example">
  <p:tuple id="at-10.0.0.7"><p:status><p:basic>open</p:basic></p:status>
    <p:contact priority="0.8">sip:alice@10.0.0.7:5062</p:contact>
    <p:note xml:lang="en">my machine is 10.0.0.7</p:note><p:timestamp>2026-10-27T16:49:29Z</p:timestamp></p:tuple>
  <dm:person id="p1"><rpid:activities><rpid:on-the-phone/></rpid:activities><dm:note>back at 2</dm:note></dm:person>
</p:presence>
"""
REGINFO = b"""<?xml version="1.0"?>
<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="0" state="full">
  <registration aor="sip:1002@pbx.corp.example" id="0x7f" state="active">
    <contact id="0x80" state="active" event="registered" expires="3600" q="0.500" callid="x@10.0.0.7" cseq="2"
       received="sip:10.0.0.7:1024" user_agent="SecretPhone 3.1">
      <uri>sip:1002@10.0.0.7:1024</uri><display-name>Bob</display-name>
      <unknown-param name="+sip.instance">"&lt;urn:uuid:00000000-0000-1000-8000-000A95A0E128&gt;"</unknown-param>
    </contact>
  </registration>
</reginfo>
"""
CONFERENCE = b"""<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:c1@10.0.0.5"
 state="full" version="1">
 <conference-description><subject>Plans</subject><conf-uris><entry><uri>sip:c1@10.0.0.5</uri></entry></conf-uris>
 </conference-description>
 <users><user entity="sip:bob@corp.example" state="full"><display-text>Bob</display-text>
  <endpoint entity="sip:4kfk4j392jsu@10.0.0.8;grid=433kj4j3u"><status>connected</status>
   <call-info><sip><display-text>full info</display-text><call-id>hsjh8980vhsb78@10.0.0.8</call-id>
    <from-tag>vav738dvbs</from-tag><to-tag>8954jgjg8432</to-tag></sip></call-info></endpoint></user></users>
</conference-info>
"""
MWI = b"""Messages-Waiting: yes\r
Message-Account: sip:1002@pbx.corp.example\r
Voice-Message: 2/8 (0/2)\r
\r
To: "Bob" <sip:1002@10.0.0.5>\r
Message-ID: 27775334485@10.0.0.5\r
"""
FRAGMENT = b"SIP/2.0 486 Busy at 10.0.0.7\r\nContact: <sip:1002@10.0.0.7>\r\n"

SAMPLES = {
    "application/dialog-info+xml": DIALOG_INFO,
    "application/pidf+xml": PIDF,
    "application/reginfo+xml": REGINFO,
    "application/conference-info+xml": CONFERENCE,
    "application/simple-message-summary": MWI,
    "message/sipfrag": FRAGMENT,
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_nothing_of_the_hidden_side_is_left(kind: str) -> None:
    written = rewritten(kind, SAMPLES[kind], BORDER)
    assert written is not None
    assert not HIDDEN.search(written)
    assert b"SecretPhone" not in written


def tree(kind: str) -> ElementTree.Element:
    return ElementTree.fromstring(rewritten(kind, SAMPLES[kind], BORDER) or b"")


def texts(root: ElementTree.Element, name: str) -> list[str | None]:
    return [each.text for each in root.iter() if each.tag.rpartition("}")[2] == name]


def test_dialog_info() -> None:
    root = tree("application/dialog-info+xml")
    dialog = root[0]
    assert root.attrib == {"version": "3", "state": "partial", "entity": "sip:1002@192.0.2.1"}
    assert dialog.attrib == {
        "id": "C(23)",
        "call-id": "C(23)",
        "local-tag": "L",
        "remote-tag": "R",
        "direction": "recipient",
    }
    assert texts(root, "state") == ["confirmed"]
    assert [(each.text, each.attrib) for each in root.iter() if each.tag.endswith("}identity")] == [
        ("sip:1002@192.0.2.1", {"display": "Bob & Co"}),
        ("tel:+4930", {}),
    ]
    assert [each.attrib["uri"] for each in root.iter() if each.tag.endswith("}target")] == [
        "sip:1002@192.0.2.1",
        "sip:192.0.2.1",
    ]
    assert texts(root, "session-description") == [None]
    assert texts(root, "referred-by") == ["sip:1003@192.0.2.1"]
    assert next(each.attrib for each in root.iter() if each.tag.endswith("}replaces"))["call-id"] == "C(11)"


def test_pidf() -> None:
    root = tree("application/pidf+xml")
    assert root.attrib["entity"] == "pres:alice@192.0.2.1"
    assert root[0].attrib == {"id": "C(11)"}
    assert texts(root, "contact") == ["sip:alice@192.0.2.1"]
    assert texts(root, "basic") == ["open"]
    assert texts(root, "note") == [None, "back at 2"]
    assert texts(root, "timestamp") == ["2026-10-27T16:49:29Z"]
    assert len(texts(root, "on-the-phone")) == 1


def test_reginfo() -> None:
    root = tree("application/reginfo+xml")
    assert root[0].attrib["aor"] == "sip:1002@192.0.2.1"
    assert root[0][0].attrib == {
        "id": "0x80",
        "state": "active",
        "event": "registered",
        "expires": "3600",
        "q": "0.500",
        "callid": "C(10)",
        "cseq": "2",
        "received": "sip:192.0.2.1",
    }
    assert texts(root, "uri") == ["sip:1002@192.0.2.1"]
    assert texts(root, "unknown-param") == ['"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"']


def test_conference_info() -> None:
    root = tree("application/conference-info+xml")
    assert root.attrib["entity"] == "sip:c1@192.0.2.1"
    assert texts(root, "subject") == ["Plans"]
    assert [texts(root, name) for name in ("call-id", "from-tag", "to-tag")] == [["C(23)"], ["C(10)"], ["C(12)"]]
    assert "4kfk4j392jsu@192.0.2.1" in next(e.attrib["entity"] for e in root.iter() if e.tag.endswith("}endpoint"))


def test_message_summary() -> None:
    assert rewritten("application/simple-message-summary", MWI, BORDER) == (
        b"Messages-Waiting: yes\r\nMessage-Account: sip:1002@192.0.2.1\r\nVoice-Message: 2/8 (0/2)\r\n\r\n"
        b'To: "Bob" <sip:1002@192.0.2.1>\r\n'
    )


def test_of_a_fragment_the_status_is_left() -> None:
    assert rewritten("message/sipfrag", FRAGMENT, BORDER) == b"SIP/2.0 486 \r\n"
    assert rewritten("message/sipfrag", b"INVITE sip:a@b SIP/2.0\r\n", BORDER) is None


LAUGHS = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>'
OUTSIDE_ENTITY = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'


@pytest.mark.parametrize(
    "content",
    [
        LAUGHS,
        OUTSIDE_ENTITY,
        b"<!DOCTYPE a><a/>",
        b"<a>&undeclared;</a>",
        b"<a>",
        b"",
        b"<a/><b/>",
        b"<a>\xff</a>",
        b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xfc</a>",
        b"<a>" * 33 + b"</a>" * 33,
        b"<a>" + b"<b/>" * 5000 + b"</a>",
        b"<a " + b" ".join(b"x%d='1'" % n for n in range(100)) + b"/>",
        b"<a>" + b"x" * 70_000 + b"</a>",
        b'<a xmlns="http://pbx.corp.example/ns"/>',
        b"<pbx.corp.example/>",
    ],
)
def test_what_is_dangerous_too_much_or_broken_does_not_cross(content: bytes) -> None:
    assert rewritten("application/pidf+xml", content, BORDER) is None


def test_what_was_escaped_is_escaped_again() -> None:
    content = b"<a b='&lt;&quot;&#10;x'>1 &lt; 2 <![CDATA[<&]]></a>"
    written = rewritten("application/pidf+xml", content, BORDER)
    root = ElementTree.fromstring(written or b"")
    assert (root.attrib, root.text) == ({"b": '<"\nx'}, "1 < 2 <&")


_hosts = st.sampled_from(["10.0.0.5", "10.0.0.77", "pbx.corp.example", "PBX.Corp.example"])
_values = st.one_of(
    st.text(max_size=8),
    st.builds("sip:{}@{}".format, st.text("abc%;:=", max_size=5), _hosts),
    st.builds("{} {}".format, st.text(max_size=4), _hosts),
    st.builds('"{}" <sip:x@{}>;tag={}'.format, st.text("abc 0", max_size=4), _hosts, _hosts),
)


@given(st.sampled_from(sorted(KINDS)), st.lists(_values, max_size=5))
def test_no_value_lets_a_host_through(kind: str, values: list[str]) -> None:
    root = ElementTree.Element("a")
    for number, value in enumerate(values):
        readable = re.sub(r"[^\x20-\ud7ff]", "", value)
        child = ElementTree.SubElement(root, "call-id" if number % 2 else "b", {"id": readable, "v": readable})
        child.text = readable
    xml = kind.endswith("xml")
    content = (
        ElementTree.tostring(root) if xml else "".join(f"N: {value}\r\n" for value in values).encode("utf-8", "replace")
    )
    written = rewritten(kind, content, BORDER)
    assert written is None or not HIDDEN.search(written)


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=60))
def test_rubbish_is_refused_or_harmless(kind: str, content: bytes) -> None:
    written = rewritten(kind, content, BORDER)
    assert written is None or not HIDDEN.search(written)


# -- in subscriptions --------------------------------------------------------------------------------------------------

WATCHES = """
    watcher -> SUBSCRIBE | Event: dialog
    callee <- SUBSCRIBE
    callee -> 200 SUBSCRIBE | Expires: 600
    watcher <- 200 SUBSCRIBE
"""
UNWATCHES = """
    callee -> NOTIFY | Event: dialog | Subscription-State: terminated
    watcher <- NOTIFY
    watcher -> 200 NOTIFY
    callee <- 200 NOTIFY
"""


def test_a_call_through_us_is_told_of_as_the_watcher_can_take_it_over(ladder: Ladder) -> None:
    ladder.party("watcher", Address("198.51.100.8", 5060), "sip:1001@192.0.2.1")
    ladder.play(ANSWERED)
    in_call = ladder.parties["callee"].identity
    caller = ladder.parties["caller"].identity
    assert in_call is not None
    assert caller is not None
    tags = [re.findall("tag=([^;>]+)", text)[0] for text in in_call[1:]]
    ladder.bodies["told"] = (
        "application/dialog-info+xml",
        f'<dialog-info entity="sip:1001@10.0.0.5"><dialog id="{in_call[0]}" call-id="{in_call[0]}" '
        f'local-tag="{tags[0]}" remote-tag="{tags[1]}" direction="recipient"><state>confirmed</state></dialog>'
        f'<dialog id="other" call-id="internal@10.0.0.9" local-tag="secret-tag-l" remote-tag="secret-tag-r"/>'
        f"</dialog-info>".encode(),
    )
    ladder.parties["callee"].identity = None
    ladder.play(WATCHES)
    for _ in range(2):
        ladder.play(
            """
            callee -> NOTIFY told | Event: dialog | Subscription-State: active
            watcher <- NOTIFY body | Content-Type: application/dialog-info+xml
            watcher -> 200 NOTIFY
            callee <- 200 NOTIFY
        """
        )
    heard = ladder.parties["watcher"].requests["NOTIFY"]
    first, second = ElementTree.fromstring(heard.body)
    ours = re.findall("tag=([^;>]+)", caller[2])[0]
    theirs = re.findall("tag=([^;>]+)", caller[1])[0]
    assert (first.attrib["call-id"], first.attrib["local-tag"], first.attrib["remote-tag"]) == (caller[0], ours, theirs)
    assert b"secret-tag" not in heard.body
    assert b"internal" not in heard.body
    assert len({second.attrib[name] for name in ("call-id", "local-tag", "remote-tag", "id")}) == 4
    ladder.play(UNWATCHES)
    ladder.parties["callee"].identity = in_call
    ladder.play(HUNG_UP)


def test_who_is_watched_is_named_as_the_watcher_did(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(access=Access("public", ("example.com",), "pbx", key=b"site")))
    ladder.party("watcher", Address("198.51.100.8", 5060), "sip:1001@example.com")
    ladder.bodies["told"] = (
        "application/dialog-info+xml",
        b'<dialog-info entity="sip:1001@10.0.0.5"><dialog id="1"/></dialog-info>',
    )
    ladder.play(
        WATCHES,
        """
        callee -> NOTIFY told | Event: dialog | Subscription-State: active
        watcher <- NOTIFY body
        watcher -> 200 NOTIFY
        callee <- 200 NOTIFY
    """,
    )
    assert b'entity="sip:1001@example.com"' in ladder.parties["watcher"].requests["NOTIFY"].body
    ladder.play(UNWATCHES)


def test_what_a_side_that_is_not_hidden_says_crosses_octet_for_octet(ladder: Ladder) -> None:
    ladder.bodies["pidf"] = ("application/pidf+xml", PIDF.replace(b"10.0.0", b"198.51.100").replace(b"corp.", b""))
    ladder.play(
        """
        caller -> PUBLISH pidf | Event: presence
        callee <- PUBLISH pidf | Content-Type: application/pidf+xml
        callee -> 200 PUBLISH
        caller <- 200 PUBLISH
    """
    )


def test_parts_of_a_list_are_rewritten_one_by_one(ladder: Ladder) -> None:
    """RFC 4662: multipart/related of rlmi and one document for each resource."""
    part = b"--x\r\nContent-Type: application/pidf+xml\r\nContent-ID: <1@10.0.0.5>\r\n\r\n" + PIDF + b"\r\n--x--\r\n"
    ladder.bodies["list"] = (
        'multipart/related;type="application/rlmi+xml";boundary=x',
        b"--x\r\nContent-Type: application/rlmi+xml\r\n\r\n"
        b'<list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:friends@10.0.0.5" version="1" fullState="true"/>\r\n'
        + part,
    )
    ladder.play(
        """
        callee -> NOTIFY list sip:phone@198.51.100.7:5070 | Event: presence | Require: eventlist
        caller <- NOTIFY body | Content-Type: multipart/related* | Require: eventlist
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY
    """
    )
    body = ladder.parties["caller"].requests["NOTIFY"].body
    assert b"sip:friends@192.0.2.1" in body
    assert b"pres:alice@192.0.2.1" in body
