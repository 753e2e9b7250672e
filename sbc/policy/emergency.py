"""Which calls are emergency calls: they are not turned away for lack of room, and may have a route of their own."""

from __future__ import annotations

from collections.abc import Callable

from sbc.b2bua import is_emergency_service
from sbc.policy.numbers import dialled, pattern
from sbc.sip import Request, SipError


def emergency_calls(numbers: tuple[str, ...]) -> Callable[[Request], bool]:
    """Whether a request calls one of `numbers` (patterns, see `sbc.policy.numbers`) or the service `urn:service:sos` or
    one of its kinds (RFC 5031)."""
    matches = pattern(numbers)

    def is_emergency(request: Request) -> bool:
        try:
            uri = request.request_uri
        except SipError:
            return False
        return is_emergency_service(uri) or (bool(numbers) and matches(dialled(uri)))

    return is_emergency
