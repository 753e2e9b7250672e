"""MSRP in descriptions: paths of our own on each side, who opens connections, what crosses."""

from __future__ import annotations

import pytest

from sbc.media import Flow, Latching, MediaError, MediaSession, MessagePath, SideFacts
from sbc.media.messages import MessageEnd, heard_end, place, read_messages, told_lines
from sbc.msrp import parse_path
from sbc.sip import Address
from tests.support.media_calls import A_SIDE, AUDIO, B_SIDE, PRIVATE, PUBLIC_V6, lines, media_with_ports, open_call, sdp

A_PATH, B_PATH = "msrp://192.0.2.7:7394/2s93i93idj;tcp", "msrp://10.0.0.5:8493/si438dsaodes;tcp"
TYPES = "a=accept-types:message/cpim text/plain"


def message(path: str, *more: str, port: int = 7394) -> str:
    return "|".join((f"message {port} TCP/MSRP *", TYPES, f"a=path:{path}", *more))


def offered(
    *more: str, session: MediaSession | None = None, path: str = A_PATH
) -> tuple[MediaSession, list[str], Flow]:
    """A call whose offer has MSRP alone: what B is told, and the flow that goes before."""
    session = session or open_call(media_with_ports())
    exchange = session.offer("a", sdp(message(path, *more)), 1.0)
    (flow,) = exchange.flows
    return session, lines(exchange.sdp), flow


def answered(session: MediaSession, *more: str, path: str = B_PATH) -> tuple[list[str], Flow]:
    exchange = session.answer("b", sdp(message(path, *more, port=8493), host="10.0.0.5"), 1.0)
    (flow,) = exchange.flows
    return lines(exchange.sdp), flow


def paths(flow: Flow) -> tuple[MessagePath, MessagePath]:
    assert flow.paths is not None
    return flow.paths


def path_in(told: list[str]) -> str:
    (path,) = [line for line in told if line.startswith("a=path:")]
    return path.removeprefix("a=path:")


# -- a call ------------------------------------------------------------------------------------------------------------


def test_each_side_is_told_a_path_of_ours_alone() -> None:
    session, to_b, _ = offered()
    to_a, flow = answered(session)
    a, b = paths(flow)
    for told, ours, host, port in ((to_a, a.ours, "198.51.100.10", 20000), (to_b, b.ours, "10.0.0.1", 30000)):
        assert f"m=message {port} TCP/MSRP *" in told
        assert f"c=IN IP4 {host}" in told
        assert TYPES in told
        assert path_in(told) == ours
        (hop,) = parse_path(ours)
        assert (hop.host, hop.port) == (host, port)
        assert len(hop.session) >= 20, "80 bits that nobody can guess (RFC 4975 section 14.1)"
    assert a.ours.rpartition("/")[2] != b.ours.rpartition("/")[2]
    assert (a.theirs, b.theirs) == (A_PATH, B_PATH)
    assert not any("192.0.2.7" in line or "2s93i93idj" in line for line in to_b)
    assert not any("10.0.0" in line or "si438dsaodes" in line for line in to_a)


def test_the_port_takes_connections_before_the_offer_goes_out() -> None:
    """Who answers "active" connects at once, and the answer may come after the connection."""
    session, to_b, early = offered("a=setup:actpass")
    a, b = paths(early)
    assert (b.ours, b.theirs, b.connects) == (path_in(to_b), "", False)
    assert a.theirs == A_PATH
    assert early.b.local == Address("10.0.0.1", 30000)
    assert session.flows() == (early,)
    _, flow = answered(session, "a=setup:active")
    assert flow.id == early.id
    assert paths(flow)[1] == b._replace(theirs=B_PATH)
    assert session.close(2.0) == (flow.id,)


def test_an_offer_that_is_refused_closes_its_port() -> None:
    session, _, early = offered()
    assert session.reject(2.0).removed == (early.id,)
    assert session.flows() == ()


def test_a_stream_that_is_refused_closes_its_port() -> None:
    session, _, early = offered()
    exchange = session.answer("b", sdp("message 0 TCP/MSRP *", host="10.0.0.5"), 1.0)
    assert exchange.removed == (early.id,)
    assert "m=message 0 TCP/MSRP *" in lines(exchange.sdp)
    assert not any(line.startswith(("a=path", "a=setup")) for line in lines(exchange.sdp))


def test_two_who_are_not_connected_are_silent_but_not_while_it_rings() -> None:
    session, _, early = offered()
    _, flow = answered(session)
    assert (early.silence, flow.silence) == (0.0, 60.0)


def test_another_target_gets_another_session() -> None:
    session, first, early = offered()
    assert session.retarget(B_SIDE, 2.0) == (early.id,)
    exchange = session.offer("a", sdp(message(A_PATH)), 2.0)
    (flow,) = exchange.flows
    assert path_in(lines(exchange.sdp)) != path_in(first)
    assert paths(flow)[0] == paths(early)[0]


def test_it_stands_beside_audio() -> None:
    session = open_call(media_with_ports())
    session.offer("a", sdp(AUDIO, message(A_PATH)), 1.0)
    exchange = session.answer("b", sdp(AUDIO, message(B_PATH), host="10.0.0.5"), 1.0)
    assert [flow.kind for flow in exchange.flows] == ["rtp", "msrp"]
    assert [flow.paths is None for flow in exchange.flows] == [True, False]
    assert exchange.flows[1].treatments == {"msrp"}
    assert [facts.kind for facts in session.describe()] == ["rtp", "msrp"]


def test_ipv6_is_written_in_brackets() -> None:
    media = media_with_ports()
    session = media.open("call", A_SIDE._replace(v4=None, v6=PUBLIC_V6), B_SIDE)
    path = "msrp://[2001:db8::7]:7394/x;tcp"
    session.offer("a", sdp(message(path), host="2001:db8::7"), 1.0)
    to_a, flow = answered(session, "a=setup:passive")
    assert path_in(to_a).startswith("msrp://[2001:db8::10]:20000/")
    assert "c=IN IP6 2001:db8::10" in to_a
    assert flow.a.remote == Address("2001:db8::7", 7394)


# -- who connects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "connects", "told"),
    [
        ((), False, "passive"),  # RFC 4975 section 5.4: the offerer connects
        (("a=setup:actpass",), False, "passive"),  # it may be behind a NAT
        (("a=setup:active",), False, "passive"),
        (("a=setup:passive",), True, "active"),
        (("a=setup:holdconn",), False, "passive"),  # RFC 6135 section 4.2.1: as if it were not there
    ],
)
def test_the_offerer_connects_unless_it_will_not(said: tuple[str, ...], connects: bool, told: str) -> None:
    session, to_b, _ = offered(*said)
    assert "a=setup:actpass" in to_b
    to_a, flow = answered(session)
    assert paths(flow)[0].connects is connects
    assert f"a=setup:{told}" in to_a


@pytest.mark.parametrize(
    ("said", "connects"),
    [((), True), (("a=setup:passive",), True), (("a=setup:active",), False), (("a=setup:holdconn",), True)],
)
def test_we_connect_to_the_answerer_unless_it_does(said: tuple[str, ...], connects: bool) -> None:
    session, _, _ = offered()
    _, flow = answered(session, *said)
    assert paths(flow)[1].connects is connects
    assert flow.b.remote == Address("10.0.0.5", 8493)


@pytest.mark.parametrize(
    ("host", "side", "reached"),
    [
        ("192.0.2.99", A_SIDE, True),
        ("10.0.0.5", A_SIDE, False),
        ("127.0.0.1", A_SIDE, False),
        ("169.254.169.254", A_SIDE, False),
        ("100.64.7.7", A_SIDE, False),
        ("10.0.0.5", A_SIDE._replace(signalling="10.0.0.5"), True),
        ("10.0.0.5", A_SIDE._replace(latching=Latching.ANY), True),
        ("10.0.0.5", A_SIDE._replace(hidden=True), True),
        ("fd00::5", A_SIDE._replace(v6=PUBLIC_V6), False),
        ("::ffff:10.0.0.5", A_SIDE._replace(v6=PUBLIC_V6), False),
        ("2001:db8::7", A_SIDE._replace(v6=PUBLIC_V6), True),
    ],
)
def test_nobody_outside_has_us_connect_into_private_networks(host: str, side: SideFacts, reached: bool) -> None:
    path = f"msrp://[{host}]:7394/x;tcp" if ":" in host else f"msrp://{host}:7394/x;tcp"
    session = open_call(media_with_ports(), side)
    session.offer("a", sdp(message(path, "a=setup:passive"), host=host), 1.0)
    _, flow = answered(session)
    assert paths(flow)[0].connects
    assert flow.a.remote == (Address(host, 7394) if reached else None)


def test_a_path_that_stays_keeps_its_connection() -> None:
    session, _, _ = offered()
    answered(session)
    exchange = session.offer("b", sdp(message(B_PATH, "a=setup:actpass", port=8493), host="10.0.0.5"), 2.0)
    assert exchange.flows == ()
    back = session.answer("a", sdp(message(A_PATH)), 2.0)
    assert back.flows == ()
    assert "a=setup:active" in lines(back.sdp), "as it is connected already"


def test_hold_changes_nothing_of_the_session() -> None:
    session, _, _ = offered()
    told, _ = answered(session)
    held = session.offer("a", sdp(message(A_PATH, "a=sendonly")), 2.0)
    assert "a=sendonly" in lines(held.sdp)
    back = session.answer("b", sdp(message(B_PATH, "a=recvonly", port=8493), host="10.0.0.5"), 2.0)
    assert (held.flows, back.flows) == ((), ())
    assert path_in(lines(back.sdp)) == path_in(told)


def test_a_new_path_is_a_new_connection_on_that_side_alone() -> None:
    """RFC 4975 section 8.4: after a failure, or at any time."""
    session, _, _ = offered()
    _, before = answered(session)
    other = A_PATH.replace("2s93i93idj", "another")
    assert session.offer("a", sdp(message(other)), 2.0).flows == ()
    _, after = answered(session)
    assert paths(after) == (paths(before)[0]._replace(theirs=other), paths(before)[1])


def test_the_session_ends_with_its_stream_and_comes_back_as_another() -> None:
    session = open_call(media_with_ports())
    session.offer("a", sdp(AUDIO, message(A_PATH)), 1.0)
    before = session.answer("b", sdp(AUDIO, message(B_PATH), host="10.0.0.5"), 1.0).flows[1]
    session.offer("a", sdp(AUDIO, "message 0 TCP/MSRP *"), 2.0)
    gone = session.answer("b", sdp(AUDIO, "message 0 TCP/MSRP *", host="10.0.0.5"), 2.0)
    assert gone.removed == (before.id,)
    (early,) = session.offer("b", sdp(AUDIO, message(B_PATH), host="10.0.0.5"), 3.0).flows
    (flow,) = session.answer("a", sdp(AUDIO, message(A_PATH)), 3.0).flows
    assert flow.id == early.id == before.id
    assert not {path.ours for path in paths(flow)} & {path.ours for path in paths(before)}


def test_who_is_transferred_keeps_its_session_with_us() -> None:
    media = media_with_ports()
    call, other = open_call(media), media.open("other", A_SIDE, B_SIDE)
    offered(session=call)
    _, before = answered(call)
    offered(session=other)
    _, others = answered(other, path=B_PATH.replace("si438dsaodes", "carol"))
    exchange = call.bridge("b", other, "b", 2.0)
    (joined,) = exchange.flows
    assert joined.id == before.id
    assert paths(joined) == (paths(before)[0], paths(others)[1])
    assert joined.b.local == others.b.local
    assert exchange.removed == (others.id,)


# -- what cannot be served ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "message 7394 TCP/TLS/MSRP *|a=path:msrps://192.0.2.7:7394/x;tcp",
        "message 7394 TCP/MSRP *",
        "message 7394 TCP/MSRP *|a=path:nonsense",
        "message 7394 TCP/MSRP *|a=path:msrps://192.0.2.7:7394/x;tcp",
        "message 7394 TCP/MSRP *|a=path:msrp://192.0.2.7:7394/x;ws",
        "message 7394 TCP/MSRP *|a=path:msrp://192.0.2.7:7394;tcp",
        "message 7394 TCP/MSRP *|a=path:msrp://224.0.0.1:7394/x;tcp",
        "audio 7394 TCP/MSRP *|a=path:msrp://192.0.2.7:7394/x;tcp",
    ],
)
def test_what_cannot_be_served_is_refused_and_nothing_of_it_crosses(line: str) -> None:
    session = open_call(media_with_ports())
    exchange = session.offer("a", sdp(AUDIO, line), 1.0)
    told = lines(exchange.sdp)
    assert exchange.flows == ()
    assert told[-1] == f"m={line.split()[0]} 0 {line.split('|')[0].split()[2]} *"
    with pytest.raises(MediaError, match="488"):
        open_call(media_with_ports()).offer("a", sdp(line), 1.0)


def test_what_a_file_transfer_and_a_chat_room_say_crosses() -> None:
    said = [
        'a=file-selector:name:"a.jpg" type:image/jpeg size:4092 hash:sha-1:72:24:5F:E8:65:3D:DA:F3:71:36:2F:86:D4:71',
        "a=file-transfer-id:Q6LMoGymJdh0IKIgD6wD0jkcfgva4xvE",
        "a=file-disposition:render",
        "a=chatroom:nickname private-messages",
        "a=max-size:65536",
        "a=accept-wrapped-types:*",
    ]
    _, told, _ = offered(*said, "a=msrp-cema", "a=connection:new", "a=file-icon:cid:x@192.0.2.7")
    assert set(said) <= set(told)
    assert not any(line.startswith(("a=msrp-cema", "a=connection", "a=file-icon")) for line in told)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_where_a_side_takes_connections_is_its_nearest_hop() -> None:
    reading = read_messages([f"a=path:msrp://192.0.2.99:9000/relay;tcp {A_PATH}", "a=setup:actpass"])
    assert reading is not None
    assert (reading.setup, place(reading, "192.0.2.7")) == ("actpass", Address("192.0.2.99", 9000))


def test_of_a_name_the_connection_line_tells_the_address() -> None:
    reading = read_messages(["a=path:msrp://alice.example.com:7394/x;tcp"])
    assert reading is not None
    assert place(reading, "192.0.2.7") == Address("192.0.2.7", 7394)
    assert place(reading, "") is None


def test_we_open_no_connection_to_where_services_live() -> None:
    reading = read_messages(["a=path:msrp://192.0.2.7:25/x;tcp"])
    assert reading is not None
    assert place(reading, "192.0.2.7") is None


def test_roles_change_only_if_they_must() -> None:
    reading = read_messages([f"a=path:{A_PATH}", "a=setup:active"])
    assert reading is not None
    connecting = MessageEnd("s", A_PATH, True)
    assert heard_end(connecting, reading, offers=True) == MessageEnd("s", A_PATH, False)
    assert heard_end(connecting, reading._replace(setup=""), offers=True) is connecting
    assert told_lines(connecting, PRIVATE.advertised, 30000, False) == (
        "a=path:msrp://10.0.0.1:30000/s;tcp",
        "a=setup:active",
    )
