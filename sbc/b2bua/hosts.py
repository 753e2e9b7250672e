"""Hosts in text and in addresses: found, and replaced by ours where their zone is hidden (RFC 5853 section 3.1)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Container
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from sbc.sip import NameAddress, SipError, Uri


class Border(NamedTuple):
    """What decides how a message's contents cross."""

    hidden: bool
    """The zone that they come from is hidden."""
    trusted: bool
    """They come from our trust domain (RFC 3325)."""
    names: tuple[str, ...]
    """What names elements of the side that they come from: addresses and host names, in lower case."""
    our_host: str
    """Our advertised address on the side that they go to, as a URI writes it."""
    to_trusted: bool = True
    """They go into it."""
    wished: frozenset[str] = frozenset()
    """What the user wishes of a privacy service that we have to be (see `sbc.b2bua.privacy`)."""
    dialog: Callable[[str, str, str], tuple[str, str, str]] | None = None
    """How a dialog, given by Call-ID, local and remote tag, is named on the side that they go to."""
    there: str = ""
    """Address of who they go to; that is no secret to it."""
    ours: Container[str] = ()
    """What they say as host when they mean us."""


# Every look at a text takes time in proportion to its length: what a peer sends must not cost more.
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_MAYBE_IPV6 = re.compile(r"[0-9a-f:]{2,}")
_COLONS = (7, 8, 9)
"""In an IPv6 address that is written in full, with a word before it and a port behind it, either of which may be."""
_WORDS = re.compile(r"[\w.:@-]+")
_DOTTED_NAME = re.compile(r"[\w-](?:[\w.-]*[\w-])?\.[a-z][\w-]*\.?").fullmatch


def names_host(text: str, border: Border) -> bool:
    """Whether `text` holds a known name of the side that it comes from, or any IP address."""
    if "%" in text:
        text = f"{text} {unquote(text)}"
    lowered = text.lower()
    return any(name in lowered and _stands_in(name, lowered) for name in border.names) or holds_address(lowered)


def _stands_in(name: str, text: str) -> bool:
    """A name without dots may be part of an ordinary word; others are looked for anywhere."""
    if "." in name or ":" in name:
        return True
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def holds_address(text: str) -> bool:
    """Whether lower-case `text` holds what may be an IP address. It may see one where there is none."""
    if text.count(".") > 2 and _IPV4.search(text):
        return True
    if text.count(":") < 2:
        return False
    return any(
        ("::" in run and run != "::") or run.strip(":").count(":") in _COLONS for run in _MAYBE_IPV6.findall(text)
    )


def may_name_host(text: str, border: Border) -> bool:
    """Whether free text may name any host, known or not: a user@host or a dotted name will do."""
    if names_host(text, border) or "@" in text:
        return True
    return any("." in word and _DOTTED_NAME(word) for word in _WORDS.findall(text.lower()))


def display_name(address: NameAddress, border: Border) -> str:
    """The display name as it may be seen on the other side; "" where it names a host."""
    name = address.display_name
    return "" if border.hidden and name and ("@" in name or names_host(name, border)) else name


def masked_uri(address: NameAddress, border: Border) -> str:
    """The URI of somebody in a hidden zone: who it is stays, where it is becomes us."""
    nobody = f"sip:anonymous@{border.our_host}"
    try:
        uri = address.uri
    except SipError:
        return nobody
    if uri.scheme == "tel":
        return _masked_tel(uri, border)
    if uri.scheme == "urn" and uri.opaque.lower().startswith("service:") and not names_host(uri.opaque, border):
        return str(uri)  # RFC 5031: a service, wherever it is
    if uri.scheme not in ("sip", "sips"):
        return nobody
    # RFC 3323 4.1.1.3: it names nobody already
    host = uri.host if uri.host == "anonymous.invalid" else border.our_host
    user = masked_user(uri.user or "", border)
    kind = uri.params.get("user")
    kept = f";user={kind}" if kind in USER_KINDS else ""
    return f"{uri.scheme}:{user}@{host}{kept}" if user else f"{uri.scheme}:{host}"


def meaning(uri: Uri) -> str:
    """The parameters of a SIP URI that say who is meant, as they stand behind another host: `user`, and `gr` of a GRUU
    (RFC 5627) unless it may name a host."""
    kind = uri.params.get("user")
    kept = f";user={kind}" if kind in USER_KINDS else ""
    if "gr" not in uri.params or not uri.user:
        return kept
    value = uri.params["gr"]
    if value is None:
        return f"{kept};gr"
    text = unquote(value).lower()
    return kept if "." in text or "@" in text or holds_address(text) else f"{kept};gr={value}"


USER_KINDS = frozenset({"phone", "ip", "dialstring"})
"""Values of the URI parameter `user` (RFC 3261 section 19.1.1, RFC 4967). Of a URI whose host is replaced no other
parameter crosses: transport, maddr and the like speak of the hidden network."""

_dialled = re.compile(r"[+0-9A-Fa-f*#().-]+").fullmatch


def masked_user(user: str, border: Border) -> str:
    """The user part of a SIP URI without what may name a host: "alice%40example.com", and parameters of a telephone
    number other than numbers (phone-context or trunk-context with a domain: RFC 3966, 4904)."""
    name, *parameters = user.split(";")
    name = re.split("%40", name, maxsplit=1, flags=re.IGNORECASE)[0]
    if names_host(name, border):
        return ""
    return ";".join([name, *(one for one in parameters if _is_about_number(*one.partition("=")[::2]))])


def _is_about_number(name: str, value: str) -> bool:
    """A parameter of a telephone number whose value is a number, too; or the one that says that the number was looked
    up (RFC 4694)."""
    return name.lower() == "npdi" if not value else _dialled(value) is not None and not _IPV4.search(value)


def user_without_hosts(user: str) -> str:
    """`masked_user` where no names are known."""
    return masked_user(user, Border(True, False, (), ""))


def _masked_tel(uri: Uri, border: Border) -> str:
    if names_host(uri.user or "", border):
        return f"sip:anonymous@{border.our_host}"
    kept = {name: value for name, value in uri.params.items() if _is_about_number(name, value or "")}
    if "phone-context" in uri.params.keys() - kept.keys():
        # a number of a domain's own plan (RFC 3966 5.1.5): now of ours
        return f"sip:{uri.user}@{border.our_host};user=phone"
    return f"tel:{uri.user}" + "".join(f";{name}={value}" if value else f";{name}" for name, value in kept.items())


@lru_cache(4096)
def source_of(host: str) -> str:
    """Whose `host` (an IP address) is, as far as shares and limits go: one who has an IPv6 address has the 2**64 beside
    it as well."""
    if ":" not in host:
        return host
    return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False).network_address)
