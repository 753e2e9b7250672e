"""Two calls driven at random over few ports: nothing leaks, nothing is used twice, nothing escapes but MediaError."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sbc.media import Exchange, Flow, MediaError, MediaSession, SideFacts
from sbc.sdp import parse_sdp
from tests.support.media_calls import A_SIDE, B_SIDE, PRIVATE_V6, PUBLIC_V6, lines, media_with_ports, sdp

WHICH = st.sampled_from([0, 1])
SIDES = st.sampled_from("ab")
PORTS = st.sampled_from(["6000", "6010", "0"])
PROTOCOLS = st.sampled_from(["RTP/AVP"] * 6 + ["udptl", "RTP/SAVP"])
EXTRAS = ["", "", "", "|a=sendonly", "|a=inactive", "|a=rtcp-mux", "|c=IN IP4 0.0.0.0", "|c=IN IP6 2001:db8::9"]
STREAMS = st.lists(st.builds("audio {} {} 0{}".format, PORTS, PROTOCOLS, st.sampled_from(EXTRAS)), max_size=4)
HOSTS = st.sampled_from(["192.0.2.8", "192.0.2.7", "10.0.0.5", "2001:db8::7", "0.0.0.0", "phone.example"])
BOTH = B_SIDE._replace(v6=PRIVATE_V6, prefer_v6=True)
B_SIDES = st.sampled_from([B_SIDE, BOTH, BOTH._replace(v4=None)])


SELDOM = st.sampled_from([False] * 5 + [True])


class Calls(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.media = media_with_ports(count=9, drain=2.0)
        self.now = 0.0
        self.count = 0
        self.opened: dict[str, MediaSession] = {}
        self.plane: dict[str, Flow] = {}
        self.bodies: dict[tuple[str, str], tuple[str, int, list[str]]] = {}
        """By call and leg: session id, version, body of what was sent last."""
        self.offered: dict[str, tuple[str, int]] = {}
        """By call: who offered last, and how many streams the other side was offered."""
        self.asked: dict[str, int] = {}
        """By call: how many streams the offerer offered."""
        self.calls = [self.open(B_SIDE), self.open(B_SIDE)]

    def open(self, b: SideFacts) -> MediaSession:
        self.count += 1
        session = self.media.open(f"call{self.count}", A_SIDE._replace(v6=PUBLIC_V6), b)
        self.opened[session.call_id] = session
        return session

    @rule(which=WHICH, side=SIDES, streams=STREAMS, host=HOSTS)
    def offer(self, which, side, streams, host):
        session = self.calls[which]
        data = sdp(*streams, host=host)
        before = self.state(session)
        exchange = self.tried(session.offer, side, data, self.now)
        if exchange is None:
            assert self.state(session) == before
            return
        assert exchange.flows == exchange.removed == ()
        told = len(parse_sdp(exchange.sdp).media)
        assert told >= len(streams)
        self.offered[session.call_id] = side, told
        self.asked[session.call_id] = len(streams)
        self.sent(session, side, data, exchange)

    @rule(
        which=WHICH,
        side=SIDES,
        streams=STREAMS,
        host=HOSTS,
        final=st.booleans(),
        fit=st.sampled_from([True, True, True, False]),
    )
    def answer(self, which, side, streams, host, final, fit):
        session = self.calls[which]
        if fit:
            offerer, count = self.offered.get(session.call_id, ("a", 0))
            side = "b" if offerer == "a" else "a"
            streams = (streams + ["audio 6000 RTP/AVP 0"] * count)[:count]
        data = sdp(*streams, host=host)
        before = self.state(session)
        exchange = self.tried(session.answer, side, data, self.now, final)
        if exchange is None:
            assert self.state(session) == before
            return
        assert len(streams) == self.offered[session.call_id][1]
        assert len(parse_sdp(exchange.sdp).media) == self.asked[session.call_id]
        self.told(exchange)
        self.sent(session, side, data, exchange)

    @rule(
        which=WHICH,
        side=SIDES,
        streams=STREAMS,
        hosts=st.tuples(HOSTS, HOSTS),
        finals=st.lists(st.booleans(), max_size=2),
        outcome=st.sampled_from(["reject", "answer", "leave"]),
    )
    def negotiate(self, which, side, streams, hosts, finals, outcome):
        """A whole exchange, its answers previewed and changed."""
        session = self.calls[which]
        streams = streams + ["audio 6000 RTP/AVP 0"] * (len(session.streams) - len(streams))
        self.offer(which, side, streams, hosts[0])
        for final in finals:
            self.answer(which, side, [stream if final else streams[0] for stream in streams], hosts[1], final, True)
        if outcome == "answer":
            self.answer(which, side, streams, hosts[1], True, True)
        elif outcome == "reject":
            self.reject(which)

    @rule(which=WHICH)
    def reject(self, which):
        self.told(self.calls[which].reject(self.now))

    @rule(which=WHICH, b=B_SIDES, really=SELDOM)
    def retarget(self, which, b, really):
        if not really:
            return
        session = self.calls[which]
        self.told(Exchange(b"", (), session.retarget(b, self.now)))
        self.bodies.pop((session.call_id, "b"), None)

    @rule(which=WHICH, b=B_SIDES, really=SELDOM)
    def close(self, which, b, really):
        if not really:
            return
        session = self.calls[which]
        del self.opened[session.call_id]
        self.told(Exchange(b"", (), session.close(self.now)))
        assert session.close(self.now) == ()
        assert not [flow for flow in self.plane if flow.startswith(session.call_id + "/")]
        self.calls[which] = self.open(b)

    @rule(seconds=st.floats(0.1, 5.0))
    def wait(self, seconds):
        self.now += seconds

    def tried(self, act, *arguments):
        """What `act` gives; None if it is refused."""
        status = 0
        try:
            return act(*arguments)
        except MediaError as error:
            status = error.status
        assert status in (400, 488, 491, 500, 503)

    def state(self, session: MediaSession) -> object:
        return session.streams, session.proposed, session.before, session.a.state, session.b.state, session.flows()

    def told(self, exchange: Exchange) -> None:
        for flow_id in exchange.removed:
            del self.plane[flow_id]
        for flow in exchange.flows:
            known = self.plane.get(flow.id)
            assert flow != known
            for new, old in ((flow.a, known.a), (flow.b, known.b)) if known else ():
                addresses = (new.local, new.remote, new.remote_rtcp) != (old.local, old.remote, old.remote_rtcp)
                assert new.generation > old.generation if addresses else new.generation >= old.generation
            self.plane[flow.id] = flow

    def sent(self, session: MediaSession, side: str, data: bytes, exchange: Exchange) -> None:
        """`side`'s description went to the other one."""
        _, origin, *body = lines(exchange.sdp)
        _, session_id, version, *where = origin.split(" ")
        leg = (session.call_id, "b" if side == "a" else "a")
        known_id, known_version, known_body = self.bodies.get(leg, (session_id, 0, []))
        body += where
        assert session_id == known_id
        assert int(version) == known_version + (body != known_body)
        self.bodies[leg] = (session_id, int(version), body)

    @invariant()
    def ports_are_in_use_exactly_where_a_session_names_them(self):
        named: list[object] = []
        for session in self.opened.values():
            generations = (session.streams, session.proposed, session.before or ())
            sides = {side.local for streams in generations for s in streams for side in (s.a, s.b) if side}
            named += sides
        assert len(named) == len(set(named)) == self.media.ports_in_use
        assert self.media.session_count == len(self.opened)

    @invariant()
    def the_plane_has_the_flows_of_the_sessions(self):
        assert {flow.id: flow for session in self.opened.values() for flow in session.flows()} == self.plane

    def teardown(self):
        for session in self.opened.values():
            session.close(self.now)
        assert (self.media.session_count, self.media.ports_in_use) == (0, 0)


Calls.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestCalls = Calls.TestCase
