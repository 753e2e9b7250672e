"""Control of media without I/O: session descriptions in, rewritten descriptions and flows out."""

from sbc.media.facts import Exchange, MediaAddress, MediaError, MediaSettings, SideFacts, StreamFacts
from sbc.media.flow import (
    DataPlane,
    Flow,
    FlowEvent,
    FlowId,
    FlowSide,
    Latched,
    Latching,
    PlaneLost,
    PortsReady,
    Silent,
    SourceMismatch,
    StatsReport,
    StreamStats,
)
from sbc.media.media import Media
from sbc.media.port_pool import PortPool
from sbc.media.session import MediaSession

__all__ = [
    "DataPlane",
    "Exchange",
    "Flow",
    "FlowEvent",
    "FlowId",
    "FlowSide",
    "Latched",
    "Latching",
    "Media",
    "MediaAddress",
    "MediaError",
    "MediaSession",
    "MediaSettings",
    "PlaneLost",
    "PortPool",
    "PortsReady",
    "SideFacts",
    "Silent",
    "SourceMismatch",
    "StatsReport",
    "StreamFacts",
    "StreamStats",
]
