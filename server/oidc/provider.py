"""
An identity provider and its keys, which its discovery document leads to.

They are read when they are first needed, again each hour, and for a key id that is not known. They are kept while the
provider is away. Redirects are not followed, and proxies are not used.
"""

import asyncio
import logging
import ssl
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
import jwt
import msgspec
from msgspec import Struct

from server.oidc.configuration import ProviderSettings, is_safe

FETCHES = 10
"""Maximum number of requests for the document and the keys of a provider in a window."""

WINDOW = 60.0
"""Length of that window, in seconds."""

REFRESH = 3600.0
"""Time after which the keys are read again, in seconds."""

TIMEOUT = 5.0
"""Maximum time of a request to a provider, in seconds."""

MAX_BODY = 256 * 1024
"""Maximum size of an answer of a provider, in bytes."""

MAX_KEYS = 100
"""Maximum number of keys of a provider."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""The algorithms of tokens that are accepted: all have a public key that signs nothing."""

DISCOVERY = "/.well-known/openid-configuration"

logger = logging.getLogger("stageline")

Answer = TypeVar("Answer", bound=Struct)


class ProviderUnusable(Exception):
    """The provider can't be reached, or answers something else than it should; the message says what."""


class Document(Struct, frozen=True):
    """The discovery document of a provider (OpenID Connect Discovery 1.0, 3), as far as it is used."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool | None = None


class _KeySet(Struct, frozen=True):
    keys: list[dict[str, Any]]


class Key(Struct, frozen=True):
    """A public key, and the algorithms that it may be used with."""

    public: Any
    algorithms: tuple[str, ...]


class Provider:
    """An identity provider, verified by *tls*. *edition* grows with each change of its keys."""

    def __init__(self, settings: ProviderSettings, tls: ssl.SSLContext) -> None:
        self.settings = settings
        self.edition = 0
        self._tls = tls
        self._keys: Mapping[str, Key] = {}
        self._document: Document | None = None
        self._read_at = 0.0
        self._fetches: deque[float] = deque(maxlen=FETCHES)
        self._reading = asyncio.Lock()
        self._refresh: asyncio.Task[None] | None = None

    @property
    def key_count(self) -> int:
        """The number of usable keys that are known."""
        return len(self._keys)

    async def read_keys(self) -> None:
        """Read the keys, if there were not too many reads; raises `ProviderUnusable`."""
        try:
            await self._read(self._read_at)
        except TooManyFetches:
            if not self._keys:
                raise

    @property
    def document(self) -> Document | None:
        """The discovery document, if it is known. An old one is read again in the background."""
        self._refresh_if_old()
        return self._document

    def key(self, id_: str | None) -> Key | None:
        """Return the key with that id, or the only one, if it is known. Old keys are read again in the background."""
        self._refresh_if_old()
        if id_ is not None:
            return self._keys.get(id_)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def _refresh_if_old(self) -> None:
        is_old = self._keys and time.monotonic() - self._read_at > REFRESH
        if is_old and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self._read_again())

    async def _read_again(self) -> None:
        try:
            await self._read(self._read_at)
        except ProviderUnusable as fault:
            logger.warning("%(fault)s The keys that are known are kept", {"fault": fault})

    async def _read(self, before: float) -> None:
        """Read the keys, unless that was done since *before*."""
        async with self._reading:
            if self._read_at != before:
                return
            document = await self._fetch_document()
            keys = await self._fetch_keys(document)
            if keys != self._keys:
                self.edition += 1
            self._document, self._keys, self._read_at = document, keys, time.monotonic()

    async def _fetch_document(self) -> Document:
        """Read the discovery document; raises `ProviderUnusable`."""
        issuer = self.settings.issuer
        document = await self._get(issuer.rstrip("/") + DISCOVERY, Document, "discovery document")
        if document.issuer != issuer:
            raise self.unusable(f"its discovery document is of the issuer {document.issuer!r}; use that as issuer")
        if not is_safe(document.jwks_uri):
            raise self.unusable(f"its discovery document has the address {document.jwks_uri!r} without TLS")
        return document

    async def _fetch_keys(self, document: Document) -> Mapping[str, Key]:
        """Read the usable keys by their ids; raises `ProviderUnusable`."""
        found = await self._get(document.jwks_uri, _KeySet, "key set")
        keys: dict[str, Key] = {}
        for each in found.keys[:MAX_KEYS]:
            key = _key_of(each)
            if key is not None:
                keys[str(each.get("kid", ""))] = key
        if not keys:
            raise self.unusable(f"its key set {document.jwks_uri} has no public key for {', '.join(ALGORITHMS)}")
        return keys

    async def _get(self, url: str, type_: type[Answer], title: str) -> Answer:
        now = time.monotonic()
        if len(self._fetches) == FETCHES and now - self._fetches[0] < WINDOW:
            raise TooManyFetches(f"{self.settings.title} was asked {FETCHES} times within {WINDOW:g} s: retry later.")
        self._fetches.append(now)
        status, body = await self.send("GET", url)
        if status != 200:
            raise self.unusable(f"it answered {status} for its {title} {url}")
        try:
            return msgspec.json.decode(body, type=type_)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self.unusable(f"its {title} {url} is invalid: {error}") from error

    async def send(
        self, method: str, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer; raises `ProviderUnusable`."""
        body = b""
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=TIMEOUT) as client,
                client.stream(method, url, data=form, headers=headers) as answer,
            ):
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MAX_BODY:
                        raise self.unusable(f"the answer of {url} has more than {MAX_BODY:,} bytes")
                return answer.status_code, body
        except TimeoutError:
            raise self.unusable(f"{url} did not answer within {TIMEOUT:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self.unusable(f"{url} can't be reached: {str(error) or type(error).__name__}") from error

    def unusable(self, why: str) -> ProviderUnusable:
        """Return the fault that *why* describes."""
        return ProviderUnusable(f"The identity provider {self.settings.title} can't be used: {why}.")


class TooManyFetches(ProviderUnusable):
    """The provider was asked too often of late."""


def _key_of(each: dict[str, Any]) -> Key | None:
    """Return the key in a JSON Web Key; None if it signs nothing that is accepted."""
    if each.get("use", "sig") != "sig" or each.get("kty") not in ("RSA", "EC", "OKP") or "d" in each:
        return None
    try:
        public = jwt.PyJWK(each)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    stated = each.get("alg")
    family = {"RSA": ALGORITHMS[:6]}.get(each["kty"], (public.algorithm_name,))
    algorithms = tuple(name for name in ALGORITHMS if name == stated or (stated is None and name in family))
    return Key(public.key, algorithms) if algorithms else None
