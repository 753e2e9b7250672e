"""Control of media without I/O: session descriptions in, rewritten descriptions and flows out."""

from sbc.media.dtmf import dtmf_flow, signal_dtmf, takes_events, treat_dtmf
from sbc.media.facts import (
    ANY_MEDIA,
    Dtmf,
    Exchange,
    MediaAddress,
    MediaError,
    MediaProfile,
    MediaSettings,
    SideFacts,
    StreamFacts,
)
from sbc.media.flow import (
    DataPlane,
    DtmfReceived,
    Flow,
    FlowEvent,
    FlowEvents,
    FlowId,
    FlowSide,
    Latched,
    Latching,
    MessagePath,
    PayloadMap,
    PlaneLost,
    PortsReady,
    Silent,
    SourceMismatch,
    StatsReport,
    StreamStats,
)
from sbc.media.flows import moved
from sbc.media.media import Media
from sbc.media.port_pool import PortPool
from sbc.media.session import MediaSession

__all__ = [
    "ANY_MEDIA",
    "DataPlane",
    "Dtmf",
    "DtmfReceived",
    "Exchange",
    "Flow",
    "FlowEvent",
    "FlowEvents",
    "FlowId",
    "FlowSide",
    "Latched",
    "Latching",
    "Media",
    "MediaAddress",
    "MediaError",
    "MediaProfile",
    "MediaSession",
    "MediaSettings",
    "MessagePath",
    "PayloadMap",
    "PlaneLost",
    "PortPool",
    "PortsReady",
    "SideFacts",
    "Silent",
    "SourceMismatch",
    "StatsReport",
    "StreamFacts",
    "StreamStats",
    "dtmf_flow",
    "moved",
    "signal_dtmf",
    "takes_events",
    "treat_dtmf",
]
