from __future__ import annotations

from sbc.admin.phone_account import Account
from sbc.sip import Challenge, Headers, Request, Response, ha1, make_response, parse_credentials, proves

REALM = "example.com"


def request(cseq: int = 1, **headers: str) -> Request:
    fields = [
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx"),
        ("From", "<sip:alice@example.com>;tag=1"),
        ("To", "<sip:example.com>"),
        ("Call-ID", "x"),
        ("CSeq", f"{cseq} REGISTER"),
        *headers.items(),
    ]
    return Request("REGISTER", "sip:example.com", Headers(fields))


def challenged(*challenges: Challenge | str, status: int = 401, of: Request | None = None) -> Response:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return make_response(of or request(), status, headers=[(name, str(each)) for each in challenges])


def test_the_first_challenge_that_is_understood_is_answered() -> None:
    account = Account("alice", REALM, "secret")
    bearer, odd = 'Bearer realm="x"', Challenge(REALM, "n0", "SHA-3")
    again = account.again(
        request(), challenged(bearer, odd, Challenge(REALM, "n1", "SHA-256"), Challenge(REALM, "n2", "MD5"))
    )
    assert again is not None
    assert again.cseq.number == 2
    assert "Via" not in again.headers
    credentials = parse_credentials(again.headers.get("Authorization") or "")
    assert credentials is not None
    assert (credentials.nonce, credentials.algorithm) == ("n1", "SHA-256")
    assert proves(credentials, ha1("SHA-256", "alice", REALM, "secret"), "REGISTER")
    assert account.answered == {"SHA-256"}


def test_a_proxy_is_answered_as_a_proxy() -> None:
    again = Account("alice", REALM, "secret").again(request(), challenged(Challenge(REALM, "n"), status=407))
    assert again is not None
    assert "Proxy-Authorization" in again.headers
    assert "Authorization" not in again.headers


def test_a_wrong_password_is_tried_once_and_a_stale_nonce_again() -> None:
    account = Account("alice", REALM, "secret")
    first = account.again(request(), challenged(Challenge(REALM, "n")))
    assert first is not None
    assert account.again(first, challenged(Challenge(REALM, "m"), of=first)) is None
    second = account.again(first, challenged(Challenge(REALM, "m", stale=True), of=first))
    assert second is not None
    assert len(second.headers.get_all("Authorization")) == 1
    assert account.again(second, challenged(Challenge(REALM, "o", stale=True), of=second)) is None, "three are enough"


def test_other_answers_are_final() -> None:
    account = Account("alice", REALM, "secret")
    assert account.again(request(), make_response(request(), 403)) is None
    assert account.again(request(), make_response(request(), 401)) is None
    assert account.again(request(), challenged("Digest nonsense")) is None
