"""
The confinement of steps: the user that they run as in each environment, and the limits of their processes.

The limits are those of the system (`setrlimit`), set by the program prlimit. A user who is root is not held by that of
the number of processes.
"""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct

from runner.targets.process import account as accounts
from runner.targets.process.account import Account, AccountUnusable

PRLIMIT = "prlimit"
"""Program of util-linux that starts another with limits."""

PREFIX = "environment_"
"""Beginning of the id of an environment."""


class Limits(Struct, frozen=True, kw_only=True):
    """Limits: the *memory* of a process in bytes, its open *files*, and the *processes* of its user on the machine."""

    memory: int | None = None
    processes: int | None = None
    files: int | None = None

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that give it the limits; it also leaves no core dump, which would have secrets."""
        named = {"data": self.memory, "nproc": self.processes, "nofile": self.files}
        words = [f"--{name}={value}" for name, value in named.items() if value is not None]
        return (PRLIMIT, "--core=0", *words, "--") if words else ()


class Confinement(Struct, frozen=True, kw_only=True):
    """The *account* that processes run as, None for the server's user, and their *limits*."""

    account: Account | None = None
    limits: Limits = Limits()

    @property
    def options(self) -> dict[str, Any]:
        """Options of `subprocess` that start a process as the account."""
        return {} if self.account is None else self.account.options


class Confinements(Struct, frozen=True, kw_only=True):
    """The confinement of each environment that has one of its *own*, and that of the others."""

    default: Confinement = Confinement()
    own: Mapping[UUID, Confinement] = {}

    def of(self, environment: UUID) -> Confinement:
        return self.own.get(environment, self.default)


def find(run_as: Sequence[str], limits: Limits) -> Confinements:
    """Return the confinements of *run_as*: `USER` for all environments, and `ENVIRONMENT=USER` for one, by its id.

    Raises `AccountUnusable`. Names of environments are not accepted, because an editor can change them.
    """
    if limits.prefix and shutil.which(PRLIMIT) is None:
        raise AccountUnusable(f"Steps can't have limits: this machine has no program {PRLIMIT} (util-linux).")
    default: Account | None = None
    own: dict[UUID, Confinement] = {}
    for each in run_as:
        environment, is_own, user = each.rpartition("=")
        if is_own:
            own[_id(environment)] = Confinement(account=accounts.find(user), limits=limits)
        elif default is not None:
            raise AccountUnusable(f"--run-as names two users for all environments: {default.name} and {user}.")
        else:
            default = accounts.find(user)
    if own and default is None:
        raise AccountUnusable("--run-as names users of environments, and none for the others: add --run-as USER.")
    return Confinements(default=Confinement(account=default, limits=limits), own=own)


def _id(environment: str) -> UUID:
    try:
        if environment.startswith(PREFIX):
            return UUID(hex=environment.removeprefix(PREFIX))
    except ValueError:
        pass
    raise AccountUnusable(
        f"Invalid --run-as: {environment!r} is no id of an environment, such as environment_0193c1a2b3c4…; `stageline "
        "environment list` shows them."
    )
