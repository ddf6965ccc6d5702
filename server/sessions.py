"""
Sessions of browsers, as signed statements that any node accepts and none stores.

A session's statement has its id, the id of its token, and its expiry. For somebody whom an identity provider vouches
for, it has the provider, the subject and the rules of the roles, too. The cookie is the statement with a MAC. The
page's secret is another MAC of the statement, so neither can be computed from the other. Both MAC keys are derived from
the signing key, which all nodes share. The log has the sessions that ended early.

A sign-in link is a statement of the same kind, with a MAC key of its own. The log has the links that were used, so each
opens one session, on whichever node.
"""

import struct
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.handler import Handler
from domain.session import LINK, LONGEST, SESSIONS, EndSession, LinkId, SessionEnded, SessionId, UseLink, decider
from endpoint.http.session import NewLink, NewSession
from endpoint.identity import (
    LINK_EXPIRED,
    LINK_UNKNOWN,
    LINK_USED,
    SESSION_OVER,
    SESSION_UNKNOWN,
    Credentials,
    Identity,
    Session,
    Unauthenticated,
)
from server.auth import Tokens
from server.oidc.federation import Federation, Person, person_of
from server.statement import Signer, StatementInvalid
from store.log import Author, Origin, RecordedEvent

STATEMENT = struct.Struct(">16s16sQ")
"""The ids of the session and of its token, and when it expires, in seconds since 1970. A `Person` may follow."""


class Sessions:
    """The sessions of browsers: opened, authenticated and ended."""

    def __init__(self, handler: Handler, tokens: Tokens, federation: Federation, key: Ed25519PrivateKey) -> None:
        self._handler = handler
        self._tokens = tokens
        self._federation = federation
        self._cookies, self._secrets, self._links = (Signer(key, use) for use in ("cookie", "secret", "link"))
        self._ended: frozenset[UUID] | None = None  # None if it must be read again
        self._changes = 0
        handler.log.watch(self._on_events, [SessionEnded])

    def open(self, identity: Identity) -> NewSession:
        """Return a new session of *identity*, which came with a token or a sign-in link."""
        statement = _new_statement(identity, LONGEST)
        return NewSession(
            cookie=self._cookies.sign(statement),
            secret=self._secrets.mac(statement),
            expires_at=_expiry(statement),
        )

    def link(self, identity: Identity) -> NewLink:
        """Return a new sign-in link of *identity*, which came with a token."""
        statement = _new_statement(identity, LINK)
        return NewLink(code=self._links.sign(statement), expires_at=_expiry(statement))

    async def holder(self, code: str, client: str) -> Identity:
        """Return the identity that a sign-in link stands for, and leave it unused; raise `Unauthenticated`."""
        try:
            link, identity = await self._link(code, client)
            if link.link in (await self._handler.states.load(decider, SESSIONS)).state.links:
                raise Unauthenticated(LINK_USED)
            return identity
        except Unauthenticated as refused:
            self._tokens.throttle.log_failure(client, refused)
            raise

    async def redeem(self, code: str, client: str) -> Identity:
        """Return the identity that a sign-in link stands for, and record its use; raise `Unauthenticated`."""
        try:
            return await self._redeem(code, client)
        except Unauthenticated as refused:
            self._tokens.throttle.log_failure(client, refused)
            raise

    async def _link(self, code: str, client: str) -> tuple[UseLink, Identity]:
        """Return the use of a sign-in link, and the identity that it stands for; raise `Unauthenticated`."""
        statement = _opened(self._links, code, LINK_UNKNOWN)
        id_, _ = _ids(statement)
        if _expiry(statement) <= datetime.now(UTC):
            raise Unauthenticated(LINK_EXPIRED)
        return UseLink(link=LinkId(id_), expires_at=_expiry(statement)), await self._holder(statement, client)

    async def _holder(self, statement: bytes, client: str) -> Identity:
        """Return the identity that a statement is of; raise `Unauthenticated`."""
        if len(statement) > STATEMENT.size:
            person = msgspec.msgpack.decode(statement[STATEMENT.size :], type=Person)
            return await self._federation.of_session(person, _expiry(statement), client)
        return await self._tokens.find_by_id(_ids(statement)[1], client)

    async def _redeem(self, code: str, client: str) -> Identity:
        command, identity = await self._link(code, client)
        by = Author(actor=identity.actor, origin=Origin.CONSOLE, token=identity.token)
        if not (await self._handler.handle(decider, SESSIONS, command, by)).has_changed:
            raise Unauthenticated(LINK_USED)
        return identity

    async def authenticate(self, credentials: Credentials) -> Identity:
        """Return the identity that the session in *credentials* stands for; raise `Unauthenticated`."""
        try:
            return await self._identity(credentials.session or "", credentials.secret, credentials.client)
        except Unauthenticated as refused:
            self._tokens.throttle.log_failure(credentials.client, refused)
            raise

    async def _identity(self, cookie: str, secret: str | None, client: str) -> Identity:
        statement = _opened(self._cookies, cookie, SESSION_UNKNOWN)
        if secret is not None and not self._secrets.is_mac(secret, statement):
            raise Unauthenticated(SESSION_UNKNOWN)
        session = Session(_ids(statement)[0], _expiry(statement))
        if session.expires_at <= datetime.now(UTC) or session.id in await self._ended_sessions():
            raise Unauthenticated(SESSION_OVER)
        return replace(await self._holder(statement, client), session=session)

    async def end(self, cookie: str, client: str) -> Identity | None:
        """End the session of *cookie* on all nodes, and return whose it was; None if it is invalid or over."""
        try:
            identity = await self._identity(cookie, None, client)
        except Unauthenticated:
            return None
        assert identity.session is not None
        command = EndSession(session=SessionId(identity.session.id), expires_at=identity.session.expires_at)
        by = Author(actor=identity.actor, origin=Origin.API, token=identity.token)
        await self._handler.handle(decider, SESSIONS, command, by)
        return identity

    async def _ended_sessions(self) -> frozenset[UUID]:
        if self._ended is not None:
            return self._ended
        changes = self._changes
        ended = frozenset[UUID]((await self._handler.states.load(decider, SESSIONS)).state.ended)
        if changes == self._changes:
            self._ended = ended
        return ended

    def _on_events(self, _: Sequence[RecordedEvent]) -> None:
        self._changes += 1
        self._ended = None


def _new_statement(identity: Identity, life: timedelta) -> bytes:
    """Return a statement with a new id, which expires after *life*, and no later than the identity's token."""
    longest = datetime.now(UTC) + life
    expires_at = longest if identity.expires_at is None else min(longest, identity.expires_at)
    person = person_of(identity)
    blob = b"" if person is None else msgspec.msgpack.encode(person)
    return STATEMENT.pack(uuid4().bytes, identity.token.bytes, int(expires_at.timestamp())) + blob


def _ids(statement: bytes) -> tuple[UUID, UUID]:
    """Return the ids of the session, or of the link, and of the token."""
    id_, token, _ = STATEMENT.unpack_from(statement)
    return UUID(bytes=id_), UUID(bytes=token)


def _opened(signer: Signer, text: str, unknown: str) -> bytes:
    """Return the statement in *text*; raise `Unauthenticated` with *unknown* if its MAC is invalid."""
    try:
        return signer.open(text, STATEMENT.size)
    except StatementInvalid as error:
        raise Unauthenticated(unknown) from error


def _expiry(statement: bytes) -> datetime:
    return datetime.fromtimestamp(STATEMENT.unpack_from(statement)[2], UTC)
