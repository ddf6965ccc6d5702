"""Who is asking."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


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
