from __future__ import annotations

import pytest

from sbc.media import SideFacts
from sbc.media.formats import read_formats
from sbc.media.stream import Leg, StreamSide, Words, fits, willing_in_answer
from sbc.sip import Address
from tests.support.media_calls import A_SIDE

PORT = Address("203.0.113.10", 20000)
PHONE = read_formats("0 8 101", "a=rtpmap:101 telephone-event/8000")
ALAW = read_formats("8", "")


@pytest.mark.parametrize(
    ("told", "answered", "willing"),
    [
        ("sendrecv", "recvonly", "recvonly"),
        ("sendonly", "recvonly", "sendrecv"),
        ("sendonly", "inactive", "sendonly"),
        ("recvonly", "sendonly", "sendrecv"),
        ("recvonly", "inactive", "recvonly"),
        ("inactive", "inactive", "sendrecv"),
        ("", "sendonly", "sendonly"),
    ],
)
def test_an_answerer_may_want_more_than_the_offer_allowed(told, answered, willing):
    assert willing_in_answer(told, answered) == willing


def test_the_version_grows_with_each_change_of_what_a_leg_is_told():
    leg = Leg(A_SIDE, 77, "")
    assert leg.send("s=-\r\n", "IN IP4 192.0.2.1", 0) == b"v=0\r\no=- 77 1 IN IP4 192.0.2.1\r\ns=-\r\n"
    assert b"o=- 77 1 " in leg.send("s=-\r\n", "IN IP4 192.0.2.1", 0)
    assert b"o=- 77 2 " in leg.send("s=-\r\n", "IN IP4 192.0.2.2", 0)
    assert b"o=- 77 3 " in leg.send("s=x\r\n", "IN IP4 192.0.2.2", 1)
    leg.heard = b"theirs"
    leg.agree()
    assert leg.agreed == Words(b"theirs", "s=x\r\n", "IN IP4 192.0.2.2", 1)


def side(**values: object) -> StreamSide:
    usual = {"formats": PHONE, "told": PHONE, "willing": "sendrecv", "told_direction": "sendrecv"}
    return StreamSide(PORT, 4, **{**usual, **values})  # type: ignore[arg-type]


def test_what_was_told_fits_while_nothing_of_it_would_be_lost():
    assert fits(side(), side())
    assert fits(None, None)
    assert not fits(side(), None)
    assert not fits(None, side())
    assert fits(side(formats=ALAW), side()), "it does not send what it does not have"
    assert not fits(side(), side(formats=ALAW)), "it may send what the other one does not know"
    assert not fits(side(told=ALAW, formats=ALAW), side(formats=PHONE[:1])), "nothing in common"
    no_events = PHONE[:2]
    assert not fits(side(), side(formats=no_events))
    assert fits(side(), side(formats=no_events), ends_events=True)


@pytest.mark.parametrize(
    ("told", "other", "own", "does"),
    [
        ("sendonly", "sendrecv", "sendrecv", False),
        ("sendrecv", "sendonly", "sendrecv", False),
        ("sendrecv", "recvonly", "sendonly", True),
        ("sendrecv", "sendonly", "inactive", True),
        ("inactive", "inactive", "sendrecv", True),
        ("", "sendrecv", "sendrecv", False),
    ],
)
def test_directions_fit_where_the_side_can_tell_no_difference(told, other, own, does):
    assert fits(side(told_direction=told, willing=own), side(willing=other)) is does


def test_a_leg_chooses_the_family_that_it_has():
    leg = Leg(A_SIDE, 1, "")
    assert [leg.choose_family(wanted) for wanted in (0, 4, 6)] == [4, 4, 4]
    nowhere: SideFacts = A_SIDE._replace(v4=None)
    with pytest.raises(Exception, match="no media address"):
        Leg(nowhere, 1, "").choose_family(4)
