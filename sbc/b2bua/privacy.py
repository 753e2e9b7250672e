"""What users do not want to be told of them, and who may be told nevertheless: we are a privacy service towards whoever
is outside our trust domain (RFC 3323 section 5, RFC 3325 section 7, RFC 5379 section 5, RFC 7044 section 10).

Inside it everything passes with the Privacy header: whoever lets it out does what the user wishes.
"""

from __future__ import annotations

import re

from sbc.sip import Headers

NOTHING: frozenset[str] = frozenset()
_SERVED = frozenset({"header", "session", "user", "history"})
"""What we do, and then take out of the Privacy header: no other service need do it again (RFC 3323 section 5). `id`
stays: it tells the last network to show no number."""
_KNOWN = _SERVED | {"id", "none", "critical"}

ANONYMOUS_URI = "sip:anonymous@anonymous.invalid"
ANONYMOUS = f'"Anonymous" <{ANONYMOUS_URI}>'
"""RFC 3323 section 4.1.1.3."""

WITHHELD: dict[str, frozenset[str]] = {
    "P-Asserted-Identity": frozenset({"id"}),
    "P-Preferred-Identity": frozenset({"id"}),
    "Remote-Party-ID": frozenset({"id"}),
    **dict.fromkeys(
        ("Call-Info", "Organization", "Reply-To", "Server", "Subject", "User-Agent", "Warning"), frozenset({"user"})
    ),
}
"""Header fields that do not leave the trust domain against one of these wishes (RFC 5379 section 5.1)."""
REDIRECTIONS_WITHHELD = frozenset({"header", "history"})
"""Wishes that make the entries of History-Info and Diversion anonymous (RFC 7044 section 10.1)."""

_separators = re.compile(r"[;,\s]+").split


def wishes(headers: Headers) -> frozenset[str]:
    """The values of Privacy; nothing where the user wants none."""
    if "Privacy" not in headers:
        return NOTHING
    values = frozenset(value for line in headers.get_all("Privacy") for value in _separators(line.lower()) if value)
    return NOTHING if "none" in values else values


def unserved(headers: Headers) -> frozenset[str]:
    """What is asked of a privacy service that we do not know, where the call is not to go on without (`critical`)."""
    wished = wishes(headers)
    return wished - _KNOWN if "critical" in wished else NOTHING


def left(value: str) -> str:
    """What of a Privacy value is left to do for others."""
    kept = [wish for wish in _separators(value.strip()) if wish and wish.lower() not in _SERVED]
    return "" if [wish.lower() for wish in kept] == ["critical"] else ";".join(kept)
