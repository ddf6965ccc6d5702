"""
Secrets of a project and of an environment: values that the log has sealed, and that nothing shows.

A value is sealed with a key of its owner, the project or the environment. The keys are beside the log and never in it.
A secret of the environment replaces the project's of the same name. This module never sees a value.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from domain.errors import InvalidSecret, LimitReached, SecretNotFound
from domain.spec import VARIABLE_NAME

MAX_SECRETS = 100
"""Maximum number of secrets of a project or an environment."""

MAX_SECRET = 10_000
"""Maximum size of a secret, in bytes of UTF-8."""

MAX_SEALED = 150_000
"""Maximum size of all sealed secrets of a project or an environment, in characters: about 100,000 bytes of values."""

MAX_REPLACED = 20
"""Maximum number of earlier values that stay readable until the key is rotated: a running deployment may use them."""


class Secret(Struct, frozen=True, kw_only=True, gc=False):
    """A secret that the actor *by* set at the time *at*.

    *sealed* is its value, sealed with the key of that number. No two values of an owner have the same *version*.
    """

    name: str
    version: int
    sealed: str
    key: int
    at: datetime
    by: str


class Secrets(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The secrets of an owner by name, and the number of its *key*, 0 before the first secret.

    *replaced* are earlier values that the key still opens, the last one last. *count* is the last version.
    """

    entries: tuple[Secret, ...] = ()
    replaced: tuple[Secret, ...] = ()
    count: int = 0
    key: int = 0

    def find(self, name: str) -> Secret | None:
        return next((secret for secret in self.entries if secret.name == name), None)

    def at_version(self, version: int) -> Secret | None:
        """Return the secret with the value of *version*, unless that can't be opened any more."""
        return next((secret for secret in (*self.replaced, *self.entries) if secret.version == version), None)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(secret.name for secret in self.entries)


class SetSecret(Struct, frozen=True, kw_only=True):
    """Set the secret *name* to the value in *sealed*, which the key of that number opens."""

    name: str
    sealed: str
    key: int
    at: datetime
    by: str


class DeleteSecrets(Struct, frozen=True, kw_only=True):
    names: tuple[str, ...]


class RotateKey(Struct, frozen=True, kw_only=True):
    """Use *key* from now on; *secrets* are all that there are, sealed with it."""

    key: int
    secrets: tuple[Secret, ...]


SecretCommand = SetSecret | DeleteSecrets | RotateKey


def new(secrets: Secrets, command: SetSecret) -> Secret:
    """Return the secret that *command* sets; raises `InvalidSecret`, or `LimitReached`.

    An equal value is a new one, too: the answer that nothing changed would confirm a guess.
    """
    name = command.name
    check_name(name)
    others = [secret for secret in secrets.entries if secret.name != name]
    if len(others) >= MAX_SECRETS:
        raise LimitReached(limit=MAX_SECRETS, what="secrets of a project or an environment")
    if sum(len(each.sealed) for each in others) + len(command.sealed) > MAX_SEALED:
        raise LimitReached(limit=MAX_SEALED, what="characters in all sealed secrets of a project or an environment")
    return Secret(
        name=name,
        version=secrets.count + 1,
        sealed=command.sealed,
        key=command.key,
        at=command.at,
        by=command.by,
    )


def check_name(name: str) -> None:
    """Raise `InvalidSecret` unless *name* may be the name of a secret."""
    if not VARIABLE_NAME.fullmatch(name):
        why = "a name has 1 to 255 letters, digits, _, . and -, and does not begin with a digit"
        raise InvalidSecret(secret=name[:255], why=why)


def check_known(secrets: Secrets, names: Iterable[str], owner: str) -> None:
    """Raise `SecretNotFound` unless *owner*, a project or an environment, has a secret with each of *names*."""
    for name in names:
        if secrets.find(name) is None:
            raise SecretNotFound(secret=name[:255], owner=owner)


def with_secret(secrets: Secrets, secret: Secret) -> Secrets:
    """Return *secrets* after *secret* was set."""
    old = secrets.find(secret.name)
    others = [each for each in secrets.entries if each is not old]
    entries = tuple(sorted([*others, secret], key=lambda each: each.name))
    replaced = secrets.replaced if old is None else (*secrets.replaced, old)[-MAX_REPLACED:]
    return replace(secrets, entries=entries, replaced=replaced, count=secret.version, key=secret.key)


def without_secret(secrets: Secrets, name: str) -> Secrets:
    return replace(secrets, entries=tuple(secret for secret in secrets.entries if secret.name != name))


def rotated(secrets: Secrets, key: int, entries: Sequence[Secret]) -> Secrets:
    """Return *secrets* after a rotation: no earlier value can be opened any more."""
    return replace(secrets, entries=tuple(entries), replaced=(), key=key)
