"""A plane that moves nothing: it keeps what it was told, for tests and for trying a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sbc.media import Flow, FlowEvent, FlowId, PlaneLost, PortsReady, StatsReport, StreamStats


class MemoryPlane:
    """A `DataPlane` whose events come at once, in the call that causes them; `emit` makes the others happen."""

    treatments: frozenset[str] = frozenset({"payload-map", "dtmf", "msrp"})

    def __init__(self, ranges: Mapping[str, tuple[int, int]]) -> None:
        """`ranges`: for each host the lowest and the highest port, both included."""
        self._free = {host: iter(range(low + low % 2, high, 2)) for host, (low, high) in ranges.items()}
        self._listeners: list[Callable[[FlowEvent], None]] = []
        self.flows: dict[FlowId, Flow] = {}
        """What is applied now."""
        self.applied: list[Flow] = []
        """Every `apply`, in order."""
        self.digits: list[tuple[FlowId, str, str, int]] = []
        """Every `send_dtmf` that a flow could take, in order."""

    def subscribe(self, listener: Callable[[FlowEvent], None]) -> None:
        self._listeners.append(listener)

    def bind(self, host: str, count: int) -> None:
        free = self._free.get(host, iter(()))
        self.emit(PortsReady(host, tuple(port for _, port in zip(range(count), free, strict=False))))

    def apply(self, flow: Flow) -> None:
        """Raises ValueError for a treatment that this plane does not have."""
        if not flow.treatments <= self.treatments:
            raise ValueError(f"no such treatment: {sorted(flow.treatments - self.treatments)}")
        self.applied.append(flow)
        self.flows[flow.id] = flow

    def remove(self, flow_id: FlowId) -> None:
        if self.flows.pop(flow_id, None) is not None:
            self.emit(StatsReport(flow_id, StreamStats(), StreamStats(), True))

    def send_dtmf(self, flow_id: FlowId, side: str, digit: str, duration: int) -> None:
        flow = self.flows.get(flow_id)
        events = None if flow is None else flow.events_a if side == "a" else flow.events_b
        if events is not None and events.sent is not None:
            self.digits.append((flow_id, side, digit, duration))

    def lose(self, reason: str) -> None:
        """Forget everything, as a plane does whose process dies."""
        self.flows.clear()
        self.emit(PlaneLost(reason))

    def emit(self, event: FlowEvent) -> None:
        for listener in tuple(self._listeners):
            listener(event)
