"""Use cases of tokens and roles."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from application.handler import Transaction
from domain.access import ACCESS, AccessCommand, decider
from domain.errors import InvalidArgument

MAX_YEARS = 100
"""Maximum time until a token expires, in years: later times do not exist in every time zone."""


def checked_expiry(expires_at: datetime | None) -> datetime | None:
    """Return the time in UTC; raises `InvalidArgument` without a time zone, in the past and after `MAX_YEARS`."""
    if expires_at is None:
        return None
    if expires_at.tzinfo is None:
        raise InvalidArgument(argument="expiresAt", why="it needs a time zone, as in 2026-01-31T12:00:00Z")
    now = datetime.now(UTC)
    if expires_at <= now:
        raise InvalidArgument(argument="expiresAt", why="it is in the past")
    if expires_at > now + timedelta(days=365.25 * MAX_YEARS):
        raise InvalidArgument(
            argument="expiresAt", why=f"at most {MAX_YEARS} years from now are allowed; leave it out for never"
        )
    return expires_at.astimezone(UTC)


async def change(transaction: Transaction, command: AccessCommand) -> UUID:
    """Issue or revoke a token, or grant or revoke a role."""
    await transaction.do(decider, ACCESS, command)
    return ACCESS
