"""The account of the machine that steps run as, if that is not the server's own."""

import os
import pwd
from typing import Any

from msgspec import Struct


class AccountUnusable(Exception):
    """Steps can't run as that user; the message says why, and what to do."""


class Account(Struct, frozen=True):
    """A user of the machine, with the group of that user."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

    @property
    def options(self) -> dict[str, Any]:
        """Options of `subprocess` that start a process as this user, without the server's supplementary groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": ()}

    @property
    def variables(self) -> dict[str, str]:
        """The variables by which programs know their user."""
        return {"USER": self.name, "LOGNAME": self.name, "HOME": self.home, "SHELL": self.shell}


def find(name: str) -> Account:
    """Return the account of the user *name*; raise `AccountUnusable` if there is none, or this process is not root."""
    if os.geteuid() != 0:
        raise AccountUnusable(
            f"Steps can't run as {name}: only root can start processes of another user, and this server runs as user "
            f"{os.geteuid()}. Start it as root, or without --run-as."
        )
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise AccountUnusable(
            f"Steps can't run as {name}: this machine has no such user. Create it, or name another with --run-as."
        ) from None
    return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir, found.pw_shell)
