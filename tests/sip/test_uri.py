from __future__ import annotations

import copy
import pickle

import pytest

from sbc.sip import LocalProtocolError, RemoteProtocolError, Uri, escape_user, parse_uri, unescape, uri_equal


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@atlanta.com",
        "sip:alice:secretword@atlanta.com;transport=tcp",
        "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sips:1212@gateway.com",
        "sip:alice@192.0.2.4",
        "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
        "sip:alice;day=tuesday@atlanta.com",
        "sip:[2001:db8::1]:5060;lr",
        "sip:*31#0301234@example.com",
        "sip:user:@example.com",
        "tel:+1-201-555-0123",
        "tel:7042;phone-context=example.com",
        "tel:863-1234;ext=12;phone-context=+1-914-555",
        "urn:service:sos",
        "mailto:a@b.c",
        "http://www.example.com/x?y=z#f",
    ],
)
def test_uris_are_written_as_they_were(text: str) -> None:
    assert str(parse_uri(text)) == text


def test_the_parts() -> None:
    uri = parse_uri("SIP:Al%69ce:pass@Example.COM:5070;Transport=UDP;lr;%6D=%41?a=b&c=d")
    assert uri == Uri(
        "sip", "Al%69ce", "pass", "example.com", 5070, {"transport": "UDP", "lr": None, "m": "%41"}, "a=b&c=d"
    )
    assert parse_uri("tel:+49;ext=1").user == "+49"
    assert parse_uri("X-Y:z").scheme == "x-y"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "sip:",
        "sip:@example.com",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:a@b c",
        "sip:a@b:0",
        "sip:a@b:65536",
        "sip:a@b:",
        "sip:a@b;",
        "sip:a@b;;lr",
        "sip:a@b;x=",
        "sip:a@b;x=1;X=2",
        "sip:a@b?",
        "sip:a@2001:db8::1",
        "sip:a@[::1",
        "sip:a@[1]",
        "sip:a@300.1.1.1",
        "sip:a%4@b",
        "sip:a%zz@b",
        "sip:\u00e4@b",
        "sip:a@b;\u00e4",
        'sip:"a"@b',
        "sip:a@b>",
        "sip:<a@b>",
        "sip:a@b\r\n",
        "tel:",
        "tel:alice!",
        "tel:1;;",
        "mailto:",
        "mailto:a b",
        "1x:y",
        "\u00e4:b",
    ],
)
def test_malformed_uris_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_uri(text)
    assert caught.value.status_hint == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "a@b"},
        {"user": "a\r\nVia: x"},
        {"user": "a b"},
        {"user": ""},
        {"password": "a@b"},
        {"host": "a b"},
        {"host": ""},
        {"host": "[::1]"},
        {"host": "a;lr"},
        {"port": 0},
        {"port": 70000},
        {"params": {"a;b": None}},
        {"params": {"a": "b;c"}},
        {"params": {"a": "b>"}},
        {"headers": "a=b c"},
        {"scheme": "http"},
        {"scheme": "si p"},
        {"opaque": "x"},
    ],
)
def test_what_cannot_be_written_is_not_built(changes: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        parse_uri("sip:alice@example.com").replace(**changes)


def test_replace() -> None:
    uri = parse_uri("sip:alice@example.com;lr")
    assert str(uri.replace(host="2001:db8::1", port=5070)) == "sip:alice@[2001:db8::1]:5070;lr"
    assert str(uri) == "sip:alice@example.com;lr"
    assert str(Uri("tel", "+1-2")) == "tel:+1-2"
    for bad in ({"host": "x"}, {"user": None}, {"user": "alice"}):
        with pytest.raises(LocalProtocolError):
            Uri("tel", "+1-2").replace(**bad)


def test_uris_are_plain_data() -> None:
    uri = parse_uri("sip:alice@example.com;lr")
    assert pickle.loads(pickle.dumps(uri)) == copy.deepcopy(uri) == uri
    assert hash(uri) == hash(parse_uri("sip:alice@example.com;lr"))
    with pytest.raises(AttributeError):
        uri.host = "x"  # type: ignore[misc]


def test_escaping() -> None:
    assert escape_user("a b@c/\u00e9%") == "a%20b%40c/%C3%A9%25"
    assert unescape("%61%2525%C3%A9") == "a%25\u00e9"
    assert unescape("%ff") == "\ufffd"
    assert str(parse_uri(f"sip:{escape_user('#%@:é')}@x")) == "sip:%23%25%40%3A%C3%A9@x"


# RFC 3261 section 19.1.4 prints these.
EQUAL = [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    ("sip:a@[2001:DB8::1]", "sip:a@[2001:db8:0:0::1]"),
    ("tel:+1-201-555-0123", "tel:+12015550123"),
    ("tel:863-1234;phone-context=+1-914-555", "tel:8631234;PHONE-context=+1914555"),
    ("tel:7042;a=1;phone-context=Example.com", "tel:7042;phone-context=example.com;a=1"),
]
DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:a@b", "sips:a@b"),
    ("sip:a@b;maddr=1.2.3.4", "sip:a@b"),
    ("sip:a@b", "sip:b"),
    ("sip:a:x@b", "sip:a:y@b"),
    ("tel:+12015550123", "tel:12015550123"),
    ("tel:7042;phone-context=example.com", "tel:7042"),
    ("tel:1", "sip:1@b"),
    ("urn:a", "urn:b"),
]


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal(a: str, b: str) -> None:
    assert uri_equal(parse_uri(a), parse_uri(b))
    assert uri_equal(parse_uri(b), parse_uri(a))


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different(a: str, b: str) -> None:
    assert not uri_equal(parse_uri(a), parse_uri(b))
    assert not uri_equal(parse_uri(b), parse_uri(a))
