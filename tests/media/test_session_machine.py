"""Two calls driven at random over few ports: nothing leaks, nothing is used twice, nothing escapes but MediaError."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sbc.media import Dtmf, Exchange, Flow, MediaError, MediaProfile, MediaSession, SideFacts, treat_dtmf
from sbc.media.formats import read_formats
from sbc.sdp import Negotiation, parse_sdp
from tests.support.media_calls import A_SIDE, B_SIDE, PRIVATE_V6, PUBLIC_V6, lines, media_with_ports, sdp

WHICH = st.sampled_from([0, 1])
SIDES = st.sampled_from("ab")
PORTS = st.sampled_from(["6000", "6010", "0"])
PROTOCOLS = st.sampled_from(["RTP/AVP"] * 6 + ["udptl", "RTP/SAVP"])
EXTRAS = ["", "", "", "|a=sendonly", "|a=inactive", "|a=rtcp-mux", "|c=IN IP4 0.0.0.0", "|c=IN IP6 2001:db8::9"]
FORMATS = st.sampled_from(
    [
        "0",
        "0 101|a=rtpmap:101 telephone-event/8000|a=fmtp:101 0-16",
        "8 0 96|a=rtpmap:96 telephone-event/8000",
        "96 101|a=rtpmap:96 opus/48000/2|a=rtpmap:101 telephone-event/48000",
        "18 8|a=fmtp:18 annexb=no",
        "101 0|a=rtpmap:101 opus/48000/2",
    ]
)
KINDS = st.sampled_from(["audio"] * 6 + ["image"])
STREAMS = st.lists(
    st.builds("{} {} {} {}{}".format, KINDS, PORTS, PROTOCOLS, FORMATS, st.sampled_from(EXTRAS)), max_size=4
)
HOSTS = st.sampled_from(["192.0.2.8", "192.0.2.7", "10.0.0.5", "2001:db8::7", "0.0.0.0", "phone.example"])
BOTH = B_SIDE._replace(v6=PRIVATE_V6, prefer_v6=True)
PICKY = MediaProfile(deny=("G729", "opus"), order=("PCMA",))
B_SIDES = st.sampled_from(
    [
        B_SIDE,
        BOTH,
        BOTH._replace(v4=None),
        B_SIDE._replace(profile=PICKY),
        B_SIDE._replace(profile=MediaProfile(("PCM*",))),
    ]
)


OUTCOMES = st.sampled_from(["answer", "answer", "preview", "reject", "leave"])
SELDOM = st.sampled_from([False] * 5 + [True])


def other_of(side: str) -> str:
    return "b" if side == "a" else "a"


class Calls(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.media = media_with_ports(count=9, drain=2.0)
        self.now = 0.0
        self.count = 0
        self.opened: dict[str, MediaSession] = {}
        self.plane: dict[str, Flow] = {}
        self.numbers: dict[tuple[str, str], object] = {}
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
        self.told(exchange)
        if session.call_id not in self.asked:  # the offer was ours
            if exchange.sdp:  # and was taken back: it is the one before that is answered again
                self.sent(session, side, data, exchange)
            return
        assert len(parse_sdp(exchange.sdp).media) == self.asked[session.call_id]
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

    # -- offers of our own ---------------------------------------------------------------------------------------------

    @rule(which=WHICH, side=SIDES, streams=STREAMS, host=HOSTS, outcome=OUTCOMES)
    def offer_early(self, which, side, streams, host, outcome):
        session = self.calls[which]
        body = self.tried(session.early_offer, side, self.now)
        if body is not None:
            assert [m for m in lines(body) if m.startswith("m=")]
            self.asked_on_our_account(session, side, body, streams, host, outcome)

    @rule(which=WHICH, side=SIDES, streams=STREAMS, host=HOSTS, outcome=OUTCOMES)
    def pass_on(self, which, side, streams, host, outcome):
        session = self.calls[which]
        before = self.state(session)
        body = self.tried(session.offer_of, side, self.now)
        if body:
            self.asked_on_our_account(session, other_of(side), body, streams, host, outcome)
        else:
            assert self.state(session) == before

    @rule(which=WHICH, side=SIDES, streams=STREAMS, host=HOSTS, outcome=OUTCOMES)
    def ask_again(self, which, side, streams, host, outcome):
        session = self.calls[which]
        if {session.a.state, session.b.state} & {Negotiation.OFFER_RECEIVED, Negotiation.OFFER_SENT}:
            return  # there is one exchange at a time
        before = self.state(session)
        exchange_before = self.offered.get(session.call_id), self.asked.get(session.call_id)
        body = session.standing(side)
        assert self.state(session) == before
        if body:
            assert session.standing(side) == body
            self.asked_on_our_account(session, side, body, streams, host, outcome)
            if outcome == "reject":  # then the last exchange is the one before
                for table, known in zip((self.offered, self.asked), exchange_before, strict=True):
                    table.pop(session.call_id, None)
                    if known is not None:
                        table[session.call_id] = known

    def asked_on_our_account(self, session, side, body, streams, host, outcome):
        """`side` got `body`, and answers it, refuses it, or does not answer yet."""
        count = self.gone_out(session, side, body)
        self.offered[session.call_id] = other_of(side), count
        self.asked.pop(session.call_id, None)
        if outcome == "reject":
            self.told(session.reject(self.now))
        elif outcome != "leave":
            data = sdp(*(streams + ["audio 6000 RTP/AVP 0"] * count)[:count], host=host)
            exchange = self.tried(session.answer, side, data, self.now, outcome == "answer")
            assert exchange is not None
            assert exchange.sdp == b""
            assert session.unchanged(side, data)
            self.told(exchange)

    @rule(side=SIDES, its=SIDES, which=WHICH, really=st.sampled_from([False, True, True]))
    def bridge(self, side, its, which, really):
        """A leg of one call goes over to the other one."""
        if not really:
            return
        session, other = self.calls[which], self.calls[1 - which]
        before = self.state(session), self.state(other), self.media.ports_in_use
        exchange = self.tried(session.bridge, side, other, its, self.now)
        if exchange is None:
            assert (self.state(session), self.state(other), self.media.ports_in_use) == before
            return
        del self.opened[other.call_id]
        self.told(exchange)
        assert not [flow for flow in self.plane if flow.startswith(other.call_id + "/")]
        for table in (self.bodies, self.numbers):
            table.pop((session.call_id, side), None)
            known = table.pop((other.call_id, its), None)
            if known is not None:
                table[(session.call_id, side)] = known
        self.offered.pop(session.call_id, None)
        self.asked.pop(session.call_id, None)
        assert other.close(self.now) == ()
        self.calls[1 - which] = self.open(B_SIDE)

    @rule(which=WHICH, host=st.sampled_from(["10.0.0.5", "10.0.0.6"]))
    def face(self, which, host):
        session = self.calls[which]
        ports = self.media.ports_in_use
        self.told(Exchange(b"", session.now_facing(session.b.facts._replace(signalling=host))))
        assert self.media.ports_in_use == ports
        assert all(flow.b.signalling == host for flow in session.flows())

    @rule(which=WHICH, side=SIDES, treatment=st.sampled_from(list(Dtmf)))
    def end_events(self, which, side, treatment):
        self.told(treat_dtmf(self.calls[which], side, treatment))

    @rule(which=WHICH, b=B_SIDES, really=SELDOM)
    def retarget(self, which, b, really):
        if not really:
            return
        session = self.calls[which]
        self.told(Exchange(b"", (), session.retarget(b, self.now)))
        self.offered.pop(session.call_id, None)
        self.asked.pop(session.call_id, None)
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
        self.gone_out(session, other_of(side), exchange.sdp)

    def gone_out(self, session: MediaSession, side: str, data: bytes) -> int:
        """`data` went to `side`; gives its number of m-lines."""
        _, origin, *body = lines(data)
        _, session_id, version, *where = origin.split(" ")
        leg = (session.call_id, side)
        known_id, known_version, known_body = self.bodies.get(leg, (session_id, 0, []))
        body += where
        assert session_id == known_id
        assert int(version) == known_version + (body != known_body)
        self.bodies[leg] = (session_id, int(version), body)
        media = parse_sdp(data).media
        for stream in media:
            numbers = stream.formats
            assert len(set(numbers)) == len(numbers)
            if stream.protocol == "RTP/AVP":
                named = [f.number for f in read_formats(stream.format_list, stream.body) if f.name]
                assert not stream.port or named, "each format can be told"
        return len(media)

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
