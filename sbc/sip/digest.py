"""Digest authentication (RFC 7616, RFC 8760, RFC 3261 section 22): challenges, credentials and what proves them.

Pure functions. What a peer sent raises RemoteProtocolError(400) where it is malformed, and nothing else; what is not
of the scheme Digest is None, since other schemes may stand beside it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import NamedTuple

from sbc.sip.errors import LocalProtocolError, RemoteProtocolError
from sbc.sip.grammar import QUOTED, TOKEN, quote, unquote

_HASHES: dict[str, Callable[[bytes], str]] = {
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
}
ALGORITHMS = tuple(_HASHES)
"""Those that are known, the strongest first: the order in which RFC 8760 section 2.4 wants them offered."""

_MOST_PARAMETERS = 32
_LONGEST = 1024
"""Characters of one parameter's value."""

_scheme = re.compile(rf"({TOKEN})[ \t]+").match
# RFC 3261 section 25.1: auth-param = token EQUAL (token / quoted-string); base64 in values without quotes is met, too
_parameter = re.compile(rf"[ \t]*({TOKEN})[ \t]*=[ \t]*({QUOTED}|[^\s,\"]+)[ \t]*(?:,|\Z)").match
_is_count = re.compile(r"[0-9A-Fa-f]{8}").fullmatch
_is_response = re.compile(r"[0-9A-Fa-f]{32,64}").fullmatch
_qop = re.compile(r'(?<![^\s,])(qop[ \t]*=[ \t]*)("[^"\\]*"|[A-Za-z-]+)|"(?:[^"\\]|\\.)*"?', re.IGNORECASE | re.DOTALL)


class Challenge(NamedTuple):
    """One WWW-Authenticate or Proxy-Authenticate value. `algorithm` is as written, "MD5" where none is; `qop` is empty
    for a server of RFC 2069's age."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ("auth",)
    opaque: str | None = None
    stale: bool = False

    def __str__(self) -> str:
        parts = [f"realm={quote(self.realm)}", f"nonce={quote(self.nonce)}"]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.stale:
            parts.append("stale=true")
        parts.append(f"algorithm={self.algorithm}")
        if self.qop:
            parts.append(f"qop={quote(','.join(self.qop))}")
        return f"Digest {', '.join(parts)}"


class Credentials(NamedTuple):
    """One Authorization or Proxy-Authorization value. `qop`, `cnonce` and `nonce_count` are "", "" and 0 where a phone
    of RFC 2069's age sent none."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str
    qop: str
    cnonce: str
    nonce_count: int
    opaque: str | None

    def __str__(self) -> str:
        parts = [
            f"username={quote(self.username)}",
            f"realm={quote(self.realm)}",
            f"nonce={quote(self.nonce)}",
            f"uri={quote(self.uri)}",
            f"response={quote(self.response)}",
            f"algorithm={self.algorithm}",
        ]
        if self.qop:
            parts += [f"qop={self.qop}", f"cnonce={quote(self.cnonce)}", f"nc={self.nonce_count:08x}"]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        return f"Digest {', '.join(parts)}"


def known_algorithm(name: str) -> str | None:
    """The name in `ALGORITHMS` that `name` means, whatever its case; None if there is none (the -sess forms, too)."""
    upper = name.upper()
    return upper if upper in _HASHES else None


def parse_challenge(value: str) -> Challenge | None:
    """RFC 7616 section 3.3."""
    found = _parameters(value)
    if found is None:
        return None
    if "realm" not in found or "nonce" not in found:
        raise RemoteProtocolError(400, "challenge without realm or nonce")
    qop = tuple(option.strip().lower() for option in found.get("qop", "").split(",") if option.strip())
    stale = found.get("stale", "").lower() == "true"
    return Challenge(found["realm"], found["nonce"], found.get("algorithm", "MD5"), qop, found.get("opaque"), stale)


def parse_credentials(value: str) -> Credentials | None:
    """RFC 7616 section 3.4."""
    found = _parameters(value)
    if found is None:
        return None
    missing = [name for name in ("username", "realm", "nonce", "uri", "response") if name not in found]
    if missing:
        raise RemoteProtocolError(400, f"credentials without {missing[0]}")
    if not _is_response(found["response"]):
        raise RemoteProtocolError(400, "malformed response in credentials")
    qop = found.get("qop", "").lower()
    count = found.get("nc", "") if qop else "00000000"
    if not _is_count(count) or (qop and "cnonce" not in found):
        raise RemoteProtocolError(400, "credentials with qop but without nc or cnonce")
    return Credentials(
        found["username"],
        found["realm"],
        found["nonce"],
        found["uri"],
        found["response"].lower(),
        found.get("algorithm", "MD5"),
        qop,
        found.get("cnonce", "") if qop else "",
        int(count, 16),
        found.get("opaque"),
    )


def _parameters(value: str) -> dict[str, str] | None:
    """The auth-params, names in lower case, values without quotes; None for another scheme than Digest."""
    scheme = _scheme(value)
    if scheme is None or scheme[1].lower() != "digest":
        return None
    found: dict[str, str] = {}
    position, end = scheme.end(), len(value.rstrip(" \t,"))
    while position < end:
        match = _parameter(value, position)
        if match is None:
            raise RemoteProtocolError(400, "malformed digest parameters")
        name = match[1].lower()
        if name in found or len(found) >= _MOST_PARAMETERS or len(match[2]) > _LONGEST:
            raise RemoteProtocolError(400, "digest parameters repeated, too many or too long")
        found[name] = unquote(match[2])
        position = match.end()
    return found


def ha1(algorithm: str, username: str, realm: str, password: str) -> str:
    """What a server keeps in place of the password: H(username ":" realm ":" password). KeyError for an algorithm that
    is not in `ALGORITHMS`."""
    return _hash(algorithm, f"{username}:{realm}:{password}")


def answer_challenge(
    challenge: Challenge, username: str, secret: str, method: str, uri: str, cnonce: str, count: int
) -> str:
    """The value of Authorization that answers `challenge`; `secret` is the user's `ha1` for its algorithm and realm,
    `count` how often its nonce has been used, this one included.

    Raises LocalProtocolError for a challenge that cannot be answered: of an unknown algorithm, or with auth-int alone.
    """
    algorithm = known_algorithm(challenge.algorithm)
    qop = "auth" if "auth" in challenge.qop else ""
    if algorithm is None or (challenge.qop and not qop):
        raise LocalProtocolError("challenge of an unknown algorithm or quality of protection")
    given = Credentials(
        username, challenge.realm, challenge.nonce, uri, "", challenge.algorithm, qop, cnonce, count, challenge.opaque
    )
    return str(given._replace(response=_expected(given, algorithm, secret, method)))


def proves(credentials: Credentials, secret: str, method: str) -> bool:
    """Whether who made `credentials` knows what `secret`, the `ha1` for their algorithm, was made of. Nothing is said
    of the nonce. Takes the same time whatever is wrong in the response."""
    algorithm = known_algorithm(credentials.algorithm)
    if algorithm is None or credentials.qop not in ("", "auth"):
        return False
    return hmac.compare_digest(_expected(credentials, algorithm, secret, method), credentials.response)


def _expected(credentials: Credentials, algorithm: str, secret: str, method: str) -> str:
    """RFC 7616 section 3.4.1, and for no qop RFC 2069."""
    digest = _HASHES[algorithm]
    request = digest(_octets(f"{method}:{credentials.uri}"))
    if not credentials.qop:
        return digest(_octets(f"{secret}:{credentials.nonce}:{request}"))
    use = f"{credentials.nonce}:{credentials.nonce_count:08x}:{credentials.cnonce}:{credentials.qop}"
    return digest(_octets(f"{secret}:{use}:{request}"))


def _hash(algorithm: str, text: str) -> str:
    return _HASHES[algorithm](_octets(text))


def _octets(text: str) -> bytes:
    """As it stood on the wire."""
    return text.encode("utf-8", "surrogateescape")


def without_auth_int(value: str) -> str:
    """A challenge as it crosses where bodies do not stay as they are: auth-int is not offered, the rest is untouched.

    Where auth-int is all that is offered it stays: it holds for a request without a body, and without it no request
    could be answered at all.
    """

    def cut(match: re.Match[str]) -> str:
        if match[1] is None:  # a quoted string of another parameter
            return match[0]
        options = [option.strip() for option in unquote(match[2]).split(",")]
        kept = [option for option in options if option.lower() != "auth-int"]
        if not kept or len(kept) == len(options):
            return match[0]
        text = ",".join(kept)
        return match[1] + (quote(text) if match[2][0] == '"' else text)

    return _qop.sub(cut, value)


def wants_auth_int(value: str) -> bool:
    """Whether a challenge offers auth-int and nothing else: who has a body that changes on the way cannot answer it."""
    offers = [unquote(match[2]) for match in _qop.finditer(value) if match[1] is not None]
    return bool(offers) and all(option.strip().lower() == "auth-int" for option in ",".join(offers).split(","))
