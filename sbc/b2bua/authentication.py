"""Users of our own registrar show that they know their passwords (RFC 3261 section 22, RFC 8760).

Who is challenged: whoever registers, and whoever asks for anything else and is no configured peer; where strangers may
call users, not those who call one that is there. So nobody learns who has an account here who has none, and nothing is
kept of those who fail but how often they did (`sbc.b2bua.attempts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from sbc.b2bua import hooks, locating, network
from sbc.b2bua.context import Context
from sbc.sip import (
    Challenge,
    Credentials,
    Hop,
    NameAddress,
    Request,
    SipError,
    canonical_host,
    known_algorithm,
    parse_credentials,
    parse_name_address,
    parse_uri,
    proves,
)

_POLICY = "registrar"
_NAMES = ("Authorization", "Proxy-Authorization")
_NOBODY = 64 * "0"
"""What a user who does not exist is compared with, so that it takes as long."""
NO_CREDENTIALS = "no credentials"
"""Why somebody is challenged who has done nothing wrong."""
_WRONG = "wrong user or password"
_TOO_MANY = "Too Many Wrong Passwords"
_GROWTH = 1.5
"""How much longer than a request over UDP its challenge may be, unless it comes over a flow of somebody who has proven
who that is: the source may be forged."""
_REPEATED = ("Via", "From", "To", "Call-ID", "CSeq")
_AROUND = 80
"""Octets of a challenge beside what it repeats and the challenges themselves: status line, tag, Content-Length."""


def take(context: Context, request: Request) -> tuple[Credentials, ...]:
    """The credentials for realms of ours, out of `request`: whoever it goes to next has no use for them but to guess
    the password. Malformed ones, which may be for us, go no further either."""
    access = context.settings.access
    headers = request.headers
    if access is None or access.registrar or not ("Authorization" in headers or "Proxy-Authorization" in headers):
        return ()
    taken = []
    for name in _NAMES:
        values = headers.get_all(name)
        kept = []
        for value in values:
            try:
                credentials = parse_credentials(value)
            except SipError:
                continue
            if credentials is not None and credentials.realm.lower() in access.domains:
                taken.append(credentials)
            else:
                kept.append(value)
        if len(kept) != len(values):
            headers.remove(name)
            for value in kept:
                headers.add(name, value)
    return tuple(taken)


@dataclass(slots=True)
class Proof:
    """What credentials came to."""

    account: network.Account | None = None
    stale: bool = False
    """The user knows the password, but the nonce is old, or was used."""
    fault: str = NO_CREDENTIALS
    pause: float = 0.0
    """Seconds for which nothing is looked at, after too many wrong passwords; 0: there is no pause."""


def prove(context: Context, access: network.Access, request: Request, hop: Hop, given: Sequence[Credentials]) -> Proof:
    """Whether one of `given` shows that the request, which came over `hop`, is from a user of ours."""
    proof = Proof()
    for credentials in given:
        algorithm = known_algorithm(credentials.algorithm)
        if algorithm not in access.algorithms or algorithm is None:
            proof.fault = "an algorithm that was not offered"
            continue
        if not credentials.qop and not access.without_qop:
            proof.fault = "credentials without qop"
            continue
        aor = f"{credentials.username}@{credentials.realm}"
        source = hop.remote.host
        proof.pause = 0.0 if _is_here(context, hop, aor) else context.attempts.pause(source, aor, context.now)
        if proof.pause:
            proof.fault = f"too many wrong passwords from {source}: nothing is looked at for {ceil(proof.pause)} s"
            return proof
        account = context.users.get(aor)
        secret = account.secrets[algorithm] if account is not None else _NOBODY
        if not proves(credentials, secret, request.method) or account is None:
            context.attempts.failed(source, aor, context.now)
            proof.fault = _WRONG
        elif not _names_target(credentials, request):
            proof.fault = "credentials for another Request-URI"
        elif not context.nonces.use(credentials.nonce, credentials.realm, credentials.nonce_count, context.now):
            proof.stale, proof.fault = True, "an old nonce, or one used before"
        else:
            context.attempts.succeeded(source, aor)
            return Proof(account)
    return proof


def _is_here(context: Context, hop: Hop, aor: str) -> bool:
    """Whether the user is registered over this very flow. Others cannot see what is sent there, but might pretend to be
    there, to have the user kept out."""
    return any(binding.aor == aor for binding in context.registrations.over(hop))


def _names_target(credentials: Credentials, request: Request) -> bool:
    """RFC 7616 section 3.4.6: the server must see that `uri` is what is asked for. Ports and parameters are left out:
    phones write them in one place and not in the other."""
    if credentials.uri == request.uri:
        return True
    try:
        meant, asked = parse_uri(credentials.uri), request.request_uri
    except SipError:
        return False
    return (meant.scheme, meant.user, canonical_host(meant.host)) == (
        asked.scheme,
        asked.user,
        canonical_host(asked.host),
    )


def refusal(
    context: Context, access: network.Access, request: Request, hop: Hop, realm: str, proof: Proof
) -> hooks.Reject:
    """For who has not proven who it is: 401 from a registrar, 407 for everything else, with a challenge for each
    algorithm, the strongest first; after too many wrong passwords 403."""
    if proof.pause:
        return hooks.Reject(_POLICY, 403, proof.fault, _TOO_MANY, (("Retry-After", str(ceil(proof.pause))),))
    registers = request.method == "REGISTER"
    name = "WWW-Authenticate" if registers else "Proxy-Authenticate"
    nonce = context.nonces.make(realm, context.tokens.tag(), context.now)
    challenges = [(name, str(Challenge(realm, nonce, algorithm, stale=proof.stale))) for algorithm in access.algorithms]
    if hop.transport == "UDP" and len(challenges) > 1 and not context.registrations.over(hop):
        challenges = _affordable(challenges, request)
    return hooks.Reject(_POLICY, 401 if registers else 407, proof.fault, headers=tuple(challenges))


def _affordable(challenges: list[tuple[str, str]], request: Request) -> list[tuple[str, str]]:
    """As many of `challenges`, from the last one on, as keep the response within bounds; the last one in any case,
    which is the one that most phones know."""
    headers = request.headers
    room = _GROWTH * len(request.raw) - _AROUND
    room -= sum(len(name) + len(value) + 4 for name in _REPEATED for value in headers.get_all(name))
    first = len(challenges)
    while first and (room := room - len(challenges[first - 1][0]) - len(challenges[first - 1][1]) - 4) >= 0:
        first -= 1
    return challenges[min(first, len(challenges) - 1) :]


def is_forgotten(refused: hooks.Reject) -> bool:
    """Whether a call that is refused so leaves no record: it begins with the INVITE that proves who sent it."""
    return refused.status == 407 or refused.phrase == _TOO_MANY


def is_guess(refused: hooks.Reject) -> bool:
    """Whether what is refused so may be a try to find a password."""
    return refused.reason == _WRONG or refused.phrase == _TOO_MANY


def caller_of(
    context: Context, view: hooks.CallView, given: Sequence[Credentials]
) -> network.Account | hooks.Reject | None:
    """Who sends a request that opens something: a user of ours who has shown it, a peer or a stranger who may (None);
    or why it is not served."""
    access = context.settings.access
    if access is None or access.registrar or view.peer is not None:
        return None
    request = view.request
    identities = list(_identities(context, request))
    claimed = [aor for aor in identities if aor]
    if access.strangers and not claimed and not given and _is_there(context, view):
        return None
    realm = claimed[0].rpartition("@")[2] if claimed else access.domains[0]
    proof = prove(context, access, request, view.hop, given)
    account = proof.account
    if account is None:
        return refusal(context, access, request, view.hop, realm, proof)
    aor = f"{account.name}@{account.domain}"
    if any(each != aor for each in identities):
        return hooks.Reject(_POLICY, 403, f"{aor} says to be somebody else", "Not Your Identity")
    return account


def _is_there(context: Context, view: hooks.CallView) -> bool:
    """Whether it is for a user of ours whom it can reach now: of others strangers hear the same as of nobody."""
    found = locating.locate(context, view.request, view.zone.name)
    return isinstance(found, hooks.Targets) or (found is not None and found.status == 302)


def _identities(context: Context, request: Request) -> Iterator[str]:
    """The addresses of record that the sender of `request` says to have; "" for one that is none of ours. Whoever wants
    to be anonymous (RFC 3323 section 4.1) says nothing."""
    addresses: list[NameAddress] = [request.from_]
    for value in request.headers.values("P-Preferred-Identity"):
        try:
            addresses.append(parse_name_address(value))
        except SipError:
            yield ""
    for address in addresses:
        try:
            uri = address.uri
        except SipError:
            yield ""
            continue
        if uri.host != "anonymous.invalid":
            yield locating.address_of_record(context, uri) or ""
