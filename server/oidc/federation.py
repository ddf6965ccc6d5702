"""
The people and programs whom identity providers vouch for: their identities, roles and names.

A program sends a token of its provider with each request. A session that it opens with one states the provider, the
subject and the rules that applied then. The roles are those that the rules give at the time.
"""

import logging
import math
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from application.actor import Profile, Profiles, set_profile
from application.handler import Handler
from application.refusal import Refusals
from domain import actor as actors
from domain.access import SERVER
from domain.actor import ActorId
from domain.claim import Claims, find, matching, words
from domain.errors import Refused
from domain.name import MAX_NAME
from domain.role import ALL
from endpoint.identity import ASSERTION_EXPIRED, SESSION_OVER, Assertion, Identity, TooManyRefusals, Unauthenticated
from endpoint.port import Unavailable
from server.oidc import token as tokens
from server.oidc.configuration import ProviderSettings
from server.oidc.place import RulePlaces
from server.oidc.provider import Provider, ProviderUnusable
from server.throttle import TokenThrottle
from store.log import Author, LogUnavailable, Origin

CACHED_TOKENS = 1_000
"""Maximum number of cached identities of tokens, which need not be verified again."""

CACHED_NAMES = 10_000
"""Maximum number of actors whose names are known to be recorded."""

LATEST = 253_402_300_799 - tokens.SKEW
"""The last second of the year 9999, less the difference of the clocks, in seconds since 1970."""

logger = logging.getLogger("stageline")


class Person(Struct, frozen=True, array_like=True):
    """An actor whom a provider vouches for, as sessions state it: issuer, subject, and digests of rules."""

    issuer: str
    subject: str
    grounds: tuple[bytes, ...]


class Federation:
    """The identity providers, and the identities of those whom they vouch for."""

    def __init__(
        self,
        providers: Sequence[ProviderSettings],
        tls: ssl.SSLContext,
        handler: Handler,
        profiles: Profiles,
        throttle: TokenThrottle,
        refusals: Refusals,
    ) -> None:
        self.providers = {each.issuer: Provider(each, tls) for each in providers}
        self._handler = handler
        self._profiles = profiles
        self._throttle = throttle
        self._refusals = refusals
        self._places = RulePlaces(handler)
        self._known: dict[str, Identity] = {}  # by token
        self._edition: tuple[int, ...] = ()
        self._named: dict[ActorId, Profile] = {}

    async def authenticate(self, token: str, client: str) -> Identity:
        """Return the identity that a token of a provider stands for; raise `Unauthenticated` or `Unavailable`."""
        edition = (self._places.edition, *(each.edition for each in self.providers.values()))
        if edition != self._edition or len(self._known) >= CACHED_TOKENS:
            self._known.clear()
            self._edition = edition
        try:
            known = self._known.get(token)
            if known is None:
                known = await self._verified(token, client)
                if edition == self._edition:  # else it may have a role from before a change
                    self._known[token] = known
            if known.expires_at is not None and known.expires_at <= datetime.now(UTC):
                del self._known[token]
                raise Unauthenticated(ASSERTION_EXPIRED)
            return self._admitted(known, client)
        except Unauthenticated as refused:
            self._throttle.log_failure(client, refused)
            raise
        except ProviderUnusable as fault:
            raise Unavailable(str(fault)) from fault

    def _admitted(self, known: Identity, client: str) -> Identity:
        """Return *known*; raise `TooManyRefusals` if it asked too often for what it must not do."""
        if wait := self._refusals.wait(client, known.token):
            raise TooManyRefusals(max(1, math.ceil(wait)))
        return known

    async def _verified(self, token: str, client: str) -> Identity:
        """Return the identity; a refusal counts as an attempt with an unknown token."""
        try:
            provider = self.providers.get(tokens.issuer(token))
            if provider is None or not provider.settings.audience:
                raise Unauthenticated(tokens.ISSUER)
            if provider.key(tokens.key_id(token)) is None:
                with self._throttle.attempt(client):  # it costs requests to the provider
                    await provider.read_keys()
            claims = tokens.verified(provider, token, provider.settings.audience)
        except Unauthenticated as refused:
            with self._throttle.attempt(client):
                raise refused
        expires_at = datetime.fromtimestamp(min(tokens.expiry(claims), LATEST) + tokens.SKEW, UTC)
        return await self.identity(provider, claims, expires_at)

    async def identity(self, provider: Provider, claims: Claims, expires_at: datetime) -> Identity:
        """Return the identity of somebody with verified *claims*, and record the name of one who has a role."""
        rules = provider.settings.rules
        person = Person(
            provider.settings.issuer, str(claims["sub"]), tuple(each.digest for each in matching(rules, claims))
        )
        found = await self._of(provider, person, expires_at, words(rules, claims))
        if found.rights != ():
            await self._record_name(ActorId(found.actor), provider.settings.name_claim, claims)
        return found

    async def of_session(self, person: Person, expires_at: datetime, client: str) -> Identity:
        """Return the identity of the holder of a session; raise `Unauthenticated` if its provider is gone."""
        provider = self.providers.get(person.issuer)
        if provider is None:
            raise Unauthenticated(SESSION_OVER)
        return self._admitted(await self._of(provider, person, expires_at, ""), client)

    async def _of(self, provider: Provider, person: Person, expires_at: datetime, seen: str) -> Identity:
        rules = [each for each in provider.settings.rules if each.digest in person.grounds]
        roles = await self._places.roles(rules)
        actor = f"{person.issuer}#{person.subject}"
        return Identity(
            actor,
            _id(actor),
            expires_at,
            rights=None if roles == ALL else roles,
            assertion=Assertion(person.issuer, provider.settings.title, person.grounds, "" if roles else seen),
        )

    async def _record_name(self, actor: ActorId, name_claim: str, claims: Claims) -> None:
        """Record the name and the address that the claims have, unless they are known or were forgotten."""
        name, address = _text(find(claims, name_claim)), _text(claims.get("email"))
        profile = Profile(name=name, address=address)
        if (name is None and address is None) or self._named.get(actor) == profile:
            return
        try:
            key = await self._profiles.key(actor, is_kept=True)
            work = partial(set_profile, actor=actor, profile=profile, key=key, by=ActorId(SERVER))
            await self._handler.transact(work, actors.decider, Author(actor=SERVER, origin=Origin.ENGINE))
        except LogUnavailable:
            return  # the next request tries again
        except Refused as refused:  # a forgotten actor
            logger.debug("The name of %(actor)s is not recorded: %(why)s", {"actor": actor, "why": refused})
        if len(self._named) >= CACHED_NAMES:
            self._named.clear()
        self._named[actor] = profile


def person_of(identity: Identity) -> Person | None:
    """Return the person that a session of *identity* states; None for one with a token of this server."""
    if identity.assertion is None:
        return None
    issuer = identity.assertion.issuer
    return Person(issuer, identity.actor.removeprefix(f"{issuer}#"), identity.assertion.grounds)


def _id(actor: str) -> UUID:
    """Return the id that stands for the token of an actor who has none."""
    return uuid5(NAMESPACE_URL, f"stageline:oidc:{actor}")


def _text(value: object) -> str | None:
    """Return a claim that can be the name or the address of an actor, cut to its maximum length."""
    text = "".join(each for each in value if each.isprintable()).strip() if isinstance(value, str) else ""
    return text[:MAX_NAME] or None
