"""Bodies as they cross the border, by their types."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua import Access, Settings
from sbc.b2bua.documents import TREATMENTS, crossed
from sbc.b2bua.hosts import Border
from sbc.sip import Address, RemoteProtocolError
from tests.support.ladder import ANSWERED, HUNG_UP, Ladder

BORDER = Border(
    True,
    True,
    ("10.0.0.5", "pbx.corp.example"),
    "192.0.2.1",
    dialog=lambda call_id, local, remote: (f"C({len(call_id)})", local and "L", remote and "R"),
)
INWARDS = BORDER._replace(
    hidden=False, names=(), our_host="10.0.0.1", there="10.0.0.5", ours=frozenset({"192.0.2.1", "sbc.example.net"})
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


def rewritten(kind: str, content: bytes, border: Border) -> bytes | None:
    try:
        return crossed(kind, content, border)
    except RemoteProtocolError:
        return None


def refused(kind: str, content: bytes, border: Border) -> int:
    with pytest.raises(RemoteProtocolError) as caught:
        crossed(kind, content, border)
    return caught.value.status_hint


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


@pytest.mark.parametrize("border", [BORDER, INWARDS], ids=["outwards", "inwards"])
@pytest.mark.parametrize("kind", ["application/pidf+xml", "application/unheard-of+xml", "text/xml"])
@pytest.mark.parametrize(
    ("content", "status"),
    [
        (LAUGHS, 400),
        (OUTSIDE_ENTITY, 400),
        (b"<!DOCTYPE a><a/>", 400),
        (b"<a>&undeclared;</a>", 400),
        (b"<a>", 400),
        (b"", 400),
        (b"<a/><b/>", 400),
        (b"<a>\xff</a>", 400),
        (b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xfc</a>", 400),
        (b"<a>" * 33 + b"</a>" * 33, 413),
        (b"<a>" + b"<b/>" * 5000 + b"</a>", 413),
        (b"<a " + b" ".join(b"x%d='1'" % n for n in range(100)) + b"/>", 413),
        (b"<a>" + b"x" * 70_000 + b"</a>", 413),
    ],
)
def test_what_is_dangerous_too_much_or_broken_does_not_cross(
    content: bytes, status: int, kind: str, border: Border
) -> None:
    assert refused(kind, content, border) == status


@pytest.mark.parametrize("content", [b'<a xmlns="http://pbx.corp.example/ns"/>', b"<pbx.corp.example/>"])
def test_markup_that_names_a_host_does_not_cross(content: bytes) -> None:
    assert refused("application/pidf+xml", content, BORDER) == 415


SMUGGLED = b"<?xml version='1.0' encoding='utf-7'?><a>+ADwAIQ-DOCTYPE a+AD4-</a>"


def test_what_another_reader_may_take_for_markup_is_written_in_the_one_encoding_that_is_read() -> None:
    assert refused("application/unheard-of+xml", SMUGGLED, INWARDS) == 415
    written = rewritten("application/pidf+xml", SMUGGLED, INWARDS)
    assert written is not None
    assert written.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')


# -- inwards -----------------------------------------------------------------------------------------------------------

PHONES = re.compile(rb"192\.168\.|fd00|alices-phone", re.IGNORECASE)


@pytest.mark.parametrize("kind", SAMPLES)
def test_nothing_of_a_phones_own_network_goes_inwards(kind: str) -> None:
    content = SAMPLES[kind].replace(b"10.0.0.", b"192.168.1.").replace(b"pbx.corp.example", b"alices-phone.local")
    assert PHONES.search(content)
    written = rewritten(kind, content, INWARDS)
    assert written is not None
    assert not PHONES.search(written)


@pytest.mark.parametrize(
    ("said", "crosses"),
    [
        ("sip:alice@192.168.1.7:5062;transport=tcp", "sip:alice@10.0.0.1"),
        ("sip:alice@alices-phone.local", "sip:alice@10.0.0.1"),
        ("sip:alice@alices-phone", "sip:alice@10.0.0.1"),
        ("pres:alice@192.168.1.7", "pres:alice@10.0.0.1"),
        ("sip:bob@192.0.2.1", "sip:bob@10.0.0.5"),
        ("sip:bob@sbc.example.net", "sip:bob@sbc.example.net"),
        ("sip:alice@example.com;transport=tcp", "sip:alice@example.com;transport=tcp"),
        ("sip:alice@example.com;maddr=192.168.1.7", "sip:alice@example.com"),
        ("pres:alice@example.com", "pres:alice@example.com"),
        ("im:alice@Example.COM", "im:alice@Example.COM"),
        ("tel:+4930", "tel:+4930"),
        ("I am at 192.168.1.7", None),
        ("Alice: at home", "Alice: at home"),
    ],
)
def test_a_phone_is_named_as_it_is_known_inside(said: str, crosses: str | None) -> None:
    root = ElementTree.fromstring(crossed("application/pidf+xml", f"<a>{said}</a>".encode(), INWARDS))
    assert root.text == crosses


def test_what_need_not_be_changed_goes_inwards_octet_for_octet() -> None:
    content = b"""<?xml version='1.0' encoding='ISO-8859-1' standalone='yes'?>
<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' entity='pres:alice@example.com' empty=''>
<p:tuple id="t1"><p:status><p:basic>open</p:basic></p:status><p:contact>sip:alice@example.com</p:contact></p:tuple>
</p:presence>
"""
    assert crossed("application/pidf+xml", content, INWARDS) == content
    assert crossed("application/unheard-of+xml", content, INWARDS) == content
    assert b"<!--" not in crossed("application/pidf+xml", content + b"<!-- at 192.168.1.7 -->", INWARDS)


# -- reports of voice quality ------------------------------------------------------------------------------------------

REPORT = b"""VQSessionReport: CallTerm
CallID: 6d5@192.168.1.7
LocalID: <sip:alice@192.168.1.7>
RemoteID: <sip:bob@example.com>
LocalAddr:IP=192.168.1.7 PORT=5000 SSRC=1a3b5c7d
x-UserAgent: SecretPhone
LocalMetrics:
QualityEst:MOSLQ=4.1 MOSCQ=4.0
Info: from 192.168.1.7
DialogID: 6d5@192.168.1.7;to-tag=8472761;from-tag=9123dh311
"""


def test_a_report_of_voice_quality_tells_of_the_call_as_the_other_side_knows_it() -> None:
    assert crossed("application/vq-rtcpxr", REPORT, INWARDS).decode().split("\r\n") == [
        "VQSessionReport: CallTerm",
        "CallID: C(15)",
        "LocalID: <sip:alice@10.0.0.1>",
        "RemoteID: <sip:bob@example.com>",
        "LocalAddr: IP=10.0.0.1 PORT=5000 SSRC=1a3b5c7d",
        "x-UserAgent: SecretPhone",
        "LocalMetrics: ",
        "QualityEst: MOSLQ=4.1 MOSCQ=4.0",
        "DialogID: C(15);to-tag=L;from-tag=R",
        "",
    ]
    outwards = crossed("application/vq-rtcpxr", REPORT.replace(b"192.168.1", b"10.0.0"), BORDER)
    assert b"LocalAddr: IP=192.0.2.1 PORT=5000" in outwards
    assert b"SecretPhone" not in outwards
    assert not HIDDEN.search(outwards)


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
    st.builds("IP={0} PORT=1 IP={0}".format, _hosts),
    st.builds("{}@{};to-tag={}".format, st.text("abc", max_size=3), _hosts, st.text("abc", min_size=1, max_size=3)),
    st.builds("pres:{}@{};maddr={}".format, st.text("abc", max_size=3), _hosts, _hosts),
    st.builds('"{}" <sip:x@{}>;tag={}'.format, st.text("abc 0", max_size=4), _hosts, _hosts),
)


def _document(kind: str, values: list[str]) -> bytes:
    """One that says `values` in all places where a value may stand."""
    root = ElementTree.Element("a")
    for number, value in enumerate(values):
        readable = re.sub(r"[^\x20-\ud7ff]", "", value)
        child = ElementTree.SubElement(root, "call-id" if number % 2 else "b", {"id": readable, "v": readable})
        child.text = readable
    if kind.endswith("xml"):
        return ElementTree.tostring(root)
    names = ("N", "CallID", "LocalAddr", "DialogID")
    lines = (f"{names[number % 4]}: {value}\r\n" for number, value in enumerate(values))
    return "".join(lines).encode("utf-8", "replace")


@given(st.sampled_from(sorted(TREATMENTS)), st.lists(_values, max_size=5))
def test_no_value_lets_a_host_through(kind: str, values: list[str]) -> None:
    written = rewritten(kind, _document(kind, values), BORDER)
    assert written is None or not HIDDEN.search(written)


@given(st.sampled_from(sorted(TREATMENTS)), st.lists(_values, max_size=5))
def test_no_value_lets_an_address_in(kind: str, values: list[str]) -> None:
    at_home = [value.replace("10.0.0.", "192.168.1.") for value in values]
    written = rewritten(kind, _document(kind, at_home), INWARDS)
    assert written is None or b"192.168.1." not in written


@given(st.sampled_from(sorted(TREATMENTS)), st.binary(max_size=60))
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


def test_what_a_phone_publishes_of_itself_names_us(ladder: Ladder) -> None:
    ladder.bodies["pidf"] = ("application/pidf+xml", PIDF.replace(b"10.0.0", b"192.168.1"))
    ladder.play(
        """
        caller -> PUBLISH pidf | Event: presence
        callee <- PUBLISH body | Content-Type: application/pidf+xml
        callee -> 200 PUBLISH
        caller <- 200 PUBLISH
    """
    )
    body = ladder.parties["callee"].requests["PUBLISH"].body
    assert b"sip:alice@10.0.0.1" in body
    assert b"pres:alice@corp.example" in body
    assert b"192.168" not in body


BOMB = ("application/pidf+xml", LAUGHS)


@pytest.mark.parametrize(("source", "target"), [("caller", "callee"), ("callee", "caller")])
def test_dangerous_xml_is_refused_in_a_request_and_left_out_of_a_response(
    ladder: Ladder, source: str, target: str
) -> None:
    ladder.bodies["bomb"] = BOMB
    uri = "" if source == "caller" else " sip:phone@198.51.100.7:5070"
    ladder.play(f"{source} -> MESSAGE bomb{uri}", f"{source} <- 400 MESSAGE")
    ladder.parties[source].identity = None
    uri = "" if target == "caller" else " sip:phone@198.51.100.7:5070"
    ladder.play(
        f"{target} -> MESSAGE text{uri}",
        f"{source} <- MESSAGE text",
        f"{source} -> 488 MESSAGE bomb",
        f"{target} <- 488 MESSAGE | -Content-Type",
    )
    assert not ladder.parties[target].heard.body  # type: ignore[union-attr]
    assert any("application/pidf+xml: XML with a document type" in line for line in ladder.trail)


@pytest.mark.parametrize(("source", "target"), [("caller", "callee"), ("callee", "caller")])
def test_in_a_call_responses_bring_what_may_cross_and_nothing_else(ladder: Ladder, source: str, target: str) -> None:
    ladder.play(ANSWERED)
    ladder.bodies["bomb"] = BOMB
    ladder.bodies["pidf"] = ("application/pidf+xml", PIDF)
    for sent, heard in (("pidf", "body | Content-Type: application/pidf+xml"), ("bomb", "| -Content-Type")):
        ladder.play(
            f"{target} -> INFO text",
            f"{source} <- INFO text",
            f"{source} -> 200 INFO {sent}",
            f"{target} <- 200 INFO {heard}",
        )
        message = ladder.parties[target].heard
        assert message is not None
        assert b"10.0.0.7" not in message.body
    assert not message.body
    assert any("left out" in line and "document type" in line for line in ladder.trail)
    ladder.play(HUNG_UP)


def test_the_trail_of_a_call_says_what_its_refusal_said_in_vain(ladder: Ladder) -> None:
    ladder.bodies["bomb"] = BOMB
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 488 bomb
        callee <- ACK
        caller <- 488 | -Content-Type
        caller -> ACK
    """
    )
    assert any("left out" in line and "document type" in line for line in ladder.trail)


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
