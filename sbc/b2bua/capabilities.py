"""What a leg can carry and what it can not: methods, extensions, bodies (RFC 3261 sections 8.2.2.3, 8.2.3, 20.5)."""

from __future__ import annotations

from functools import lru_cache

from sbc.b2bua.call import Leg
from sbc.b2bua.hooks import Reject
from sbc.b2bua.network import Mode, Refer
from sbc.sip import Headers, Request, Response, Uri

ALLOWED = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "MESSAGE", "PRACK", "REFER", "NOTIFY")
"""What a leg can carry; a leg is told those that its other side allows as well."""


SCHEMES = frozenset({"sip", "tel"})
"""Of a Request-URI. sips promises TLS to the last hop (RFC 5630), which no leg has yet: 416, as 21.4.14 wants it."""


def is_emergency_service(uri: Uri) -> bool:
    """`urn:service:sos`, or a kind of it such as `urn:service:sos.fire` (RFC 5031 section 4.2)."""
    service = uri.opaque.lower() if uri.scheme == "urn" else ""
    return service == "service:sos" or service.startswith("service:sos.")


def can_be_called(uri: Uri) -> bool:
    return uri.scheme in SCHEMES or is_emergency_service(uri)


ALLOW = ", ".join(ALLOWED)
"""What the SBC itself understands."""


def allow(message: Request | Response) -> str:
    """What the other leg may be told, given what this message's sender allows (RFC 3261 section 20.5)."""
    allowed = message.headers.get("Allow")
    if allowed is None or allowed == ALLOW:
        return ALLOW
    return _narrowed(", ".join(message.headers.get_all("Allow")))


@lru_cache(256)
def _narrowed(allowed: str) -> str:
    names = {name.strip().upper() for name in allowed.split(",")}
    return ", ".join(name for name in ALLOWED if name in names or name in _OURS)


_OURS = frozenset({"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER"})
"""Methods that we serve on a leg whatever its other side allows; INFO for digits (see `sbc.b2bua.dtmf`)."""

SUPPORTED = frozenset({"100rel", "timer", "replaces"})
"""Extensions that a leg of ours speaks, whatever the other leg does."""

PASSED = frozenset(
    {"precondition", "replaces", "norefersub", "from-change", "histinfo", "resource-priority", "uui"}
) | {"eventlist"}
"""Extensions between the user agents, that cost us nothing: their tags cross (RFC 3312 is SDP attributes)."""


def note(leg: Leg, message: Request | Response) -> None:
    """Remember what the element of `leg` says that it can (RFC 3261 sections 20.5 and 20.37)."""
    if "Allow" in message.headers:
        leg.allows = _methods(", ".join(message.headers.get_all("Allow")))
    if "Supported" in message.headers:
        tags = _option_tags(", ".join(message.headers.get_all("Supported")))
        leg.supports = tags | (leg.supports & _FOR_LIFE)


_FOR_LIFE = frozenset({"from-change"})
"""Said when a dialog begins, and for all of it (RFC 4916 section 4.2)."""
_PRIVACY_SERVICE = "privacy"
"""RFC 3323 section 4.3: asked of proxies; see `sbc.b2bua.privacy`."""


def required(request: Request) -> frozenset[str]:
    """The option tags that a request requires."""
    return _option_tags(", ".join(request.headers.get_all("Require"))) if "Require" in request.headers else frozenset()


def passed(received: Request | Response, built: Headers, other: Leg | None = None) -> None:
    """Let the tags of extensions cross that are between the user agents; and say that we know Replaces, where a message
    of `other` begins a dialog and we do what its element cannot."""
    if other is not None and "replaces" not in other.supports and other.how.refer is not Refer.PASS:
        built.add("Supported", "replaces")
    for name in ("Supported", "Require"):
        if name in received.headers:
            tags = [tag for tag in received.headers.values(name) if tag.lower() in PASSED]
            if tags:
                built.add(name, ", ".join(tags))


@lru_cache(256)
def _methods(text: str) -> frozenset[str]:
    return frozenset(name.strip().upper() for name in text.split(",") if name.strip())


@lru_cache(256)
def _option_tags(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in text.split(",") if name.strip())


def unsupported_extensions(request: Request, leg: Leg | None = None) -> Reject | None:
    """Require or Proxy-Require of what we do not understand, or must not speak with that element (8.2.2.3, 16.3 step
    5)."""
    if "Require" not in request.headers and "Proxy-Require" not in request.headers:
        return None
    known = SUPPORTED | PASSED
    if leg is not None:
        known -= {
            tag for tag, mode in (("100rel", leg.how.reliable), ("timer", leg.how.session_timer)) if mode is Mode.NEVER
        }
    required = [tag for tag in request.headers.values("Require") if tag.lower() not in known]
    asked = [tag for tag in request.headers.values("Proxy-Require") if tag.lower() != _PRIVACY_SERVICE]
    listed = ", ".join([*required, *asked])
    return Reject("call", 420, f"requires {listed}", headers=(("Unsupported", listed),)) if listed else None


def allows(leg: Leg, method: str) -> bool:
    """Whether the element of `leg` has said that it understands `method`; one that has said nothing understands what
    RFC 3261 defines."""
    return method in leg.allows if leg.allows is not None else method == "INVITE"
