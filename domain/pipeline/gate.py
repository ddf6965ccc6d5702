"""Gates of a stage: the conditions of its policy that a deployment meets before the stage starts."""

from enum import StrEnum
from urllib.parse import urlsplit

from msgspec import Struct

from domain.errors import InvalidPolicy
from domain.role import Role
from domain.spec import MIN_SECONDS, NAMES

MAX_APPROVALS = 20
"""Maximum number of approvals that a stage needs."""

MAX_WAIT = 30 * 24 * 3600
"""Maximum time that a stage waits at one gate, in seconds."""

MAX_URL = 2_000
"""Maximum length of the address of a check, in characters."""


class GateKind(StrEnum):
    """The kinds of gates, in the order in which a deployment meets them."""

    APPROVAL = "APPROVAL"
    TIME = "TIME"
    CHECK = "CHECK"


class OnTimeout(StrEnum):
    """The decision on a stage that has not enough approvals in time."""

    REJECT = "REJECT"
    APPROVE = "APPROVE"


class Approval(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The approval of a stage by *count* different actors.

    *on_timeout* decides *timeout* seconds after it was requested; None is no limit. With *self_approval* the actor who
    requested the deployment may approve, too. Each of them needs *role* in the environment.
    """

    count: int = 1
    timeout: float | None = None
    on_timeout: OnTimeout = OnTimeout.REJECT
    self_approval: bool = True
    role: Role = Role.DEPLOYER


class StageCheck(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A check that passes when GET *url* answers 200 to 299; it is tried every *interval* s, for *timeout* s.

    Redirects are not followed.
    """

    url: str
    interval: float = 10.0
    timeout: float = 600.0


def both(first: Approval | None, second: Approval | None) -> Approval | None:
    """Return the approval that meets *first* and *second*; None if neither asks for one.

    It has the higher count and role. If either rejects without enough approvals in time, no time approves.
    """
    if first is None or second is None:
        return first or second
    rejecting = [each for each in (first, second) if each.on_timeout is OnTimeout.REJECT]
    times = [each.timeout for each in rejecting or (first, second) if each.timeout is not None]
    return Approval(
        count=max(first.count, second.count),
        timeout=(min if rejecting else max)(times, default=None),
        on_timeout=OnTimeout.REJECT if rejecting else OnTimeout.APPROVE,
        self_approval=first.self_approval and second.self_approval,
        role=first.role if first.role.includes(second.role) else second.role,
    )


def check_approval(approval: Approval) -> None:
    """Raise `InvalidPolicy` with the field and its limit unless *approval* is valid."""
    if not 1 <= approval.count <= MAX_APPROVALS:
        raise InvalidPolicy(field="approval.count", why=f"{approval.count} is not between 1 and {MAX_APPROVALS}")
    if approval.timeout is not None:
        _check_time("approval.", "timeout", approval.timeout)
    elif approval.on_timeout is not OnTimeout.REJECT:
        raise InvalidPolicy(field="approval.onTimeout", why="it needs timeoutSeconds")
    if not approval.role.includes(Role.DEPLOYER):
        raise InvalidPolicy(field="approval.role", why="a viewer can't approve: DEPLOYER, EDITOR or ADMIN is required")


def check_wait(wait: float) -> None:
    """Raise `InvalidPolicy` unless *wait*, in seconds, is valid."""
    _check_time("", "wait", wait)


def check_check(check: StageCheck) -> None:
    """Raise `InvalidPolicy` with the field and its limit unless *check* is valid."""
    if len(check.url) > MAX_URL:
        raise InvalidPolicy(field="check.url", why=f"{len(check.url):,} characters; at most {MAX_URL:,} are allowed")
    if not _is_url(check.url):
        why = "an address that begins with http:// or https://, without a user and a password, is required"
        raise InvalidPolicy(field="check.url", why=why)
    _check_time("check.", "interval", check.interval)
    _check_time("check.", "timeout", check.timeout)


def _is_url(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and "@" not in url.netloc and url.port != 0
    except ValueError:  # an invalid port
        return False


def _check_time(gate: str, field: str, seconds: float) -> None:
    if not MIN_SECONDS <= seconds <= MAX_WAIT:
        why = f"{seconds:,} is not between {MIN_SECONDS} and {MAX_WAIT:,} seconds"
        raise InvalidPolicy(field=f"{gate}{NAMES[field]}", why=why)
