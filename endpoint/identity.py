"""The identity of a client, the credentials that prove it, and the errors when they do not."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

MISSING = "Missing token: send `Authorization: Bearer <token>`."
UNKNOWN = "Unknown token: it belongs to another server, or is incomplete."
REVOKED = "The token was revoked. Ask for another, made with `stageline token create`."
EXPIRED = "The token has expired. Ask for another, made with `stageline token create`."
SESSION_UNKNOWN = "Unknown session. Sign in again: POST /graphql/session with a token."
LINK_UNKNOWN = "Unknown sign-in link: it belongs to another server, or is incomplete."
LINK_EXPIRED = "The sign-in link has expired. Ask for another: `stageline auth link`."
LINK_USED = "The sign-in link was used before. Ask for another: `stageline auth link`."
LINK_ELSEWHERE = "A sign-in link is valid in the server's own page only."
ASSERTION_EXPIRED = "The identity token has expired. Ask the identity provider for another."
ROLES_CHANGED = "The roles of the actor were changed: connect again."
SESSION_OVER = "The session is over. Sign in again: POST /graphql/session with a token."


class Unauthenticated(Exception):
    """A request has no token, or an invalid one: the message says which, and what to do.

    The message may say that a token was revoked or has expired. It never names the owner or the revoker.
    """


class TooManyAttempts(Unauthenticated):
    """Too many unknown tokens came from this client, or from all; retry after *retry* seconds."""

    def __init__(self, retry: int) -> None:
        super().__init__(f"Too many attempts with unknown tokens: retry after {retry} s.")
        self.retry = retry


class TooManyRefusals(TooManyAttempts):
    """A token asked too often for what it must not do; retry after *retry* seconds."""

    def __init__(self, retry: int) -> None:
        super().__init__(retry)
        self.args = (f"Too many requests beyond the roles of this token: retry after {retry} s.",)


class Credentials(Struct, frozen=True):
    """The credentials of a request.

    *client* is its network address. *session* is the cookie of a session. *secret* is known only to the page that
    signed in; without it the session can only read event streams.
    """

    authorization: str | None
    client: str = ""
    session: str | None = None
    secret: str | None = None


def client(scope: Mapping[str, Any]) -> str:
    """Return the network address of the client of an ASGI *scope*; empty if it has none."""
    peer = scope.get("client")
    return str(peer[0]) if peer else ""


class Session(Struct, frozen=True):
    """A browser's session; it expires no later than its token."""

    id: UUID
    expires_at: datetime


class Assertion(Struct, frozen=True):
    """The statement of an identity provider that vouches for an actor, who then has no token of this server.

    *issuer* is the provider's identifier, *provider* its name for people. *grounds* are the application's reasons for
    the rights. *seen* says why there are no rights, in words; else it is empty.
    """

    issuer: str
    provider: str
    grounds: tuple[bytes, ...] = ()
    seen: str = ""


@dataclass(frozen=True)
class Identity:
    """An authenticated actor with the token, and when it expires; *session* is set if a cookie replaced the token.

    *rights* are the application's own; None for all. If they can change with the roles of an actor whom the token
    *follows*, they are those at *version* of the stream of tokens and roles. With an *assertion*, *token* is an id that
    is the actor's own.
    """

    actor: str
    token: UUID
    expires_at: datetime | None = None
    session: Session | None = None
    rights: Hashable = None
    follows: str | None = None
    version: int = field(default=0, compare=False)
    assertion: Assertion | None = None

    @property
    def ends_at(self) -> datetime | None:
        """The time at which connections of this identity must end; None if never."""
        return self.expires_at if self.session is None else self.session.expires_at

    @property
    def scope(self) -> Hashable:
        """The data that the identity may see: equal scopes see the same. A refusal names the claims of its owner."""
        return (self.rights, self.assertion.seen) if self.assertion and self.assertion.seen else self.rights
