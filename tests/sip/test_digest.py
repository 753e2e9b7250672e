from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.sip import (
    ALGORITHMS,
    Challenge,
    LocalProtocolError,
    RemoteProtocolError,
    answer_challenge,
    ha1,
    known_algorithm,
    parse_challenge,
    parse_credentials,
    proves,
    wants_auth_int,
    without_auth_int,
)

_7616 = (
    "http-auth@example.org",
    "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
)
_2617 = ("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b")
_UNICODE = (
    "api@example.org",
    "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
)


@pytest.mark.parametrize(
    ("algorithm", "source", "user", "password", "uri", "response"),
    [
        ("MD5", _2617, "Mufasa", "Circle Of Life", "/dir/index.html", "6629fae49393a05397450978507c4ef1"),
        ("MD5", _7616, "Mufasa", "Circle of Life", "/dir/index.html", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            _7616,
            "Mufasa",
            "Circle of Life",
            "/dir/index.html",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        # as corrected by erratum 4897: the RFC's own example was computed with the first half of SHA-512, which is not
        # SHA-512/256
        (
            "SHA-512-256",
            _UNICODE,
            "J\u00e4s\u00f8n Doe",
            "Secret, or not?",
            "/doe.json",
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        ),
    ],
)
def test_the_examples_of_rfc_2617_and_7616(
    algorithm: str, source: tuple[str, str, str], user: str, password: str, uri: str, response: str
) -> None:
    realm, nonce, cnonce = source
    secret = ha1(algorithm, user, realm, password)
    challenge = Challenge(realm, nonce, algorithm, ("auth", "auth-int"), opaque="x")
    value = answer_challenge(challenge, user, secret, "GET", uri, cnonce, 1)
    credentials = parse_credentials(value)
    assert credentials is not None
    assert credentials.response == response
    assert (credentials.username, credentials.nonce_count, credentials.opaque) == (user, 1, "x")
    assert proves(credentials, secret, "GET")


def test_an_answer_without_qop_is_that_of_rfc_2069() -> None:
    # H(H("Mufasa:testrealm@host.com:CircleOfLife"):nonce:H("GET:/dir/index.html")), the example of RFC 2069 with the
    # value of its erratum 749
    secret = ha1("MD5", "Mufasa", "testrealm@host.com", "CircleOfLife")
    challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", qop=())
    value = answer_challenge(challenge, "Mufasa", secret, "GET", "/dir/index.html", "unused", 1)
    credentials = parse_credentials(value)
    assert credentials is not None
    assert credentials.response == "1949323746fe6a43ef61f9606e7febea"
    assert "qop" not in value
    assert "nc" not in value.replace("nonce", "")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_but_the_same_user_password_method_uri_and_nonce_proves_anything(algorithm: str) -> None:
    secret = ha1(algorithm, "alice", "example.com", "secret")
    challenge = Challenge("example.com", "n1", algorithm)
    credentials = parse_credentials(answer_challenge(challenge, "alice", secret, "INVITE", "sip:b@c", "cn", 7))
    assert credentials is not None
    assert proves(credentials, secret, "INVITE")
    assert not proves(credentials, secret, "REGISTER")
    assert not proves(credentials, ha1(algorithm, "alice", "example.com", "Secret"), "INVITE")
    for change in ({"nonce": "n2"}, {"uri": "sip:d@c"}, {"nonce_count": 8}, {"cnonce": "x"}, {"qop": ""}):
        assert not proves(credentials._replace(**change), secret, "INVITE")  # type: ignore[arg-type]
    assert not proves(credentials._replace(qop="auth-int"), secret, "INVITE")
    assert not proves(credentials._replace(algorithm=f"{algorithm}-sess"), secret, "INVITE")


def test_a_challenge_reads_as_it_is_written() -> None:
    challenge = Challenge('say "hi"\\', "n", "SHA-256", ("auth",), "o", True)
    assert parse_challenge(str(challenge)) == challenge
    assert parse_challenge('Digest realm="a",nonce="b"') == Challenge("a", "b", "MD5", ())
    assert parse_challenge('digest  nonce = "b" , REALM="a", qop="auth-int, AUTH"') == Challenge(
        "a", "b", "MD5", ("auth-int", "auth")
    )


def test_other_schemes_are_not_ours_to_judge() -> None:
    assert parse_challenge('Bearer realm="x", error="invalid_token"') is None
    assert parse_credentials("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") is None
    assert parse_credentials("") is None


_GOOD = 'username="a", realm="r", nonce="n", uri="sip:x", response="' + 32 * "0" + '"'


@pytest.mark.parametrize(
    "value",
    [
        "Digest x",
        "Digest =",
        'Digest username="a',
        _GOOD.replace("username", "user"),
        _GOOD.replace("nonce", "once"),
        _GOOD + ', realm="again"',
        _GOOD.replace(32 * "0", "0"),
        _GOOD.replace(32 * "0", 32 * "g"),
        _GOOD + ", qop=auth",
        _GOOD + ', qop=auth, nc=1, cnonce="x"',
        _GOOD + ", qop=auth, nc=00000001",
        _GOOD + ', opaque="' + 2000 * "x" + '"',
        _GOOD + "".join(f", p{number}=x" for number in range(40)),
        _GOOD + " username",
    ],
)
def test_malformed_credentials_are_refused(value: str) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        parse_credentials(value if value.startswith("Digest") else f"Digest {value}")
    assert refused.value.status_hint == 400


@given(st.text(max_size=300) | st.text(alphabet='Digest realm="nonce,=qop\\ auth', max_size=120).map("Digest ".__add__))
def test_whatever_comes_is_read_or_refused(value: str) -> None:
    for parse in (parse_challenge, parse_credentials):
        with suppress(RemoteProtocolError):
            parse(value)
    without_auth_int(value)


def test_a_challenge_that_cannot_be_answered_is_said_to_be_so() -> None:
    for challenge in (
        Challenge("r", "n", "SHA-1"),
        Challenge("r", "n", "MD5-sess"),
        Challenge("r", "n", "MD5", ("x",)),
    ):
        with pytest.raises(LocalProtocolError):
            answer_challenge(challenge, "a", "s", "REGISTER", "sip:x", "c", 1)


def test_algorithms_are_known_in_any_case() -> None:
    assert known_algorithm("sha-256") == "SHA-256"
    assert known_algorithm("MD5-sess") is None
    assert ALGORITHMS == ("SHA-512-256", "SHA-256", "MD5")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('Digest realm="r", qop="auth,auth-int", nonce="n"', 'Digest realm="r", qop="auth", nonce="n"'),
        ('Digest qop="auth-int, auth",nonce="n"', 'Digest qop="auth",nonce="n"'),
        ('Digest nonce="n",QOP = "auth,Auth-Int"', 'Digest nonce="n",QOP = "auth"'),
        ('Digest realm="r",qop="auth",nonce="n"', 'Digest realm="r",qop="auth",nonce="n"'),
        ("Digest qop=auth, nonce=n", "Digest qop=auth, nonce=n"),
        ('Digest realm="r", qop="auth-int"', 'Digest realm="r", qop="auth-int"'),
        (
            'Digest realm="a, qop=\\"auth,auth-int\\"", qop="auth,auth-int"',
            'Digest realm="a, qop=\\"auth,auth-int\\"", qop="auth"',
        ),
        ('Digest xqop="auth,auth-int"', 'Digest xqop="auth,auth-int"'),
        ("Bearer x", "Bearer x"),
    ],
)
def test_auth_int_is_taken_out_and_nothing_else_changes(before: str, after: str) -> None:
    assert without_auth_int(before) == after


@pytest.mark.parametrize(
    ("challenge", "alone"),
    [
        ('Digest realm="r", qop="auth-int"', True),
        ("Digest QOP=Auth-Int, nonce=n", True),
        ('Digest qop="auth-int, auth"', False),
        ('Digest realm="r", nonce="n"', False),
        ('Digest realm="qop=auth-int"', False),
        ("Bearer x", False),
    ],
)
def test_whether_nothing_but_auth_int_is_offered(challenge: str, alone: bool) -> None:
    assert wants_auth_int(challenge) is alone


def test_a_challenge_full_of_quotes_takes_no_longer_than_another() -> None:
    begun = time.process_time()
    assert without_auth_int("Digest " + '\\"' * 30_000)
    assert time.process_time() - begun < 0.5
