"""OpenID Connect to the providers of organisations: found, asked, and their tokens checked.

Whoever runs a provider chose its address and writes what it answers: every call goes through the
guard, has a limit on its time and its answer, and nothing that it says is believed unless it is
signed by its keys for this very sign-in.
"""

import json
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests
from authlib.integrations.requests_client.oauth2_session import OAuth2ClientAuth
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, JWKRegistry, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from waylight.channels.guard import Guard, reason
from waylight.config import Settings
from waylight.domain.endpoints import problem_with
from waylight.domain.errors import Unavailable
from waylight.domain.identity_providers import (
    ALWAYS_ASKED,
    DOMAIN_OWNER,
    LONGEST_SUBJECT,
    PROOFS,
    Asked,
    RelyingParty,
    Unfit,
)
from waylight.log import get_logger

log = get_logger(__name__)

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
)
"""Signatures by a key that only the provider has: never `none`, never HMAC under our own secret."""

TOTAL_S = 5.0
"""Seconds of one call."""

DOCUMENT_BYTES = 131_072
"""Of one answer: the largest sets of keys are a tenth of it."""

KEPT_S = 600.0
"""How long a provider's documents are believed without asking again."""

SEARCHED_EVERY_S = 30.0
"""How often a key that is not among those known is looked for: providers change theirs."""

RESTS_S = 5.0
"""How long a provider that did not answer is not asked again: the next hear 503 at once."""

MOST = 64
"""Providers whose documents are kept, in one process."""

AT_ONCE = 8
"""Calls to one provider at the same time, in one process: a slow one holds up nobody else."""

OF_ID_TOKEN = frozenset({"acr", "amr", "auth_time", DOMAIN_OWNER})
"""What is not taken from userinfo: how somebody signed in, and what Entra writes beside an address.
In userinfo stands what people wrote into their profile, where a provider lets them."""

LEEWAY_S = 60
"""How far a provider's clock may be off."""

MOST_KEYS = 50
"""Of one provider; others have a handful."""

RSA_BITS = range(2048, 8193)
"""Below, a key can be broken; above, it takes our processor's time to check one signature."""

LARGEST_EXPONENT = 2**32
"""The same: everybody uses 65,537, and a hostile provider one as long as its key."""


@dataclass(frozen=True)
class _Kept:
    at: float
    content: bytes
    """As it came: read, a hostile document takes twenty times the memory."""


class _Broken(Exception):
    """What a provider answered is no JSON object."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class _Registry(JWSRegistry):
    # Somebody in many groups has a long token.
    max_payload_length = 65_536


class _Client(OAuth2Client):  # type: ignore[misc] # Authlib publishes no types
    client_auth_class = OAuth2ClientAuth


class OpenIdProviders:
    """Every provider, through one guard. Threads may share it."""

    def __init__(
        self,
        guard: Guard,
        *,
        clock: Callable[[], float] = time.monotonic,
        searched_every_s: float = SEARCHED_EVERY_S,
    ) -> None:
        self._session = guard.session(answer_bytes=DOCUMENT_BYTES)
        self._ports, self._networks = guard.loopback_ports, guard.networks
        self._clock = clock
        self._searched_every_s = searched_every_s
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._resting: dict[str, float] = {}
        self._talking: Counter[str] = Counter()
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> "OpenIdProviders":
        """As the settings have it."""
        guard = Guard(
            loopback_ports=settings.allowed_loopback_ports,
            networks=settings.openid_networks,
            total_s=TOTAL_S,
            more_authorities=settings.openid_authorities,
        )
        return cls(guard)

    def authorization_url(
        self, party: RelyingParty, asked: Asked, *, scopes: Collection[str]
    ) -> str:
        """Where somebody's browser goes to sign in. Raises Unavailable."""
        with self._talk(party.issuer):
            found = self._metadata(party.issuer)
        more = {"prompt": "login", "max_age": "0"} if asked.fresh else {}
        url, _ = self._client(party, asked).create_authorization_url(
            self._endpoint(found, "authorization_endpoint", party.issuer),
            state=asked.state,
            code_verifier=asked.code_verifier,
            nonce=asked.nonce,
            scope=" ".join(dict.fromkeys((*ALWAYS_ASKED, *scopes))),
            **more,
        )
        return str(url)

    def claims(
        self,
        party: RelyingParty,
        asked: Asked,
        *,
        code: str,
        issuer: str | None,
        wanted: Collection[str],
        now: datetime,
    ) -> Mapping[str, Any]:
        """What the provider says of whoever brought this code. Raises Unfit, Unavailable.

        `issuer` is the `iss` that came with the code (RFC 9207): one that is not this provider's,
        or that is missing where it promised one, is of a code that another provider gave.
        """
        with self._talk(party.issuer):
            metadata = self._metadata(party.issuer)
            promised = metadata.get("authorization_response_iss_parameter_supported") is True
            if issuer is None and promised:
                raise Unfit("no_issuer")
            if issuer is not None and issuer != party.issuer:
                raise Unfit("other_issuer")
            token = self._token(party, asked, metadata, code)
            found = self._id_token(party, asked, metadata, token, now=now)
            if metadata.get("userinfo_endpoint") is None or set(wanted) <= found.keys():
                return found
            return _joined(found, self._userinfo(party, metadata, token, found["sub"]))

    def _token(
        self, party: RelyingParty, asked: Asked, metadata: Mapping[str, Any], code: str
    ) -> Mapping[str, Any]:
        client = self._client(party, asked, _auth_method(party, metadata))
        url = self._endpoint(metadata, "token_endpoint", party.issuer)
        try:
            token = client.fetch_token(
                url,
                grant_type="authorization_code",
                code=code,
                code_verifier=asked.code_verifier,
                redirect_uri=asked.redirect_uri,
            )
        except OAuth2Error as error:
            if error.error in ("invalid_client", "unauthorized_client"):
                raise _failed(party.issuer, "client_refused") from None
            raise Unfit("code_refused") from None
        except requests.HTTPError as error:
            status = error.response.status_code
            if 400 <= status < 500 and status != 429:
                raise Unfit("code_refused") from None
            raise _failed(party.issuer, f"http_{status}") from None
        except requests.RequestException as error:
            raise _failed(party.issuer, reason(error)) from None
        except Exception:  # noqa: BLE001 - whatever a library stumbles over
            raise _failed(party.issuer, "token_unreadable") from None
        if not isinstance(token.get("id_token"), str) or not token["id_token"].isascii():
            raise Unfit("no_id_token")
        return dict(token)

    def _id_token(
        self,
        party: RelyingParty,
        asked: Asked,
        metadata: Mapping[str, Any],
        token: Mapping[str, Any],
        *,
        now: datetime,
    ) -> dict[str, Any]:
        """The claims of a token that is the provider's, for us, of this sign-in and not over."""
        try:
            try:
                read = _decoded(token["id_token"], self._keys(party.issuer, metadata))
            except InvalidKeyIdError:
                read = _decoded(token["id_token"], self._keys(party.issuer, metadata, anew=True))
            found = CodeIDToken(
                read.claims,
                read.header,
                {
                    "iss": {"essential": True, "value": party.issuer},
                    "aud": {"essential": True, "value": party.client_id},
                    "nonce": {"essential": True, "value": asked.nonce},
                },
                {
                    "nonce": asked.nonce,
                    "client_id": party.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            found.validate(now=int(now.timestamp()), leeway=LEEWAY_S)
        except (Unavailable, Unfit):
            raise
        except JoseError as error:
            raise Unfit(_fault(error)) from None
        except Exception as error:
            # Whatever a provider writes that a library stumbles over signs nobody in.
            raise Unfit("id_token_unreadable") from error
        subject = found["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= LONGEST_SUBJECT:
            raise Unfit("no_subject")
        return dict(found)

    def _userinfo(
        self,
        party: RelyingParty,
        metadata: Mapping[str, Any],
        token: Mapping[str, Any],
        subject: str,
    ) -> Mapping[str, Any]:
        url = self._endpoint(metadata, "userinfo_endpoint", party.issuer)
        access = token.get("access_token")
        if not isinstance(access, str) or not access.isascii() or not access.isprintable():
            raise Unfit("no_access_token")
        try:
            said = _object(self._get(url, {"Authorization": f"Bearer {access}"}))
        except _Broken as broken:
            raise _failed(party.issuer, broken.why) from None
        if said.get("sub") != subject:
            raise Unfit("userinfo_of_another")
        return said

    def _metadata(self, issuer: str) -> Mapping[str, Any]:
        url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = self._document(issuer, "metadata", url)
        if found.get("issuer") != issuer:
            raise self._down(issuer, "other_issuer")
        return found

    def _keys(self, issuer: str, metadata: Mapping[str, Any], *, anew: bool = False) -> KeySet:
        url = self._endpoint(metadata, "jwks_uri", issuer)
        document = self._document(issuer, "keys", url, anew=anew)
        # Each by itself: one that we cannot use must not take the others with it.
        keys = document.get("keys")
        return KeySet(list(_usable(keys[:MOST_KEYS] if isinstance(keys, list) else [])))

    def _document(
        self, issuer: str, name: str, url: str, *, anew: bool = False
    ) -> Mapping[str, Any]:
        kept = self._kept.get((issuer, name))
        old = self._clock() - kept.at if kept else KEPT_S
        if kept is not None and old < (self._searched_every_s if anew else KEPT_S):
            return _object(kept.content)
        try:
            content = self._get(url, {})
            found = _object(content)
        except _Broken as broken:
            raise self._down(issuer, broken.why) from None
        with self._lock:
            self._kept[issuer, name] = _Kept(self._clock(), content)
            self._kept.move_to_end((issuer, name))
            while len(self._kept) > 2 * MOST:
                self._kept.popitem(last=False)
        return found

    def _get(self, url: str, headers: Mapping[str, str]) -> bytes:
        """What is found there, whole. Raises _Broken."""
        try:
            answer = self._session.get(url, headers={"Accept": "application/json", **headers})
        except requests.RequestException as error:
            raise _Broken(reason(error)) from None
        if answer.status_code != 200:
            raise _Broken(f"http_{answer.status_code}")
        if len(answer.content) >= DOCUMENT_BYTES:
            raise _Broken("too_large")
        return answer.content

    def _endpoint(self, metadata: Mapping[str, Any], name: str, issuer: str) -> str:
        url = metadata.get(name)
        if not isinstance(url, str) or problem_with(
            url, loopback_ports=self._ports, networks=self._networks
        ):
            raise self._down(issuer, f"no_{name}")
        return url

    def _client(self, party: RelyingParty, asked: Asked, auth: str | None = None) -> OAuth2Client:
        client_id, secret = party.client_id, party.client_secret
        if auth == "client_secret_basic":
            # Encoded before a colon joins them (RFC 6749, 2.3.1), which Authlib leaves to us.
            client_id, secret = quote(client_id, safe=""), quote(secret or "", safe="")
        return _Client(
            self._session,
            client_id=client_id,
            client_secret=secret,
            token_endpoint_auth_method=auth,
            redirect_uri=asked.redirect_uri,
            code_challenge_method="S256",
        )

    @contextmanager
    def _talk(self, issuer: str) -> Iterator[None]:
        """A place among those who talk to a provider. Raises Unavailable when there is none."""
        with self._lock:
            if self._resting.get(issuer, 0.0) > self._clock():
                raise _away()
            if self._talking[issuer] >= AT_ONCE:
                raise _away()
            self._talking[issuer] += 1
        try:
            yield
        finally:
            with self._lock:
                self._talking[issuer] -= 1
                if not self._talking[issuer]:
                    del self._talking[issuer]

    def _down(self, issuer: str, why: str) -> Unavailable:
        """The provider does not do its part. For a moment it is not asked again.

        For what nobody outside has a hand in: a code or a token that somebody brought, and that it
        stumbles over, must not shut the door to its other people.
        """
        with self._lock:
            now = self._clock()
            self._resting = {of: until for of, until in self._resting.items() if until > now}
            self._resting[issuer] = now + RESTS_S
            self._kept.pop((issuer, "metadata"), None)
        return _failed(issuer, why)


def _failed(issuer: str, why: str) -> Unavailable:
    log.warning("openid_provider_failed", issuer=issuer, reason=why)
    return _away()


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _Broken("no_json_object")
    return found


def _away() -> Unavailable:
    return Unavailable("Your provider does not answer as it should: try again.")


def _auth_method(party: RelyingParty, metadata: Mapping[str, Any]) -> str:
    """How we show our secret: as the provider says it takes it (RFC 8414, 2)."""
    if party.client_secret is None:
        return "none"
    said = metadata.get("token_endpoint_auth_methods_supported")
    methods = said if isinstance(said, list) else []
    if "client_secret_post" in methods and "client_secret_basic" not in methods:
        return "client_secret_post"
    return "client_secret_basic"


def _decoded(token: str, keys: KeySet) -> jwt.Token:
    registry = _Registry(algorithms=ALGORITHMS, strict_check_header=False)
    return jwt.decode(token, keys, algorithms=ALGORITHMS, registry=registry)


def _joined(signed: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the provider signed, and beside it what userinfo says of the person.

    That an address is verified is said of the address beside it, never of the one that the other
    document has.
    """
    said = {name: value for name, value in said.items() if name not in OF_ID_TOKEN}
    is_whole = "email" in signed and (
        not signed.keys().isdisjoint(PROOFS) or said.get("email") != signed["email"]
    )
    whose = signed if is_whole else said
    return {**said, **signed, **{name: whose.get(name) for name in ("email", *PROOFS)}}


def _fault(error: JoseError) -> str:
    """What is wrong with an ID token, as a code: of its claims the name, never the value."""
    claim = error.claim if isinstance(error, ClaimError) else ""
    return "_".join(part for part in ("id_token", str(error.error), claim) if part)


def _usable(keys: Collection[Any]) -> Iterator[RSAKey | ECKey | OKPKey]:
    """The public keys that sign; a secret one would be one that the provider shares with others."""
    for data in keys:
        if not isinstance(data, dict) or data.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if data.get("use", "sig") != "sig":
            continue
        if "d" in data:  # its secret half: anybody signs with it, and reading it takes seconds
            continue
        try:
            key = JWKRegistry.import_key(data)
            if isinstance(key, RSAKey) and not _is_affordable(key):
                continue
        except Exception:  # noqa: BLE001, S112 - one that is none is passed over
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            yield key


def _is_affordable(key: RSAKey) -> bool:
    numbers = key.public_key.public_numbers()
    return numbers.n.bit_length() in RSA_BITS and numbers.e < LARGEST_EXPONENT
