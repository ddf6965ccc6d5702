"""Who is asking, or why nobody may."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

MISSING = "A token is needed: send `Authorization: Bearer <token>`."
UNKNOWN = "The token isn't known here: it is another server's, or not all of it."
REVOKED = "The token was revoked. Ask for another, made with `stageline token create`."
EXPIRED = "The token has expired. Ask for another, made with `stageline token create`."


class NotLetIn(Exception):
    """No token came, or one that isn't good: the message says which, and what to do.

    Who has the token itself may know what became of it; whose it was, and who revoked it, is not told.
    """


@dataclass(frozen=True)
class Identity:
    """Who came in, by which token, and until when that is good."""

    actor: str
    token: UUID
    expires_at: datetime | None = None

    @property
    def scope(self) -> Hashable:
        """What there is to be seen with it: those with equal scopes see the same. So far everybody does."""
        return None
