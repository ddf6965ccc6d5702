"""
Signing in to the console with an identity provider: the authorization code flow of OpenID Connect, with PKCE.

A flow begins with a cookie: a signed statement with the flow's id, its end and the issuer. The state, the nonce and the
code verifier are MACs of that statement, each with a key of its own. So any node completes a flow, none stores one, and
a callback counts only in the browser that began it. The provider sees to it that a code is used once.

The server talks to the provider; neither its tokens nor the client's secret reach the browser.
"""

import logging
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import urlencode
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from application.refusal import RefusalReason, Refusals, RefusedAccess
from domain.claim import Claims
from endpoint.identity import Identity, Unauthenticated
from server.oidc import token as tokens
from server.oidc.client import client_secret, endpoints, exchange
from server.oidc.configuration import SIGN_IN, ProviderSettings, is_safe
from server.oidc.federation import Federation
from server.oidc.provider import Provider, ProviderUnusable
from server.statement import Signer, StatementInvalid, text_of
from server.throttle import TokenThrottle

FLOW = timedelta(minutes=10)
"""Maximum time between the beginning and the end of a sign-in."""

STATEMENT = struct.Struct(">16sQ")
"""The id of a flow, and when it ends, in seconds since 1970. The issuer follows."""

FAULT_LINES = 60.0
"""Time between two log lines about a provider that can't be used, in seconds."""

NO_FLOW = "Unknown sign-in: it was begun in another browser, or is over. Sign in again."
FLOW_OVER = f"The sign-in took longer than {FLOW // timedelta(minutes=1)} minutes. Sign in again."
NO_ISSUER = "Unknown identity provider. Load the page again."
ISSUER = "Wrong issuer of the sign-in: the answer came from another identity provider. Sign in again."
NONCE = "Wrong nonce of the identity token: it is of another sign-in. Sign in again."
PARTY = "Wrong party of the identity token: it was issued to another client."

logger = logging.getLogger("stageline")


class ProviderAway(Exception):
    """A provider can't be used at the moment; the message is for strangers, and the log says why."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(
            f"The identity provider {provider.settings.title} can't be used at the moment. Try again, or sign in with "
            "a token. The server's log says why."
        )


class NoRole(Exception):
    """Somebody has signed in to a provider, and no rule gives a role; the message names the claims."""


class Flow(Struct, frozen=True):
    """A sign-in that has begun: the *address* at the provider, the *state* that comes back, and the cookie."""

    address: str
    state: str
    cookie: str


class Callback(Struct, frozen=True):
    """The answer of a provider: the parameters with which the browser came back."""

    code: str
    state: str
    iss: str | None = None


class SignIns:
    """The sign-ins with identity providers: begun and completed. *public_url* is where browsers find the console."""

    def __init__(
        self,
        federation: Federation,
        throttle: TokenThrottle,
        refusals: Refusals,
        key: Ed25519PrivateKey,
        public_url: str,
    ) -> None:
        self.public_url = public_url
        self._redirect_uri = public_url + SIGN_IN
        self._throttle = throttle
        self._refusals = refusals
        self._federation = federation
        self._cookies, self._states, self._nonces, self._verifiers = (
            Signer(key, f"sign-in {use}") for use in ("cookie", "state", "nonce", "verifier")
        )
        self._providers = {
            each.settings.issuer: each for each in federation.providers.values() if each.settings.client_id
        }
        self._secrets = {issuer: client_secret(each.settings) for issuer, each in self._providers.items()}
        self._fault_lines: dict[str, float] = {}  # by issuer

    @property
    def providers(self) -> list[ProviderSettings]:
        """The providers with which people sign in."""
        return [each.settings for each in self._providers.values()]

    async def begin(self, issuer: str, client: str) -> Flow:
        """Return a new flow; raise `Unauthenticated` for an unknown issuer, and `ProviderAway`."""
        with self._refusals_logged(client):
            provider = self._providers.get(issuer)
            if provider is None:
                raise Unauthenticated(NO_ISSUER)
            with self._faults_logged(provider):
                if provider.document is None:
                    with self._throttle.attempt(client):  # it costs requests to the provider
                        await provider.read_keys()
                endpoint, _ = endpoints(provider)
        statement = STATEMENT.pack(uuid4().bytes, int((datetime.now(UTC) + FLOW).timestamp())) + issuer.encode()
        state = self._states.mac(statement)
        parameters = {
            "response_type": "code",
            "client_id": provider.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": provider.settings.scope,
            "state": state,
            "nonce": self._nonces.mac(statement),
            "code_challenge": text_of(sha256(self._verifiers.mac(statement).encode()).digest()),
            "code_challenge_method": "S256",
        }
        return Flow(_with_query(endpoint, parameters), state, self._cookies.sign(statement))

    async def complete(self, cookie: str, callback: Callback, client: str) -> Identity:
        """Return the identity of the person whom the provider sent back.

        Raises `Unauthenticated`, `NoRole` and `ProviderAway`.
        """
        with self._refusals_logged(client):
            statement, provider = self._flow(cookie, callback.state)
            with self._faults_logged(provider), self._throttle.attempt(client):  # it costs a request to the provider
                claims = await self._claims(provider, statement, callback)
        settings = provider.settings
        expires_at = datetime.now(UTC) + timedelta(minutes=settings.session_minutes)
        identity = await self._federation.identity(provider, claims, expires_at)
        if identity.assertion is not None and identity.assertion.seen:
            what = "sign-in: no rule gives a role"
            self._refusals.note(
                RefusedAccess(reason=RefusalReason.FORBIDDEN, client=client, what=what, actor=identity.actor)
            )
            raise NoRole(
                f"{settings.title} knows you, but you have no role here: no rule of the server gives one for your "
                f"claims ({identity.assertion.seen})."
            )
        return identity

    async def sign_out_address(self, identity: Identity) -> str | None:
        """Return where the browser ends its session at the provider; None if it does not."""
        provider = None if identity.assertion is None else self._providers.get(identity.assertion.issuer)
        if provider is None or not provider.settings.provider_sign_out:
            return None
        with suppress(ProviderAway), self._faults_logged(provider):
            if provider.document is None:
                await provider.read_keys()
        document = provider.document
        if document is None or document.end_session_endpoint is None or not is_safe(document.end_session_endpoint):
            return None
        parameters = {"client_id": provider.settings.client_id, "post_logout_redirect_uri": f"{self.public_url}/"}
        return _with_query(document.end_session_endpoint, parameters)

    def _flow(self, cookie: str, state: str) -> tuple[bytes, Provider]:
        """Return the statement of a flow that this browser began, and its provider; raise `Unauthenticated`."""
        try:
            statement = self._cookies.open(cookie, STATEMENT.size)
        except StatementInvalid as error:
            raise Unauthenticated(NO_FLOW) from error
        provider = self._providers.get(statement[STATEMENT.size :].decode())
        if provider is None or not self._states.is_mac(state, statement):
            raise Unauthenticated(NO_FLOW)
        _, ends = STATEMENT.unpack_from(statement)
        if ends <= datetime.now(UTC).timestamp():
            raise Unauthenticated(FLOW_OVER)
        return statement, provider

    async def _claims(self, provider: Provider, statement: bytes, callback: Callback) -> Claims:
        """Exchange the code for an ID token, and return its verified claims."""
        settings = provider.settings
        if provider.document is None:  # another node began the flow
            await provider.read_keys()
        document = provider.document
        needs_issuer = document is not None and document.authorization_response_iss_parameter_supported
        if callback.iss != settings.issuer and (needs_issuer or callback.iss is not None):
            raise Unauthenticated(ISSUER)
        token = await exchange(
            provider, self._secrets[settings.issuer], self._redirect_uri, callback.code, self._verifiers.mac(statement)
        )
        if provider.key(tokens.key_id(token)) is None:
            await provider.read_keys()
        claims = tokens.verified(provider, token, settings.client_id)
        if not self._nonces.is_mac(str(claims.get("nonce")), statement):
            raise Unauthenticated(NONCE)
        is_shared = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if is_shared else settings.client_id) != settings.client_id:
            raise Unauthenticated(PARTY)
        return claims

    @contextmanager
    def _refusals_logged(self, client: str) -> Iterator[None]:
        """Log and record a refusal of the block."""
        try:
            yield
        except Unauthenticated as refused:
            self._throttle.log_failure(client, refused)
            raise

    @contextmanager
    def _faults_logged(self, provider: Provider) -> Iterator[None]:
        """Raise `ProviderAway` if the block can't use the provider.

        Log why, at most once a minute for each provider: strangers cause these lines.
        """
        try:
            yield
        except ProviderUnusable as fault:
            issuer, now = provider.settings.issuer, time.monotonic()
            if now - self._fault_lines.get(issuer, -FAULT_LINES) >= FAULT_LINES:
                self._fault_lines[issuer] = now
                logger.warning("Sign-in failed: %(fault)s", {"fault": fault})
            raise ProviderAway(provider) from fault


def _with_query(address: str, parameters: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(parameters)}"
