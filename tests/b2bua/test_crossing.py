"""Each rule of what crosses, out of hidden zones and out of others."""

from __future__ import annotations

import pytest

from sbc.b2bua.crossing import CROSSING, Treatment, addressed, cross_headers, crossed_identity, originator
from sbc.b2bua.hosts import Border
from sbc.sip import Headers, Limits, Request, parse, parse_name_address

HIDDEN = Border(True, True, ("10.0.0.5", "pbx.corp.example"), "192.0.2.1", there="198.51.100.7")
SHOWN = HIDDEN._replace(hidden=False)


def crossed(name: str, value: str, border: Border = HIDDEN) -> list[str]:
    return all_crossed(((name, value),), border).get_all(name)


def all_crossed(fields: tuple[tuple[str, str], ...], border: Border = HIDDEN) -> Headers:
    built = Headers()
    cross_headers(Headers(fields), built, border, outside=True)
    return built


OWN = "Via Route Record-Route Contact Call-ID From To CSeq Allow Supported Require Max-Forwards Content-Length"
OTHERS = (
    "Path Service-Route Replaces Join Refer-To Referred-By In-Reply-To P-Charging-Vector P-Access-Network-Info X-Mine"
)


@pytest.mark.parametrize(
    "name", [*OWN.split(), *OTHERS.split(), "Content-Type", "Content-Encoding", "Accept-Encoding", "Identity"]
)
@pytest.mark.parametrize("border", [HIDDEN, SHOWN], ids=["hidden", "shown"])
def test_what_is_not_on_the_list_does_not_cross(name: str, border: Border) -> None:
    assert crossed(name, "harmless", border) == []


@pytest.mark.parametrize("rule", CROSSING, ids=lambda rule: rule.name)
def test_every_rule_says_why(rule: object) -> None:
    assert rule.why.startswith(("RFC", "draft"))  # type: ignore[attr-defined]


HARMLESS = {
    Treatment.COPY: "x;y=z, w",
    Treatment.CREDENTIALS: 'Digest username="a", uri="sip:1@host.example"',
    Treatment.TEXT: "a word, and another",
    Treatment.UNHIDDEN: "<http://example.com/>",
    Treatment.IDENTITY: '"A" <sip:a@host.example>',
    Treatment.REDIRECTION: '"A" <sip:a@host.example>;reason=unknown',
    Treatment.REFERRER: '"A" <sip:a@host.example>',
    Treatment.PRIVACY: "id; critical",
    Treatment.REFERENCE: "<cid:1@host.example>, <http://host.example/>",
    Treatment.REASON: 'Q.850;cause=16;text="ok"',
    Treatment.WARNING: '399 host.example "words"',
    Treatment.SECONDS: "30",
    Treatment.CHALLENGE: 'Digest realm="r", nonce="n", qop="auth"',
    Treatment.ENTITY_TAG: "a.1700000000.123.1.0",
}


@pytest.mark.parametrize("rule", CROSSING, ids=lambda rule: rule.name)
def test_out_of_a_zone_that_is_not_hidden_what_is_on_the_list_crosses_as_it_is(rule: object) -> None:
    if rule.treatment is Treatment.PREFERRED:  # type: ignore[attr-defined]
        return  # see below
    value = HARMLESS[rule.treatment]  # type: ignore[attr-defined]
    assert crossed(rule.name, value, SHOWN) == [value]  # type: ignore[attr-defined]


@pytest.mark.parametrize("rule", [rule for rule in CROSSING if rule.outside], ids=lambda rule: rule.name)
def test_what_is_about_events_does_not_cross_in_calls(rule: object) -> None:
    built = Headers()
    cross_headers(Headers(((rule.name, "30"),)), built, SHOWN)  # type: ignore[attr-defined]
    assert list(built) == []


NAMING = ["10.0.0.5", "10.0.0.77", "pbx.corp.example", "[2001:db8::7]"]


@pytest.mark.parametrize("host", NAMING)
@pytest.mark.parametrize("rule", CROSSING, ids=lambda rule: rule.name)
def test_out_of_a_hidden_zone_no_rule_lets_a_host_through(rule: object, host: str) -> None:
    for value in (
        host,
        f"x;y={host}",
        f'"at {host}" <sip:a@{host};maddr={host}?Via={host}>;z="{host}";tag={host}, <tel:1;phone-context={host}>',
        f'Q.850;cause=16;text="{host}";host={host}, {host};cause=1',
        f'399 {host} "ask {host}", 399 {host} {host}',
        f"30 ({host});x={host}",
        f"<http://{host}/>",
        f'Digest realm="{host}", nonce="{host}"',
    ):
        for kept in crossed(rule.name, value):  # type: ignore[attr-defined]
            assert host not in kept.replace("192.0.2.1", "")


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("Privacy", "id", ["id"]),
        ("Date", "Thu, 21 Feb 2002 13:02:03 GMT", ["Thu, 21 Feb 2002 13:02:03 GMT"]),
        ("WWW-Authenticate", 'Digest realm="office", nonce="x"', ['Digest realm="office", nonce="x"']),
        ("WWW-Authenticate", 'Digest realm="pbx.corp.example", nonce="x"', []),
        ("Proxy-Authorization", 'Digest uri="sip:1@10.0.0.5"', []),
        (
            "WWW-Authenticate",
            'Digest realm="office", nonce="x", qop="auth,auth-int"',
            ['Digest realm="office", nonce="x", qop="auth"'],
        ),
        ("SIP-ETag", "a.1700000000.123.1.0", ["a.1700000000.123.1.0"]),
        ("SIP-If-Match", "tag-at-pbx.corp.example", []),
        ("SIP-ETag", "x-10.0.0.9", []),
        ("Event", "dialog;sla;id=7", ["dialog;sla;id=7"]),
        ("Event", "dialog;call-id=1@10.0.0.9", []),
        ("Subscription-State", "terminated;reason=timeout", ["terminated;reason=timeout"]),
        ("Min-Expires", "600", ["600"]),
        ("Authorization", 'Digest uri="sip:1@198.51.100.7"', ['Digest uri="sip:1@198.51.100.7"']),
        ("Authorization", 'Digest uri="sip:1@198.51.100.77"', []),
        ("Authorization", 'Digest uri="sip:1@198.51.100.7", opaque="10.0.0.77"', []),
        ("Authorization", 'Digest uri="sip:1@198.51.100.7", realm="pbx.corp.example"', []),
        ("WWW-Authenticate", 'Digest realm="198.51.100.7"', []),
        ("Subject", "Dinner", ["Dinner"]),
        ("Subject", "see gw.other.example", []),
        ("User-to-User", "00c81031;encoding=hex", ["00c81031;encoding=hex"]),
        ("Server", "Asterisk", []),
        ("User-Agent", "Asterisk", []),
        ("Organization", "Corp", []),
        ("Retry-After", "18000;duration=3600", ["18000"]),
        ("Retry-After", "soon", []),
        ("Expires", "120", ["120"]),
        ("Reason", 'Q.850;cause=16;text="Normal"', ['Q.850;cause=16;text="Normal"']),
        ("Reason", 'Q.850 ; cause=16 ; text="on gw7.corp.example"', ["Q.850;cause=16"]),
        ("Reason", 'SIP;cause=200;text="a, b", Q.850;cause=1', ['SIP;cause=200;text="a, b", Q.850;cause=1']),
        ("Reason", 'SIP;text="a \\" 10.0.0.7"', ["SIP"]),
        ("Reason", "SIP;cause=x", []),
        ("Reason", "10.0.0.9;cause=1", []),
        ("Reason", ";;;", []),
        ("Warning", '370 pbx.corp.example:5060 "No bandwidth"', ['370 192.0.2.1 "No bandwidth"']),
        ("Warning", '399 a "x at 10.1.1.1", 301 b "y \\"z\\""', ['399 192.0.2.1 "", 301 192.0.2.1 "y \\"z\\""']),
        ("Warning", "399 unquoted words", []),
        (
            "Diversion",
            '"Bob" <sip:bob@10.0.0.9>;reason=user-busy;counter=2, <sip:carol@corp.example;user=phone>;limit=3',
            ['"Bob" <sip:bob@192.0.2.1>;reason=user-busy;counter=2, <sip:carol@192.0.2.1;user=phone>;limit=3'],
        ),
        (
            "Diversion",
            '"10.0.0.9" <sip:bob@10.0.0.9>;reason=x;via=gw.corp.example;tag=abc;flag',
            ["<sip:bob@192.0.2.1>;reason=x;flag"],
        ),
        (
            "History-Info",
            "<sip:bob@10.0.0.5?Reason=SIP%3Bcause%3D302>;index=1, <sip:c@10.0.0.6>;index=1.1.1.1;mp=1",
            ["<sip:bob@192.0.2.1?Reason=SIP%3Bcause%3D302>;index=1, <sip:c@192.0.2.1>;index=1.1.1.1;mp=1"],
        ),
        (
            "History-Info",
            "<sip:bob@10.0.0.5?Reason=SIP%3Btext%3D%2210.0.0.7%22&Via=10.0.0.8&Privacy=history&privacy=10.0.0.9>;index=1",
            ["<sip:bob@192.0.2.1?Reason=SIP&Privacy=history>;index=1"],
        ),
        ("History-Info", "<tel:+4930?Reason=SIP>;index=1", ["<sip:anonymous@192.0.2.1?Reason=SIP>;index=1"]),
        ("History-Info", "<<>, sip:bob@10.0.0.9;index=1", ["<sip:bob@192.0.2.1>;index=1"]),
        ("Geolocation", "<cid:abc@10.0.0.9>, <https://lis.example/1>", ["<cid:abc@192.0.2.1>"]),
        ("Geolocation", "<cid:10.0.0.9@x>", []),
        (
            "Call-Info",
            "<cid:a@pbx>;purpose=EmergencyCallData.ServiceInfo",
            ["<cid:a@192.0.2.1>;purpose=EmergencyCallData.ServiceInfo"],
        ),
        ("P-Asserted-Identity", '"A, B" <sip:a@10.0.0.5>, tel:+4930', ['"A, B" <sip:a@192.0.2.1>, <tel:+4930>']),
    ],
)
def test_what_a_hidden_zone_lets_out(name: str, value: str, result: list[str]) -> None:
    assert crossed(name, value) == result


def test_each_line_crosses_by_itself() -> None:
    fields = (("Warning", '399 a "x"'), ("Subject", "10.0.0.5"), ("Warning", '300 b "y"'))
    assert list(all_crossed(fields)) == [("Warning", '399 192.0.2.1 "x"'), ("Warning", '300 192.0.2.1 "y"')]


def test_a_folded_header_is_seen_whole() -> None:
    data = (
        b"INFO sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
        b'Call-ID: 1\r\nCSeq: 1 INFO\r\nReason: Q.850\r\n ;cause=16\r\n\t;text="on\r\n 10.0.0.7"\r\n\r\n'
    )
    message = parse(data, Limits())
    assert isinstance(message, Request)
    built = Headers()
    cross_headers(message.headers, built, HIDDEN)
    assert list(built) == [("Reason", "Q.850;cause=16")]


def test_compact_and_other_spellings_are_the_same_header() -> None:
    assert all_crossed((("s", "Dinner"), ("PRIORITY", "urgent"))).get_all("Subject") == ["Dinner"]


# -- identities --------------------------------------------------------------------------------------------------------

ASSERTED = ("P-Asserted-Identity", "<sip:a@10.0.0.9>")
IDENTITY = (ASSERTED, ("Remote-Party-ID", "<sip:a@10.0.0.9>;privacy=off"), ("P-Preferred-Identity", "<sip:b@10.0.0.9>"))
OUT = SHOWN._replace(to_trusted=False)
"""Out of the trust domain."""


def test_nobody_outside_the_trust_domain_asserts_an_identity() -> None:
    assert len(all_crossed(IDENTITY)) == 2
    assert len(all_crossed(IDENTITY, HIDDEN._replace(trusted=False))) == 0


def test_an_identity_that_a_trusted_user_prefers_is_asserted_where_none_is() -> None:
    """RFC 3325 section 9.2."""
    preferred = ("P-Preferred-Identity", '"B" <sip:b@10.0.0.9>')
    assert list(all_crossed((preferred,))) == [("P-Asserted-Identity", '"B" <sip:b@192.0.2.1>')]
    assert list(all_crossed((preferred, ASSERTED))) == [("P-Asserted-Identity", "<sip:a@192.0.2.1>")]
    assert len(all_crossed((preferred,), HIDDEN._replace(trusted=False))) == 0
    assert len(all_crossed((preferred, ("Privacy", "id")), OUT)) == 1  # which is Privacy


@pytest.mark.parametrize(
    ("privacy", "number"), [("id", 0), ("header; ID", 0), ("none", 2), ("none;id", 2), ("header", 2), ("ideal", 2)]
)
def test_an_asserted_identity_leaves_the_trust_domain_as_the_user_wishes(privacy: str, number: int) -> None:
    """RFC 3325 section 7."""
    fields = (*IDENTITY[:2], ("Privacy", privacy))
    assert len(all_crossed(IDENTITY[:2], OUT)) == 2
    crossed = all_crossed(fields, OUT)
    assert len(crossed.get_all("P-Asserted-Identity") + crossed.get_all("Remote-Party-ID")) == number
    assert len(all_crossed(fields, SHOWN)) == 3


@pytest.mark.parametrize(("privacy", "number"), [("off", 1), ("full", 0), ('uri"', 0), ('"name"', 0)])
def test_a_private_party_is_no_business_of_strangers(privacy: str, number: int) -> None:
    fields = (("Remote-Party-ID", f"<sip:a@10.0.0.9>; Privacy = {privacy}"),)
    assert len(all_crossed(fields, OUT)) == number
    assert len(all_crossed(fields, SHOWN)) == 1


@pytest.mark.parametrize(
    ("name", "withheld"),
    [("Subject", 1), ("User-Agent", 1), ("Server", 1), ("Organization", 1), ("Reply-To", 1), ("Date", 0)],
)
def test_user_privacy_withholds_what_is_not_needed(name: str, withheld: int) -> None:
    """RFC 3323 section 5.3, RFC 5379 section 5.1."""
    fields = ((name, "x"), ("Privacy", "user"))
    assert len(all_crossed(fields, OUT)) == 1 - withheld
    assert len(all_crossed(fields, SHOWN)) == 2


def test_header_privacy_is_as_if_the_zone_were_hidden() -> None:
    """RFC 3323 section 5.1."""
    fields = (("Server", "x"), ("Warning", '399 198.51.100.7 "x"'), ("Privacy", "header"))
    assert list(all_crossed(fields, OUT)) == [("Warning", '399 192.0.2.1 "x"')]


@pytest.mark.parametrize(
    ("wish", "left"),
    [
        ("user;header;session", []),
        ("history, id", ["id"]),
        ("ID;critical", ["ID;critical"]),
        ("user;critical", []),
        ("location", ["location"]),
    ],
)
def test_what_has_been_done_is_not_asked_for_any_more(wish: str, left: list[str]) -> None:
    """RFC 3323 section 5."""
    assert crossed("Privacy", wish, OUT) == left
    assert crossed("Privacy", wish, SHOWN) == [wish]


HISTORY = ("History-Info", "<sip:bob@x.example?Privacy=history>;index=1, <sip:c@x.example>;index=1.1;mp=1")
DIVERSION = ("Diversion", "<sip:bob@x.example>;reason=no-answer;privacy=full, <sip:c@x.example>;privacy=off")


def test_where_a_call_has_been_is_told_to_strangers_as_far_as_each_entry_allows() -> None:
    """RFC 7044 section 10.1, RFC 5806 section 4."""
    assert list(all_crossed((HISTORY, DIVERSION), SHOWN)) == [HISTORY, DIVERSION]
    assert list(all_crossed((HISTORY, DIVERSION), OUT)) == [
        ("History-Info", "<sip:anonymous@anonymous.invalid>;index=1, <sip:c@x.example>;index=1.1;mp=1"),
        (
            "Diversion",
            "<sip:anonymous@anonymous.invalid>;reason=no-answer;privacy=full, <sip:c@x.example>;privacy=off",
        ),
    ]


@pytest.mark.parametrize("wish", ["history", "header"])
def test_a_wish_for_the_whole_message_makes_all_of_it_anonymous(wish: str) -> None:
    fields = (("History-Info", "<sip:bob@x.example>;index=1, <sip:c@x>;index=2"), ("Privacy", wish))
    assert crossed_all(fields) == [
        "<sip:anonymous@anonymous.invalid>;index=1, <sip:anonymous@anonymous.invalid>;index=2"
    ]


def crossed_all(fields: tuple[tuple[str, str], ...]) -> list[str]:
    return [value for _, value in all_crossed(fields, OUT)]


def test_a_caller_who_wishes_it_is_anonymous_outside_the_trust_domain() -> None:
    def asked(privacy: str) -> Request:
        return Request("INVITE", "sip:b@x", Headers([("From", '"A" <sip:a@y>;tag=1'), ("Privacy", privacy)]))

    assert originator(asked("user"), OUT) == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert originator(asked("user"), SHOWN) == '"A" <sip:a@y>'
    assert originator(asked("id"), OUT) == '"A" <sip:a@y>'
    assert originator(asked("user;none"), OUT) == '"A" <sip:a@y>'


def test_who_calls_stays_and_where_from_becomes_us() -> None:
    caller = parse_name_address('"Alice" <sip:alice@10.0.0.9:5080;transport=tcp>;tag=x;y=z')
    assert crossed_identity(caller, HIDDEN) == '"Alice" <sip:alice@192.0.2.1>'
    assert crossed_identity(caller, SHOWN) == '"Alice" <sip:alice@10.0.0.9:5080;transport=tcp>'


def test_who_is_called_has_the_name_as_dialled_and_the_uri_of_the_target() -> None:
    dialled = parse_name_address('"Bob" <sip:bob@pbx.corp.example>')
    assert addressed(dialled, "sip:1001@198.51.100.7", HIDDEN) == '"Bob" <sip:1001@198.51.100.7>'
    dialled = parse_name_address('"pbx.corp.example" <sip:bob@pbx.corp.example>')
    assert addressed(dialled, "sip:1001@198.51.100.7", HIDDEN) == "<sip:1001@198.51.100.7>"
    assert addressed(dialled, "sip:1@x", SHOWN) == '"pbx.corp.example" <sip:1@x>'
