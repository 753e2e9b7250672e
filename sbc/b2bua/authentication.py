"""Users of our own registrar show that they know their passwords (RFC 3261 section 22, RFC 8760).

Who is challenged: whoever registers, whoever says to be one of our users, and strangers who want more than to reach
one of them. Configured peers are believed. Nothing is kept of those who fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sbc.b2bua import hooks, locating, network
from sbc.b2bua.context import Context
from sbc.sip import (
    Challenge,
    Credentials,
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


def prove(context: Context, access: network.Access, request: Request, given: Sequence[Credentials]) -> Proof:
    """Whether one of `given` shows that the request is from a user of ours."""
    proof = Proof()
    for credentials in given:
        algorithm = known_algorithm(credentials.algorithm)
        if algorithm not in access.algorithms or algorithm is None:
            proof.fault = "an algorithm that was not offered"
            continue
        if not credentials.qop and not access.without_qop:
            proof.fault = "credentials without qop"
            continue
        account = context.users.get(f"{credentials.username}@{credentials.realm}")
        secret = account.secrets[algorithm] if account is not None else _NOBODY
        if not proves(credentials, secret, request.method) or account is None:
            proof.fault = "wrong user or password"
        elif not _names_target(credentials, request):
            proof.fault = "credentials for another Request-URI"
        elif not context.nonces.use(credentials.nonce, credentials.realm, credentials.nonce_count, context.now):
            proof.stale, proof.fault = True, "an old nonce, or one used before"
        else:
            return Proof(account)
    return proof


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


def challenge(context: Context, access: network.Access, request: Request, realm: str, proof: Proof) -> hooks.Reject:
    """401 for a registrar, 407 for everything else; one challenge for each algorithm, the strongest first."""
    registers = request.method == "REGISTER"
    name = "WWW-Authenticate" if registers else "Proxy-Authenticate"
    nonce = context.nonces.make(realm, context.tokens.tag(), context.now)
    headers = tuple(
        (name, str(Challenge(realm, nonce, algorithm, stale=proof.stale))) for algorithm in access.algorithms
    )
    return hooks.Reject(_POLICY, 401 if registers else 407, proof.fault, headers=headers)


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
    if not claimed and not given and _is_user(context.users, locating.address_of_record(context, request.request_uri)):
        return None
    realm = claimed[0].rpartition("@")[2] if claimed else access.domains[0]
    proof = prove(context, access, request, given)
    account = proof.account
    if account is None:
        return challenge(context, access, request, realm, proof)
    aor = f"{account.name}@{account.domain}"
    if any(each != aor for each in identities):
        return hooks.Reject(_POLICY, 403, f"{aor} says to be somebody else", "Not Your Identity")
    return account


def _is_user(users: network.Users, aor: str | None) -> bool:
    return aor is not None and aor in users


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
