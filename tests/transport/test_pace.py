from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from sbc.transport.pace import FAST, LONGEST, MOST, PAUSE, SLOW, WINDOW, Pace


class FakeReactor(Clock):
    """A clock, and who would be woken."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[object] = set()

    def addReader(self, reader: object) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.discard(reader)


class Socket:
    def __init__(self) -> None:
        self.waiting = 0
        self.taken = 0

    def take(self, most: int) -> int:
        count = min(most, self.waiting)
        self.waiting -= count
        self.taken += count
        return count


class Scene:
    """Two sockets and their pace."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.pace = Pace(self.reactor)
        self.sockets = [Socket(), Socket()]
        for sock in self.sockets:
            self.pace.add(sock)

    def come(self, a_second: float, seconds: float) -> None:
        """Datagrams come to the first socket, at an even rate."""
        for _ in range(int(a_second * seconds)):
            self.sockets[0].waiting += 1
            if self.sockets[0] in self.reactor.readers:
                self.pace.woken(self.sockets[0])
            self.reactor.advance(1 / a_second)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_single_datagram_is_taken_at_once(scene: Scene) -> None:
    scene.come(10, 1)
    assert scene.sockets[0].taken == 10
    assert scene.reactor.readers == set(scene.sockets)
    assert scene.reactor.getDelayedCalls() == []


def test_when_they_come_fast_nobody_is_woken_and_none_waits_longer_than_a_pause(scene: Scene) -> None:
    scene.come(2 * FAST, 2 * WINDOW)
    assert scene.pace.is_fast
    assert scene.reactor.readers == set()
    for sock in scene.sockets:
        sock.waiting = 3
    scene.reactor.advance(LONGEST)
    assert [sock.waiting for sock in scene.sockets] == [0, 0]


@pytest.mark.parametrize(("rate", "most"), [(1.1 * FAST, LONGEST), (2 * FAST, 4 / (2 * FAST)), (10 * FAST, PAUSE)])
def test_the_faster_they_come_the_less_they_wait(scene: Scene, rate: float, most: float) -> None:
    scene.come(rate, 5 * WINDOW)
    assert scene.pace.is_fast
    scene.reactor.advance(LONGEST)  # whatever was planned before
    scene.sockets[1].waiting = 1
    scene.reactor.advance(0.9 * most - 0.001)
    assert scene.sockets[1].waiting == 1
    scene.reactor.advance(0.1 * most + 0.002)
    assert scene.sockets[1].waiting == 0


def test_when_they_come_slowly_again_the_reactor_wakes_us_again(scene: Scene) -> None:
    scene.come(2 * FAST, 2 * WINDOW)
    scene.come((FAST + SLOW) / 2, 2.0)
    assert scene.pace.is_fast
    scene.come(SLOW / 2, 3 * WINDOW)
    assert not scene.pace.is_fast
    assert scene.reactor.readers == set(scene.sockets)
    assert scene.reactor.getDelayedCalls() == []


def test_silence_after_a_storm_ends_the_looking(scene: Scene) -> None:
    scene.come(2 * FAST, 2 * WINDOW)
    scene.reactor.pump([LONGEST] * 100)
    assert scene.reactor.readers == set(scene.sockets)
    assert scene.reactor.getDelayedCalls() == []


def test_datagrams_of_long_ago_do_not_count(scene: Scene) -> None:
    scene.come(10 * FAST, 0.9 * WINDOW)
    scene.reactor.advance(3600)
    scene.come(10, 1)
    assert not scene.pace.is_fast


def test_what_one_look_left_behind_is_taken_without_a_pause(scene: Scene) -> None:
    scene.come(2 * FAST, 2 * WINDOW)
    scene.sockets[1].waiting = 3 * MOST
    scene.reactor.advance(LONGEST)
    scene.reactor.advance(0)
    scene.reactor.advance(0)
    assert scene.sockets[1].waiting == 0


def test_an_exception_does_not_end_the_looking(scene: Scene) -> None:
    scene.come(2 * FAST, 2 * WINDOW)
    scene.sockets[0].take = lambda most: 1 // 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        scene.reactor.advance(LONGEST)
    assert scene.reactor.getDelayedCalls()


@pytest.mark.parametrize("rate", [10.0, 2 * FAST])
def test_a_socket_that_is_removed_is_left_alone_and_the_last_one_leaves_no_timer(scene: Scene, rate: float) -> None:
    scene.come(rate, 3 * WINDOW + 2 / rate)
    assert scene.pace.is_fast == (rate > FAST)
    scene.pace.remove(scene.sockets[0])
    scene.pace.remove(scene.sockets[0])
    scene.sockets[0].waiting = 1
    scene.reactor.advance(LONGEST)
    assert scene.sockets[0].waiting == 1
    scene.pace.remove(scene.sockets[1])
    assert scene.reactor.readers == set()
    assert scene.reactor.getDelayedCalls() == []


def test_a_socket_that_closes_all_while_it_takes_leaves_no_timer(scene: Scene) -> None:
    def take(most: int) -> int:
        for sock in scene.sockets:
            scene.pace.remove(sock)
        return most

    scene.come(2 * FAST, 2 * WINDOW)
    scene.sockets[0].take = take  # type: ignore[method-assign]
    scene.reactor.advance(LONGEST)
    assert scene.reactor.getDelayedCalls() == []
    assert scene.reactor.readers == set()


@pytest.mark.parametrize("fast", [False, True])
def test_a_socket_that_the_reactor_dropped_is_heard_again(scene: Scene, fast: bool) -> None:
    if fast:
        scene.come(2 * FAST, 2 * WINDOW)
    scene.reactor.readers.discard(scene.sockets[0])
    scene.pace.again(scene.sockets[0])
    assert (scene.sockets[0] in scene.reactor.readers) == (not fast)
