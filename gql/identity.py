"""Who is asking, or why nobody may."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

MISSING = "A token is needed: send `Authorization: Bearer <token>`."
UNKNOWN = "The token isn't known here: it is another server's, or not all of it."
REVOKED = "The token was revoked. Ask for another, made with `stageline token create`."
EXPIRED = "The token has expired. Ask for another, made with `stageline token create`."
SESSION_UNKNOWN = "The session isn't known here. Sign in again: POST /graphql/session with a token."
SESSION_OVER = "The session is over. Sign in again: POST /graphql/session with a token."


class NotLetIn(Exception):
    """No token came, or one that isn't good: the message says which, and what to do.

    Who has the token itself may know what became of it; whose it was, and who revoked it, is not told.
    """


class TooManyAttempts(NotLetIn):
    """Too many unknown tokens came from the client's address, or from all; *retry* is when to try again, in seconds."""

    def __init__(self, retry: int) -> None:
        super().__init__(f"Too many attempts with unknown tokens: retry after {retry} s.")
        self.retry = retry


class Credentials(Struct, frozen=True):
    """What a request brings to be let in with.

    *client* is its network address. *session* is a session's cookie, and *secret* what only the page that signed in
    has; without the secret, the session is good for reading event streams alone.
    """

    authorization: str | None
    client: str = ""
    session: str | None = None
    secret: str | None = None


def client(scope: Mapping[str, Any]) -> str:
    """The network address of the client of an ASGI *scope*; empty if it has none."""
    peer = scope.get("client")
    return str(peer[0]) if peer else ""


class Session(Struct, frozen=True):
    """A browser's session, which expires with its token at the latest."""

    id: UUID
    expires_at: datetime


@dataclass(frozen=True)
class Identity:
    """Who came in, by which token, and until when that is good; *session* is set if its cookie came in its place."""

    actor: str
    token: UUID
    expires_at: datetime | None = None
    session: Session | None = None

    @property
    def ends_at(self) -> datetime | None:
        """Until when what is open with it may stay open."""
        return self.expires_at if self.session is None else self.session.expires_at

    @property
    def scope(self) -> Hashable:
        """What there is to be seen with it: those with equal scopes see the same. So far everybody does."""
        return None
