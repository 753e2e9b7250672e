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

__all__ = [
    "Content",
    "Figures",
    "Latch",
    "MalformedRtcpError",
    "Reception",
    "RtcpPacket",
    "RtpView",
    "content_of",
    "rtcp_packets",
    "scrub_rtcp",
]
