from __future__ import annotations

from sbc.admin.privacy import leaks, private_tokens

INVITE = (
    "INVITE sip:bob@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKprivate1\r\n"
    "From: <sip:alice@sbc.internal>;tag=priv-from\r\nTo: <sip:bob@10.0.0.5>\r\n"
    "Call-ID: priv-call-id\r\nCSeq: 1 INVITE\r\n\r\n"
)
OK = (
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKprivate1\r\n"
    "From: <sip:alice@sbc.internal>;tag=priv-from\r\nt: <sip:bob@10.0.0.5>;tag=priv-to\r\n"
    "i: priv-call-id\r\nCSeq: 1 INVITE\r\n"
    "Contact: <sip:ext1234@10.0.0.77:5066>\r\n"
    "Server: SecretPBX/1.0\r\n\r\nv=0\r\no=pbx-user 445566 1 IN IP4 10.0.0.78\r\ns=pbx session\r\nc=IN IP6 fd00::5\r\n"
)
MESSAGES = [
    {"text": INVITE, "local": "10.0.0.1:5060", "remote": "10.0.0.5:5060"},
    {"text": OK, "local": "10.0.0.1:5060", "remote": "10.0.0.5:5060"},
]
TOKENS = private_tokens(MESSAGES, ["pbx.internal"], [b"INVITE sip:bob@203.0.113.1 SIP/2.0\r\nUser-Agent: phone"])


def texts(kind: str) -> set[str]:
    return {token.text for token in TOKENS if token.kind == kind}


def test_everything_that_names_the_private_side_is_a_token() -> None:
    assert texts("address") == texts("address in binary") == {"10.0.0.1", "10.0.0.5", "10.0.0.77", "10.0.0.78"}
    assert texts("tag") == {"priv-from", "priv-to"}
    assert texts("branch") == {"z9hG4bKprivate1"}
    assert texts("Call-ID") == {"priv-call-id"}
    assert texts("Server") == {"SecretPBX/1.0"}
    assert texts("contact user") == {"ext1234"}
    assert texts("host") == {"sbc.internal"}
    assert texts("SDP origin") == {"pbx-user", "445566"}
    assert texts("SDP session name") == {"pbx session"}
    assert texts("name") == {"pbx.internal"}


def test_what_the_public_side_said_itself_is_no_secret() -> None:
    ours = [b"Call-ID: priv-call-id", b"10.0.0.77"]
    left = {token.text for token in private_tokens(MESSAGES, [], ours)}
    assert "priv-call-id" not in left
    assert "10.0.0.77" not in left
    assert "10.0.0.78" in left


def test_each_token_is_found_wherever_it_shows() -> None:
    for token in TOKENS:
        (finding,) = leaks(TOKENS, [b"clean", b"SIP/2.0 200 OK\r\nX: <<" + token.pattern + b">>", b"clean"])[:1]
        assert token in {finding.token, *[found.token for found in leaks(TOKENS, [token.pattern])]}
        assert finding.where == "SIP/2.0 200 OK"


def test_an_address_in_binary_is_found_in_media() -> None:
    rtcp = bytes([0x81, 202, 0, 2]) + bytes([10, 0, 0, 5]) + bytes(4)
    (finding,) = leaks(TOKENS, [bytes([0x80, 0]) + bytes(20), rtcp])
    assert (finding.token.text, finding.where) == ("10.0.0.5", "RTCP")


def test_a_name_in_another_case_is_found() -> None:
    assert [finding.token.text for finding in leaks(TOKENS, [b"Server: secretpbx/1.0"])] == ["SecretPBX/1.0"]


def test_clean_datagrams_give_no_finding() -> None:
    assert leaks(TOKENS, [b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKpublic\r\n\r\n", b""]) == []
