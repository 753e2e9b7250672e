"""What is found in bodies, and what of them crosses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua.bodies import Body, put, read, refusal, session_description
from sbc.b2bua.hosts import Border
from sbc.sip import Headers, RemoteProtocolError, Request, Response
from tests.support.ladder import HUNG_UP, Ladder
from tests.support.phone import sdp
from tests.support.world import CALLER, PBX

HIDDEN = Border(True, True, ("10.0.0.5", "pbx.corp.example"), "192.0.2.1")
SHOWN = HIDDEN._replace(hidden=False)
SDP = ("application/sdp", b"v=0\r\nold\r\n")
ISUP = ("application/isup;version=itu-t92+", b"\x01\x00\x49\r\n--\x00\xff")
OPTIONAL = "Content-Disposition: signal;handling=optional"


def part(kind: str, content: bytes, *fields: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"Content-Type: {kind}", *fields)).encode() + b"\r\n" + content


def multipart(*parts: bytes, boundary: str = "xx", kind: str = "mixed", closed: bool = True) -> tuple[str, bytes]:
    """Content-Type and content."""
    line = b"--" + boundary.encode()
    content = b"".join(line + b"\r\n" + each + b"\r\n" for each in parts) + (line + b"--\r\n" if closed else b"")
    return f'multipart/{kind}; boundary="{boundary}"', content


def request(kind: str | None, content: bytes, *fields: tuple[str, str]) -> Request:
    headers = Headers([*([("Content-Type", kind)] if kind else []), *fields])
    return Request("INVITE", "sip:a@b", headers, content)


def crossed(message: Request, sdp: bytes = b"v=0\r\nnew\r\n", border: Border = HIDDEN) -> Request:
    built = Request("INVITE", "sip:a@b", Headers())
    put(built, sdp, message, border)
    return built


def leaves(body: Body | None) -> list[tuple[str, bytes]]:
    if body is None:
        return []
    return [leaf for each in body.parts for leaf in leaves(each)] or [(body.kind, body.content)]


# -- what is in them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("application/sdp", b"v=0"),
        ("Application/SDP; charset=x", b"v=0"),
        ("text/plain", b""),
        ("multipart/mixed;boundary=x", b""),
        (";;", b""),
        (None, b""),
    ],
)
def test_a_session_description_is_what_says_so(kind: str | None, found: bytes) -> None:
    assert session_description(request(kind, b"v=0")) == found
    assert session_description(Response(200, "OK", Headers())) == b""


@pytest.mark.parametrize("kind", ["mixed", "alternative", "related", "unheard-of"])
def test_a_session_description_is_found_among_other_parts(kind: str) -> None:
    body = multipart(part(*ISUP, OPTIONAL), part(*SDP), part("text/plain", b"x"), kind=kind)
    assert session_description(request(*body)) == SDP[1]


def test_it_is_found_in_a_container_in_a_container() -> None:
    inner = multipart(part("text/plain", b"x"), part(*SDP), boundary="xxx", kind="alternative")
    assert session_description(request(*multipart(part(*ISUP), part(*inner)))) == SDP[1]


def test_of_alternatives_the_last_one_counts() -> None:
    first, last = ("application/sdp", b"v=0\r\n1"), ("application/sdp", b"v=0\r\n2")
    assert session_description(request(*multipart(part(*first), part(*last), kind="alternative"))) == last[1]
    assert session_description(request(*multipart(part(*first), part(*last)))) == first[1]


@pytest.mark.parametrize(
    "field",
    [
        "Content-Disposition: early-session",
        "Content-Disposition: render",
        "Content-Encoding: gzip",
        "Content-Transfer-Encoding: x-own",
        "Content-Transfer-Encoding: base64",  # which it is not
    ],
)
def test_what_describes_another_session_or_cannot_be_read_is_none(field: str) -> None:
    content = b"v=0\r\nold=" if field.endswith("base64") else SDP[1]
    assert session_description(request(*multipart(part("application/sdp", content, field)))) == b""
    name, _, value = field.partition(": ")
    if "Transfer" not in name:  # which SIP messages do not have
        assert session_description(request("application/sdp", content, (name, value))) == b""


@pytest.mark.parametrize(
    ("encoding", "content"), [("base64", b"dj0wDQpvbGQNCg=="), ("Quoted-Printable", b"v=3D0\r\no=6Cd\r\n")]
)
def test_transfer_encodings_are_undone(encoding: str, content: bytes) -> None:
    body = multipart(part("application/sdp", content, f"Content-Transfer-Encoding: {encoding}"))
    assert session_description(request(*body)) == SDP[1]


def test_parts_are_what_stands_between_whole_delimiter_lines() -> None:
    """RFC 2046 section 5.1.1."""
    content = (
        b"ignored\r\n--b  \r\n\r\n--bb\r\nx--b\r\n\r\n--b\t\r\nContent-Type: a/b\r\n\r\n\r\n--b--\r\n--b\r\nignored"
    )
    body = read(request("multipart/mixed;boundary=b", content))
    assert leaves(body) == [("text/plain", b"--bb\r\nx--b\r\n"), ("a/b", b"")]


def test_fields_of_parts_are_unfolded_and_those_of_no_meaning_left_out() -> None:
    body = read(request(*multipart(b"Content-Type: a/b;\r\n\tc=d\r\nX-Y: z\r\nContent-Length: 9\r\n\r\nx")))
    assert body is not None
    assert body.parts[0].fields == (("Content-Type", "a/b; c=d"),)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        multipart(part(*SDP), closed=False),
        ("multipart/mixed;boundary=xx", b"--xx--\r\n"),
        ("multipart/mixed;boundary=xx", b""),
        ("multipart/mixed", b"--xx--"),
        (f"multipart/mixed;boundary={'x' * 71}", b"x"),
        ('multipart/mixed;boundary="x "', b"x"),
        multipart(b"Content-Type text\r\n\r\nx"),
        multipart(b"Content-Type: text/plain\x01\r\n\r\nx"),
        multipart(b"Content-Type: \xff\r\n\r\nx"),
        multipart(b"Content-Type: ;;\r\n\r\nx"),
        multipart(*([part(*SDP)] * 33)),
    ],
)
def test_a_malformed_container_is_refused(kind: str, content: bytes) -> None:
    content = content or b"x"
    with pytest.raises(RemoteProtocolError) as fault:
        read(request(kind, content))
    assert fault.value.status_hint == 400
    verdict = refusal(request(kind, content), SHOWN)
    assert verdict is not None
    assert verdict.status == 400
    assert session_description(request(kind, content)) == b""


def test_containers_in_containers_have_an_end() -> None:
    body = part(*SDP)
    for depth in range(6):
        body = part(*multipart(body, boundary=f"b{depth}"))
    with pytest.raises(RemoteProtocolError):
        read(request(*multipart(body)))


# -- what may cross ----------------------------------------------------------------------------------------------------


def status(kind: str | None, content: bytes, *fields: tuple[str, str], border: Border = HIDDEN) -> int | None:
    verdict = refusal(request(kind, content, *fields), border)
    if verdict is None:
        return None
    assert verdict.reason
    assert verdict.status != 415 or {name for name, _ in verdict.headers} & {"Accept", "Accept-Encoding"}
    return verdict.status


TELLING = [
    part("text/plain", b"ask 10.0.0.77"),
    part("text/plain", b"ask PBX.corp.example"),
    part("text/plain; name=pbx.corp.example", b"hello"),
    part("text/plain", b"YXNrIDEwLjAuMC43Nw==", "Content-Transfer-Encoding: base64"),
    part("text/plain", b"ask 10=2E0=2E0=2E77", "Content-Transfer-Encoding: quoted-printable"),
    part("text/plain", b"\x1f\x8b\x08", "Content-Encoding: gzip"),
    part("text/plain", "ask 10.0.0.77".encode("utf-16-le")),
]


@pytest.mark.parametrize("telling", TELLING)
def test_what_names_a_host_of_a_hidden_zone_or_cannot_be_read_does_not_leave_it(telling: bytes) -> None:
    with_sdp = multipart(part(*SDP), telling)
    assert status(*with_sdp) == 415
    assert status(*with_sdp, border=SHOWN) is None
    assert leaves(read(crossed(request(*with_sdp)))) == [("application/sdp", b"v=0\r\nnew\r\n")]
    assert len(leaves(read(crossed(request(*with_sdp), border=SHOWN)))) == 2


def test_what_need_not_be_understood_is_left_out_instead() -> None:
    """RFC 5621 section 5, RFC 3261 section 20.11."""
    head, _, content = TELLING[0].partition(b"\r\n\r\n")
    optional = head + b"\r\n" + OPTIONAL.encode() + b"\r\n\r\n" + content
    assert status(*multipart(part(*SDP), optional)) is None
    container = part(*multipart(TELLING[0], boundary="in"), OPTIONAL)
    assert status(*multipart(part(*SDP), container)) is None
    assert status(*multipart(part(*SDP), TELLING[0].replace(b"\r\n\r\n", b"\r\nContent-Disposition: x\r\n\r\n"))) == 415


def test_one_of_several_alternatives_will_do() -> None:
    assert status(*multipart(part("text/html", b"10.0.0.7"), part("text/plain", b"hi"), kind="alternative")) is None
    assert status(*multipart(part("text/html", b"10.0.0.7"), kind="alternative")) == 415


@pytest.mark.parametrize(
    "kind", ["multipart/signed;boundary=q", "application/pkcs7-mime", "message/sip", "message/external-body"]
)
@pytest.mark.parametrize("border", [HIDDEN, SHOWN], ids=["hidden", "shown"])
def test_what_may_hold_another_session_never_crosses(kind: str, border: Border) -> None:
    assert status(*multipart(part(*SDP), part(kind, b"x")), border=border) == 415
    assert leaves(read(crossed(request(kind, b"x"), border=border))) == [("application/sdp", b"v=0\r\nnew\r\n")]
    other = part("application/sdp", b"v=0\r\nother")
    assert status(*multipart(part(*SDP), other), border=border) == 415
    assert b"other" not in crossed(request(*multipart(part(*SDP), other)), border=border).body


@pytest.mark.parametrize(
    ("fields", "body", "result"),
    [
        ((), b"", None),
        ((("Content-Type", "text/plain"),), b"", None),
        ((("Content-Type", "application/sdp"),), b"v=0", None),
        ((("Content-Type", "APPLICATION/SDP ;charset=utf-8"), ("Content-Encoding", "identity")), b"v=0", None),
        ((("Content-Type", "application/isup"),), b"\x01", None),
        ((), b"v=0", 415),
        ((("Content-Type", "multipart/mixed;boundary=x"),), b"v=0", 400),
        ((("Content-Type", "application/sdp"), ("Content-Encoding", "gzip")), b"v=0", 415),
        ((("Content-Type", "application/sdp"), ("Content-Disposition", "early-session")), b"v=0", 415),
        ((("Content-Type", "text/plain"),), b"on 10.0.0.5", 415),
    ],
)
def test_a_body_by_itself(fields: tuple[tuple[str, str], ...], body: bytes, result: int | None) -> None:
    assert status(None, body, *fields) == result


def test_who_asks_about_no_session_gets_no_session_through() -> None:
    verdict = refusal(request(*SDP), SHOWN, offers=False)
    assert verdict is not None
    assert verdict.status == 415


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_the_session_description_is_replaced_and_the_rest_stays_octet_for_octet() -> None:
    received = request(*multipart(part(*SDP), part(*ISUP, OPTIONAL, "X-Own: y")))
    built = crossed(received)
    again = read(built)
    assert leaves(again) == [("application/sdp", b"v=0\r\nnew\r\n"), ("application/isup", ISUP[1])]
    assert again is not None
    assert again.parts[1].fields == (("Content-Type", ISUP[0]), tuple(OPTIONAL.split(": ")))
    assert built.headers.get("MIME-Version") == "1.0"
    assert b"X-Own" not in built.body
    assert b"--xx\r\n" not in built.body


def test_our_boundary_stands_nowhere_in_the_parts() -> None:
    first = crossed(request(*multipart(part(*SDP), part(*ISUP))))
    boundary = (first.headers.get("Content-Type") or "").partition('boundary="')[2].rstrip('"')
    nasty = f"\r\n--{boundary}\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nsmuggled\r\n--{boundary}--".encode()
    second = crossed(request(*multipart(part(*SDP), part(*ISUP), part("text/plain", nasty))))
    assert [kind for kind, _ in leaves(read(second))] == ["application/sdp", "application/isup", "text/plain"]


def test_a_boundary_that_tells_of_a_host_does_not_cross() -> None:
    built = crossed(request(*multipart(part(*SDP), part(*ISUP), boundary="at-10.0.0.5")))
    assert b"10.0.0.5" not in built.to_bytes()
    assert len(leaves(read(built))) == 2


def test_parameters_of_a_container_stay_unless_they_name_a_host() -> None:
    kind, content = multipart(part(*SDP), part(*ISUP), kind="related")
    built = crossed(request(f'{kind};type="application/sdp"', content))
    assert (built.headers.get("Content-Type") or "").startswith('multipart/related;type="application/sdp";boundary="')
    built = crossed(request(f'{kind};start="<1@10.0.0.5>"', content))
    assert (built.headers.get("Content-Type") or "").startswith('multipart/related;boundary="')


def test_one_part_needs_no_container() -> None:
    built = crossed(request(*multipart(part(*SDP, "Content-Disposition: session;handling=required"))))
    assert list(built.headers) == [
        ("Content-Type", "application/sdp"),
        ("Content-Disposition", "session;handling=required"),
    ]
    assert built.body == b"v=0\r\nnew\r\n"


def test_without_a_session_description_the_rest_crosses_alone() -> None:
    built = crossed(request(*multipart(part(*SDP), part(*ISUP))), b"")
    assert (built.headers.get("Content-Type"), built.body) == ISUP
    built = crossed(request(*ISUP, ("Content-Encoding", "gzip")), b"", SHOWN)
    assert (built.body, built.headers.get("Content-Encoding")) == (ISUP[1], "gzip")
    built = crossed(request(*ISUP))
    assert leaves(read(built)) == [("application/sdp", b"v=0\r\nnew\r\n"), ("application/isup", ISUP[1])]


@pytest.mark.parametrize(
    "name", ["Content-Type", "Content-Transfer-Encoding", "content-disposition", "Content-Encoding"]
)
def test_a_part_that_others_may_read_otherwise_does_not_cross(name: str) -> None:
    other = part("text/plain", b"v=0", f"{name}: x/x", f"{name.title()}: application/sdp")
    message = request(*multipart(part(*SDP), other))
    denied = refusal(message, SHOWN)
    assert denied is not None
    assert denied.status == 400
    assert leaves(read(crossed(message, border=SHOWN))) == [("application/sdp", b"v=0\r\nnew\r\n")]


def test_what_told_of_a_body_goes_with_it() -> None:
    built = Request("INVITE", "sip:a@b", Headers([("Content-Disposition", "render"), ("Content-Language", "de")]))
    put(built, b"", request("text/plain", b"10.0.0.5", ("Content-Disposition", "render")), HIDDEN)
    assert (list(built.headers), built.body) == ([], b"")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("<abc@10.0.0.5>", "<abc@192.0.2.1>"), ("<abc@pbx>", "<abc@192.0.2.1>"), ("<10.0.0.5@x>", None)],
)
def test_a_content_id_gets_our_host(value: str, shown: str | None) -> None:
    pidf = part("application/pidf+xml", b"<presence/>", f"Content-ID: {value}", "Content-Location: sip:10.0.0.5")
    body = read(crossed(request(*multipart(part(*SDP), pidf))))
    assert body is not None
    assert body.parts[1].field("content-id") == (shown or "")
    assert body.parts[1].field("content-location") == ""


# -- in calls ----------------------------------------------------------------------------------------------------------

BOTH = """
    caller -> INVITE offer
    caller <- 100
    callee <- INVITE body | Content-Type: multipart/mixed;boundary="*"
    callee -> 183 answer
    caller <- 183 body | Content-Type: multipart/mixed;boundary="*"
    callee -> 200 answer
    callee <- ACK
    caller <- 200 body | Content-Type: multipart/mixed;boundary="*"
    caller -> ACK
"""


@pytest.fixture
def speaking(ladder: Ladder) -> Ladder:
    ladder.bodies["offer"] = multipart(part("application/sdp", sdp(CALLER, 4000)), part(*ISUP))
    ladder.bodies["answer"] = multipart(part("application/sdp", sdp(PBX, 4000)), part(*ISUP))
    ladder.bodies["release"] = ISUP
    return ladder


def heard(ladder: Ladder, who: str) -> list[tuple[str, bytes]]:
    message = ladder.parties[who].heard
    assert message is not None
    found = leaves(read(message))
    ours = b"c=IN IP4 192.0.2.1" if who == "caller" else b"c=IN IP4 10.0.0.1"
    assert all(ours in content for kind, content in found if kind == "application/sdp")
    return found


def test_parts_beside_the_session_cross_in_a_whole_call(speaking: Ladder) -> None:
    ladder = speaking
    ladder.play(BOTH.partition("    callee -> 183")[0])
    assert [kind for kind, _ in heard(ladder, "callee")] == ["application/sdp", "application/isup"]
    ladder.play("callee -> 183 answer", "caller <- 183 body")
    assert [kind for kind, _ in heard(ladder, "caller")] == ["application/sdp", "application/isup"]
    ladder.play("callee -> 200 answer", "callee <- ACK", "caller <- 200 body", "caller -> ACK")
    assert heard(ladder, "caller")[1] == ("application/isup", ISUP[1])
    ladder.play("caller -> INVITE offer", "caller <- 100", "callee <- INVITE body")
    ladder.play("callee -> 200 answer", "callee <- ACK", "caller <- 200 body", "caller -> ACK")
    assert len(heard(ladder, "caller")) == 2
    ladder.play("caller -> BYE release", "caller <- 200 BYE", "callee <- BYE release", "callee -> 200 BYE", "0.1 s")


def test_a_refusal_brings_its_body(speaking: Ladder) -> None:
    speaking.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 486 release
        callee <- ACK
        caller <- 486 release | Content-Type: application/isup*
        caller -> ACK
    """
    )


def test_an_answer_in_an_ack_may_have_company(speaking: Ladder) -> None:
    ladder = speaking
    ladder.bodies["answer in ack"] = ladder.bodies["offer"]
    ladder.play(
        """
        caller -> INVITE release
        caller <- 100
        callee <- INVITE release
        callee -> 200 sdp
        caller <- 200 sdp
        caller -> ACK offer
        callee <- ACK body
    """,
        HUNG_UP,
    )
    assert ladder.parties["callee"].requests["ACK"].content_type == "multipart/mixed"


@pytest.mark.parametrize("method", ["INFO", "MESSAGE"])
def test_other_requests_take_their_parts_along(speaking: Ladder, method: str) -> None:
    ladder = speaking
    ladder.bodies["two"] = multipart(part(*ISUP), part("text/plain", b"hi"))
    ladder.play(BOTH, f"caller -> {method} two", f"callee <- {method} body")
    assert leaves(read(ladder.parties["callee"].requests[method])) == [
        ("application/isup", ISUP[1]),
        ("text/plain", b"hi"),
    ]
    ladder.play(f"callee -> 200 {method}", f"caller <- 200 {method}", HUNG_UP)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (multipart(part(*SDP), part("message/sip", b"x")), "415 | Accept: application/sdp, multipart/mixed*"),
        (("application/sdp", b"x"), "415 | Accept-Encoding: identity"),
        (multipart(part(*SDP), closed=False), "400"),
    ],
)
def test_an_invite_that_cannot_cross_whole_is_refused(
    new_ladder: Callable[..., Ladder], body: tuple[str, bytes], answer: str
) -> None:
    ladder = new_ladder()
    ladder.bodies["bad"] = body
    coded = " | Content-Encoding: gzip" if "Encoding" in answer else ""
    ladder.play(f"caller -> INVITE bad{coded}", f"caller <- {answer}", "caller -> ACK")
    assert any("bodies" in line for line in ladder.trail)
