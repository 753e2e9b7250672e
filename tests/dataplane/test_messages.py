"""MSRP sessions through a running worker, with plain sockets at both ends."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from sbc.dataplane.messages import MOST_OF_A_HOST, MOST_STRANGERS
from sbc.media import Flow, FlowSide, Latched, MessagePath, PlaneLost, Silent, SourceMismatch, StatsReport
from sbc.msrp import uri_text
from sbc.sip import Address
from tests.support.msrp import PATIENCE, Message, Speaker, accepted, connected, ok, send
from tests.support.planes import Stage, UserspaceUnderTest, side

ALICE, BOB = "msrp://127.0.0.1:7394/alice;tcp", "msrp://127.0.0.1:8493/bob;tcp"


class Session:
    """Alice is side a, Bob side b. Mostly Alice connects to us, and we to Bob."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.local_a, self.local_b = stage.ports()
        self.ours_a, self.ours_b = uri_text(*self.local_a, "4alice"), uri_text(*self.local_b, "4bob")
        self.opened: list[socket.socket] = []
        self.flow: Flow | None = None

    def listener(self) -> tuple[socket.socket, Address]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.opened.append(listener)
        return listener, Address(*listener.getsockname()[:2])

    def apply(
        self, at_a: Address | None, at_b: Address | None, a: str = ALICE, b: str = BOB, silence: float = 0.0
    ) -> Flow:
        """At an address given we connect; at None we are connected to."""
        paths = MessagePath(self.ours_a, a, at_a is not None), MessagePath(self.ours_b, b, at_b is not None)
        made: dict[str, object] = {"kind": "msrp", "treatments": frozenset({"msrp"}), "paths": paths}
        made["silence"] = silence
        sides: list[FlowSide] = [side(self.local_a, at_a), side(self.local_b, at_b)]
        if self.flow is None:
            self.flow = self.stage.apply(*sides, **made)
        else:
            self.flow = self.flow._replace(a=sides[0], b=sides[1], paths=paths, silence=silence)
            self.stage.again(self.flow)
        return self.flow

    def connect(self, local: Address) -> Speaker:
        speaker = connected(local)
        self.opened.append(speaker.sock)
        return speaker

    def call(self) -> tuple[Speaker, Speaker]:
        """Alice and Bob, connected."""
        listener, place = self.listener()
        self.apply(None, place)
        alice = self.connect(self.local_a)
        alice.say(send("t000", self.ours_a, ALICE, None))
        bob = self.taken(listener)
        assert bob.hear().headers["Byte-Range"] == "1-0/0"
        assert bob.hear().tid == "t000"
        return alice, bob

    def taken(self, listener: socket.socket) -> Speaker:
        speaker = accepted(listener)
        self.opened.append(speaker.sock)
        return speaker


@pytest.fixture(scope="module")
def under_test() -> Iterator[UserspaceUnderTest]:
    made = UserspaceUnderTest()
    yield made
    made.close()


@pytest.fixture
def session(under_test: UserspaceUnderTest) -> Iterator[Session]:
    stage = Stage(under_test)
    made = Session(stage)
    yield made
    stage.close()
    for sock in made.opened:
        sock.close()


def at_once(*doing: Callable[[], object]) -> None:
    threads = [threading.Thread(target=each) for each in doing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


# -- what passes -------------------------------------------------------------------------------------------------------


def test_who_listens_is_connected_to_and_told_at_once_whose_connection_it_is(session: Session) -> None:
    """RFC 4975 section 5.4: the active endpoint immediately issues a SEND request."""
    listener, place = session.listener()
    session.apply(None, place)
    first = session.taken(listener).hear()
    assert (first.what, first.to_path, first.from_path) == ("SEND", BOB, session.ours_b)
    assert (first.body, first.headers["Failure-Report"]) == (None, "no")


def test_messages_responses_and_reports_pass_with_paths_of_their_side(session: Session) -> None:
    alice, bob = session.call()
    alice.say(send("t001", session.ours_a, ALICE, b"Hi", "Success-Report: yes"))
    heard = bob.hear()
    assert (heard.tid, heard.to_path, heard.from_path, heard.body) == ("t001", BOB, session.ours_b, b"Hi")
    bob.say(ok("t001", session.ours_b, BOB))
    answer = alice.hear()
    assert (answer.what, answer.to_path, answer.from_path) == ("200 OK", ALICE, session.ours_a)
    bob.say(
        f"MSRP r001 REPORT\r\nTo-Path: {session.ours_b}\r\nFrom-Path: {BOB}\r\nMessage-ID: m.t001\r\n"
        "Byte-Range: 1-2/2\r\nStatus: 000 200 OK\r\n-------r001$\r\n".encode()
    )
    report = alice.hear()
    assert (report.what, report.to_path, report.headers["Status"]) == ("REPORT", ALICE, "000 200 OK")
    assert session.flow is not None
    stats = session.stage.remove(session.flow)
    assert (stats.a.packets, stats.b.packets) == (2, 2)
    assert stats.b.source is not None


def test_what_somebody_answers_to_our_first_request_goes_no_further(session: Session) -> None:
    listener, place = session.listener()
    session.apply(None, place)
    bob = session.taken(listener)
    bob.say(ok(bob.hear().tid, session.ours_b, BOB) + send("b001", session.ours_b, BOB))
    alice = session.connect(session.local_a)
    alice.say(send("t000", session.ours_a, ALICE, None))
    assert alice.hear().tid == "b001"


def test_both_may_connect_to_us(session: Session) -> None:
    session.apply(None, None)
    alice, bob = session.connect(session.local_a), session.connect(session.local_b)
    bob.say(send("b001", session.ours_b, BOB))
    alice.say(send("a001", session.ours_a, ALICE))
    assert (alice.hear().tid, bob.hear().tid) == ("b001", "a001")
    latched = {
        each.side for each in session.stage.under_test.all(Latched) if session.flow and each.flow_id == session.flow.id
    }
    session.stage.under_test.wait(Latched, lambda each: session.flow is not None and each.flow_id == session.flow.id)
    assert latched <= {"a", "b"}


def test_we_may_connect_to_both(session: Session) -> None:
    (near, at_a), (far, at_b) = session.listener(), session.listener()
    session.apply(at_a, at_b)
    alice, bob = session.taken(near), session.taken(far)
    assert (alice.hear().to_path, bob.hear().to_path) == (ALICE, BOB)
    alice.say(send("a001", session.ours_a, ALICE))
    bob.say(send("b001", session.ours_b, BOB))
    assert (alice.hear().tid, bob.hear().tid) == ("b001", "a001")


def test_who_answers_may_connect_before_the_answer_is_known(session: Session) -> None:
    session.apply(None, None, b="")
    bob = session.connect(session.local_b)
    bob.say(send("b001", session.ours_b, BOB))
    alice = session.connect(session.local_a)
    session.apply(None, None)
    alice.say(send("a001", session.ours_a, ALICE))
    assert (alice.hear().tid, bob.hear().tid) == ("b001", "a001")


def test_who_does_not_listen_yet_is_tried_again(session: Session) -> None:
    listener, place = session.listener()
    listener.close()
    session.apply(None, place)
    alice = session.connect(session.local_a)
    alice.say(send("a001", session.ours_a, ALICE))
    session.stage.under_test.wait(Latched, lambda each: session.flow is not None and each.flow_id == session.flow.id)
    again = socket.create_server(place)
    session.opened.append(again)
    bob = session.taken(again)
    assert bob.hear().headers["Failure-Report"] == "no"
    assert bob.hear().tid == "a001"


def test_megabytes_pass_both_ways_at_once(session: Session) -> None:
    alice, bob = session.call()
    chance = random.Random(4975)
    chunk = 300_000
    files = {name: chance.randbytes(6_000_000) + b"\r\n-------f0" * 400 for name in "ab"}
    size = len(files["a"])

    def chunks(data: bytes, name: str, to: str, source: str) -> Iterator[bytes]:
        for number, at in enumerate(range(0, size, chunk)):
            last = at + chunk >= size
            part = data[at : at + chunk]
            said = f"Byte-Range: {at + 1}-*/{size}"
            yield send(f"{name}tid{number}", to, source, part, said, flag="$" if last else "+")

    def speak(speaker: Speaker, name: str, to: str, source: str) -> None:
        for data in chunks(files[name], name, to, source):
            speaker.say(data)

    heard: dict[str, str] = {}

    def hear(speaker: Speaker, name: str) -> None:
        digest = hashlib.sha256()
        while True:
            message = speaker.hear()
            digest.update(message.body or b"")
            if message.flag == "$":
                break
        heard[name] = digest.hexdigest()

    at_once(
        lambda: speak(alice, "a", session.ours_a, ALICE),
        lambda: speak(bob, "b", session.ours_b, BOB),
        lambda: hear(alice, "b"),
        lambda: hear(bob, "a"),
    )
    assert heard == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def test_who_does_not_read_stops_who_writes(session: Session) -> None:
    """Nothing gathers in the worker: the writer's own buffers fill."""
    heard: list[Message] = []
    alice, bob = session.call()
    alice.say(send("t001", session.ours_a, ALICE, b"").partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    alice.sock.settimeout(1)
    written = 0
    try:
        while written < 100_000_000:
            written += alice.sock.send(b"x" * 65536)
    except TimeoutError:
        pass
    assert written < 100_000_000
    alice.sock.settimeout(PATIENCE)
    at_once(lambda: alice.say(b"\r\n-------t001$\r\n"), lambda: heard.append(bob.hear()))
    assert len(heard[0].body or b"") == written


# -- what does not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["msrp://127.0.0.1:1/guessed;tcp", BOB])
def test_who_names_another_session_is_answered_481_and_the_session_is_still_there(session: Session, path: str) -> None:
    session.apply(None, None)
    stranger = session.connect(session.local_a)
    stranger.say(send("t001", path, ALICE))
    answer = stranger.hear()
    assert (answer.tid, answer.what, answer.to_path) == ("t001", "481 Session Does Not Exist", ALICE)
    assert stranger.hears_the_end()
    alice, bob = session.connect(session.local_a), session.connect(session.local_b)
    alice.say(send("a001", session.ours_a, ALICE))
    bob.say(send("b001", session.ours_b, BOB))
    assert bob.hear().tid == "a001"
    assert session.flow is not None
    flow_id = session.flow.id
    mismatch = session.stage.under_test.wait(SourceMismatch, lambda each: each.flow_id == flow_id)
    assert mismatch.side == "a"
    assert session.stage.remove(session.flow).a.mismatched == 1


def test_the_session_of_the_other_side_is_none_here(session: Session) -> None:
    session.apply(None, None)
    stranger = session.connect(session.local_a)
    stranger.say(send("t001", session.ours_b, BOB))
    assert stranger.hear().what.startswith("481")
    assert stranger.hears_the_end()


def test_a_second_connection_for_a_session_is_refused(session: Session) -> None:
    """RFC 4975 section 5.4: 506."""
    alice, bob = session.call()
    thief = session.connect(session.local_a)
    thief.say(send("t009", session.ours_a, ALICE))
    assert thief.hear().what == "506 Session In Use"
    assert thief.hears_the_end()
    alice.say(send("a001", session.ours_a, ALICE))
    assert bob.hear().tid == "a001"


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 9000, b"MSRP x SEND\r\n" + b"y" * 9000])
def test_who_speaks_no_msrp_is_hung_up_on(session: Session, garbage: bytes) -> None:
    alice, bob = session.call()
    stranger = session.connect(session.local_a)
    stranger.say(garbage)
    assert stranger.hears_the_end()
    alice.say(send("a001", session.ours_a, ALICE))
    assert bob.hear().tid == "a001"


def test_a_crowd_of_silent_strangers_keeps_nobody_out(session: Session) -> None:
    session.apply(None, None)
    honest = session.connect(session.local_a)
    strangers = [
        Speaker(socket.create_connection(session.local_a, 15, (f"127.0.0.{host}", 0)))
        for host in range(2, 1 + MOST_STRANGERS // 2)
        for _ in range(3 * MOST_OF_A_HOST)
    ]
    session.opened += [stranger.sock for stranger in strangers]
    honest.say(send("h001", session.ours_a, ALICE))
    bob = session.connect(session.local_b)
    bob.say(send("b001", session.ours_b, BOB))
    assert bob.hear().tid == "h001"
    assert all(stranger.hears_the_end() for stranger in strangers[: 2 * MOST_OF_A_HOST])


# -- ends --------------------------------------------------------------------------------------------------------------


def test_the_end_of_one_connection_is_the_end_of_the_other_after_its_last_words(session: Session) -> None:
    alice, bob = session.call()
    alice.say(send("a001", session.ours_a, ALICE, b"x" * 200_000))
    alice.close()
    assert bob.hear().body == b"x" * 200_000
    assert bob.hears_the_end()


def test_what_breaks_the_protocol_ends_the_session(session: Session) -> None:
    alice, bob = session.call()
    bob.say(b"nonsense\r\n\r\n")
    assert bob.hears_the_end()
    assert alice.hears_the_end()


def test_who_comes_again_has_the_session_again(session: Session) -> None:
    listener, place = session.listener()
    session.apply(None, place)
    for _ in range(2):
        alice = session.connect(session.local_a)
        alice.say(send("a001", session.ours_a, ALICE))
        bob = session.taken(listener)
        while bob.hear().tid != "a001":
            pass
        alice.close()
        assert bob.hears_the_end()


def test_the_end_of_the_call_ends_both_connections_and_closes_the_ports(session: Session) -> None:
    alice, bob = session.call()
    assert session.flow is not None
    session.stage.remove(session.flow)
    assert alice.hears_the_end()
    assert bob.hears_the_end()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(session.local_a, timeout=2)


def test_another_path_is_another_connection_and_the_other_side_stays(session: Session) -> None:
    alice, bob = session.call()
    alice.say(send("a001", session.ours_a, ALICE, b"begun" + b"x" * 100)[:-20])
    carols, place = session.listener()
    session.apply(None, place, b="msrp://127.0.0.1:1/carol;tcp")
    carol = session.taken(carols)
    assert carol.hear().to_path == "msrp://127.0.0.1:1/carol;tcp"
    assert bob.hears_the_end()
    alice.say(send("a001", session.ours_a, ALICE, b"begun" + b"x" * 100)[-20:] + send("a002", session.ours_a, ALICE))
    assert carol.hear().tid == "a002"
    carol.say(send("c001", session.ours_b, "msrp://127.0.0.1:1/carol;tcp"))
    assert alice.hear().tid == "c001"


def test_a_message_that_is_cut_by_a_change_is_ended_for_who_gets_it(session: Session) -> None:
    alice, bob = session.call()
    bob.say(send("b001", session.ours_b, BOB, b"y" * 50_000)[:-30])
    carols, place = session.listener()
    alice.sock.settimeout(5)
    while alice.sock.recv(1 << 16, socket.MSG_PEEK).count(b"y") < 40_000:
        pass
    session.apply(None, place, b="msrp://127.0.0.1:1/carol;tcp")
    cut = alice.hear()
    assert (cut.tid, cut.flag) == ("b001", "#")
    carol = session.taken(carols)
    carol.say(send("c001", session.ours_b, "msrp://127.0.0.1:1/carol;tcp"))
    assert alice.hear().tid == "c001"


def test_two_who_are_not_connected_for_long_are_silent(session: Session) -> None:
    flow_id = session.apply(None, None, silence=0.4).id
    session.stage.under_test.wait(Silent, lambda each: each.flow_id == flow_id)


def test_two_who_are_connected_are_never_silent(session: Session) -> None:
    alice, bob = session.call()
    assert session.flow is not None
    flow_id = session.flow.id
    session.stage.again(session.flow._replace(silence=0.2))
    session.stage.under_test.run(0.2)
    session.stage.under_test.run(0.2)
    assert not [each for each in session.stage.under_test.all(Silent) if each.flow_id == flow_id]
    alice.close()
    assert bob.hears_the_end()
    session.stage.under_test.wait(Silent, lambda each: each.flow_id == flow_id)


def test_over_ipv6(under_test: UserspaceUnderTest) -> None:
    stage = Stage(under_test)
    local_a, local_b = stage.ports("::1")
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    place = Address(*listener.getsockname()[:2])
    ours = uri_text(*local_a, "4alice"), uri_text(*local_b, "4bob")
    paths = MessagePath(ours[0], ALICE, False), MessagePath(ours[1], BOB, True)
    made = {"kind": "msrp", "treatments": frozenset({"msrp"}), "paths": paths}
    stage.apply(side(local_a, None), side(local_b, place), **made)
    alice, bob = connected(local_a), accepted(listener)
    alice.say(send("a001", ours[0], ALICE))
    assert (bob.hear().from_path, bob.hear().from_path) == (ours[1], ours[1])
    stage.close()
    for sock in (listener, alice.sock, bob.sock):
        sock.close()


def test_sessions_come_again_when_the_worker_has_died() -> None:
    made = UserspaceUnderTest()
    stage = Stage(made)
    session = Session(stage)
    alice, bob = session.call()
    made.crash()
    assert alice.hears_the_end()
    assert bob.hears_the_end()
    made.wait(PlaneLost)
    assert session.flow is not None
    stage.again(session.flow)
    stage.ports()  # until there is another one
    again = session.connect(session.local_a)
    again.say(send("a001", session.ours_a, ALICE))
    bob = session.taken(session.opened[0])
    while bob.hear().tid != "a001":
        pass
    stage.close()
    for sock in session.opened:
        sock.close()
    made.close()


def test_a_side_that_goes_over_to_another_call_keeps_its_connection(session: Session) -> None:
    """As in a transfer: Alice stays, Carol comes out of a call of her own, which is removed afterwards."""
    alice, bob = session.call()
    other = Session(session.stage)
    dave, carol = other.call()
    carol.say(send("c001", other.ours_b, BOB, b"y" * 500)[:-40])
    dave.say(send("d001", other.ours_a, ALICE, b"z" * 500)[:-40])
    while carol.sock.recv(1 << 16, socket.MSG_PEEK).count(b"z") < 400:
        pass
    assert session.flow is not None
    assert other.flow is not None
    assert session.flow.paths is not None
    assert other.flow.paths is not None
    joined = session.flow._replace(b=other.flow.b, paths=(session.flow.paths[0], other.flow.paths[1]))
    session.stage.again(joined)
    session.stage.remove(other.flow)
    assert bob.hears_the_end()
    assert dave.hears_the_end()
    assert (carol.hear().flag, carol.sock.fileno() >= 0) == ("#", True), "what Dave had begun"
    alice.say(send("a001", session.ours_a, ALICE))
    assert carol.hear().from_path == other.ours_b
    carol.say(send("c001", other.ours_b, BOB, b"y" * 500)[-40:] + send("c002", other.ours_b, BOB))
    heard = alice.hear()
    assert (heard.tid, heard.from_path) == ("c002", session.ours_a)
    for sock in other.opened:
        sock.close()


def test_a_side_that_waits_goes_over_with_its_port(session: Session) -> None:
    session.apply(None, None)
    other = Session(session.stage)
    other.apply(None, None)
    assert session.flow is not None
    assert other.flow is not None
    assert session.flow.paths is not None
    assert other.flow.paths is not None
    session.stage.again(session.flow._replace(b=other.flow.b, paths=(session.flow.paths[0], other.flow.paths[1])))
    session.stage.remove(other.flow)
    alice, carol = session.connect(session.local_a), session.connect(other.local_b)
    alice.say(send("a001", session.ours_a, ALICE))
    carol.say(send("c001", other.ours_b, BOB))
    assert (alice.hear().tid, carol.hear().tid) == ("c001", "a001")


def test_the_same_again_changes_nothing(session: Session) -> None:
    alice, bob = session.call()
    assert session.flow is not None
    session.stage.again(session.flow)
    alice.say(send("a001", session.ours_a, ALICE))
    assert bob.hear().tid == "a001"


def test_each_session_reports_once(session: Session) -> None:
    session.call()
    assert session.flow is not None
    flow_id = session.flow.id
    session.stage.remove(session.flow)
    session.stage.under_test.run(0.2)
    assert len([each for each in session.stage.under_test.all(StatsReport) if each.flow_id == flow_id]) == 1


def test_messages_may_become_datagrams_and_messages_again(session: Session) -> None:
    alice, _ = session.call()
    assert session.flow is not None
    phone = session.stage.phone()
    session.stage.again(session.flow._replace(kind="udp", treatments=frozenset(), paths=None))
    assert alice.hears_the_end()
    phone.send(session.local_a, b"datagram")
    session.stage.again(session.flow)
    speaker = session.connect(session.local_a)
    speaker.say(send("a001", session.ours_a, ALICE))
    session.stage.remove(session.flow)
