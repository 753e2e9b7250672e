"""What can be done to RTP packets between the two sides of a flow, one file each; without clock, socket or chance."""

from sbc.rtp.treatments.dtmf import (
    INTERVAL,
    MOST_WAITING,
    PAUSE,
    EventDetector,
    EventPacket,
    Heard,
    event_packets,
    payload_at,
)
from sbc.rtp.treatments.payload_map import payload_table
from sbc.rtp.treatments.sequence import SequenceShift

__all__ = [
    "INTERVAL",
    "MOST_WAITING",
    "PAUSE",
    "EventDetector",
    "EventPacket",
    "Heard",
    "SequenceShift",
    "event_packets",
    "payload_at",
    "payload_table",
]
