"""Pure packet functions of the media path: what a datagram is, who may send it, what it says, what RTCP may tell.

Nothing here has a clock or a socket: time is an argument, in seconds.
"""

from sbc.rtp.demux import Content, content_of
from sbc.rtp.latch import Latch
from sbc.rtp.packet import (
    MalformedRtcpError,
    RtcpPacket,
    RtpView,
    rtcp_packets,
    scrub_rtcp,
)
from sbc.rtp.quality import Figures, Reception
from sbc.rtp.stun import answer_binding, is_stun
from sbc.rtp.treatments import INTERVAL as DTMF_INTERVAL
from sbc.rtp.treatments import MOST_WAITING as MOST_WAITING_DIGITS
from sbc.rtp.treatments import PAUSE as DTMF_PAUSE
from sbc.rtp.treatments import (
    EventDetector,
    EventPacket,
    Heard,
    SequenceShift,
    event_packets,
    payload_at,
    payload_table,
)

__all__ = [
    "DTMF_INTERVAL",
    "DTMF_PAUSE",
    "MOST_WAITING_DIGITS",
    "Content",
    "EventDetector",
    "EventPacket",
    "Figures",
    "Heard",
    "Latch",
    "MalformedRtcpError",
    "Reception",
    "RtcpPacket",
    "RtpView",
    "SequenceShift",
    "answer_binding",
    "content_of",
    "event_packets",
    "is_stun",
    "payload_at",
    "payload_table",
    "rtcp_packets",
    "scrub_rtcp",
]
