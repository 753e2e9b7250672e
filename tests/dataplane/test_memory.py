"""What the memory plane keeps beyond what every plane does (tests/conformance/test_dataplane.py)."""

from __future__ import annotations

from sbc.dataplane import MemoryPlane
from sbc.media.flow import FlowEvent, PlaneLost, Silent
from sbc.sip import Address
from tests.support.planes import flow, side


def test_it_keeps_what_is_applied_now_and_all_that_ever_was() -> None:
    plane = MemoryPlane({"127.0.0.1": (4000, 4009)})
    first = flow("c/0", side(Address("127.0.0.1", 4000), None), side(Address("127.0.0.1", 4002), None))
    second = first._replace(silence=5.0)
    plane.apply(first)
    plane.apply(second)
    assert (plane.flows, plane.applied) == ({"c/0": second}, [first, second])
    plane.remove("c/0")
    assert plane.flows == {}


def test_events_can_be_made_to_happen() -> None:
    plane = MemoryPlane({})
    heard: list[FlowEvent] = []
    plane.subscribe(heard.append)
    plane.emit(Silent("c/0"))
    plane.lose("struck by lightning")
    assert heard == [Silent("c/0"), PlaneLost("struck by lightning")]
