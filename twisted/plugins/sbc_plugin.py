"""Makes `twistd sbc` known."""

from twisted.application.service import ServiceMaker

sbc = ServiceMaker("sbc", "sbc.service.tap", "Session border controller: SIP and media between two networks", "sbc")
