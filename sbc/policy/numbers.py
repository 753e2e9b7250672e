"""What is dialled, and the patterns that it is matched with."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from urllib.parse import unquote

from sbc.sip import Uri


def dialled(uri: Uri) -> str:
    """The number or name that patterns are matched with: escapes undone, so that "%30" is no way around a rule about 0
    (RFC 3261 section 19.1.4); without the parameters of a number, and without its visual separators in a tel URI (RFC
    3966 section 5). Of a URN, all of it."""
    if uri.scheme == "urn":
        return f"urn:{uri.opaque.lower()}"
    user = unquote((uri.user or "").partition(";")[0])
    return user.translate(_SEPARATORS) if uri.scheme == "tel" else user


_SEPARATORS = str.maketrans("", "", "-.()")


def pattern(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a text matches one of `patterns`: with * and ?, or regular expressions between slashes. No patterns match
    everything.

    Raises re.error for a regular expression that is none.
    """
    if not patterns:
        return lambda text: True
    matches = [_matcher(one) for one in patterns]
    return lambda text: any(match(text) for match in matches)


def _matcher(one: str) -> Callable[[str], object]:
    if len(one) > 1 and one[0] == one[-1] == "/":
        return re.compile(one[1:-1], re.IGNORECASE).search
    return re.compile(fnmatch.translate(one), re.IGNORECASE).match
