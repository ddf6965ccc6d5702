"""
Use cases of secrets, which the log keeps sealed with keys of their owners: a project or an environment.

The cipher is AES-256-GCM with a random nonce of 12 bytes in front of the text. The owner's id and the secret's name are
the associated data, so that no value can be passed off as another one's. An owner has one key at a time, stored
beside the log like those of actors' profiles. A deletion and a rotation re-seal the other values with a new key, in the
same append; then the old key is destroyed, and with it all that only it could open.
"""

import hmac
import secrets as random
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from msgspec.structs import replace

from application.handler import States, StreamState, Transaction, mismatch
from application.pipeline import existing
from domain import pipeline as pipelines
from domain import project as projects
from domain import webhook as webhooks
from domain.deployment import queue as queues
from domain.errors import EnvironmentBusy, InvalidSecret, ProjectNotFound, SecretInUse
from domain.pipeline import need as needs
from domain.pipeline.state import Pipeline
from domain.project import EnvironmentId, Project
from domain.secret import (
    MAX_SECRET,
    DeleteSecrets,
    RotateKey,
    Secret,
    SecretCommand,
    Secrets,
    SetSecret,
    check_name,
)
from domain.spec import UNSTORABLE
from store.keys import KEY_LENGTH, Keys

NONCE = 12
"""Length of the nonce, in bytes."""

KEYS = " secrets"
"""Prefix of the ids of keys. An actor's id does not begin with a blank, so it is never that of such a key."""

WEBHOOK_KEY = 1
"""Number of the key of a webhook, which is destroyed with it."""

MAX_NAMED = 10
"""Maximum number of services that a refusal names."""


class OwnerKind(StrEnum):
    PROJECT = "project"
    ENVIRONMENT = "environment"
    WEBHOOK = "webhook"


class Owner(Struct, frozen=True):
    """The owner of secrets; *id* is that of its stream, too."""

    kind: OwnerKind
    id: UUID

    def key(self, number: int) -> str:
        """Return the id of the owner's key of that number."""
        return f"{KEYS}/{self.kind}/{self.id.hex}/{number}"


class Vault:
    """The keys to the secrets that the log has. Opened secrets are not cached."""

    def __init__(self, states: States, keys: Keys) -> None:
        self._states = states
        self._keys = keys

    async def key(self, owner: Owner, number: int, *, is_kept: bool) -> bytes:
        """Return the key of *owner* with that number; a new one is stored if *is_kept*."""
        id_ = owner.key(number)
        if is_kept:
            return await self._keys.make(id_)
        return (await self._keys.get([id_])).get(id_) or random.token_bytes(KEY_LENGTH)

    async def current(self, owner: Owner, *, is_kept: bool) -> bytes:
        """Return the key with which the next secret of *owner* will be sealed."""
        known = (await self._load(owner))[0]
        return await self.key(owner, known.key or 1, is_kept=is_kept)

    async def open(self, owner: Owner, secrets: Sequence[Secret]) -> Mapping[str, str]:
        """Return the values of *secrets* by name, but for those whose key is missing."""
        keys = await self._keys.get({owner.key(secret.key) for secret in secrets}) if secrets else {}
        opened = {}
        for secret in secrets:
            key = keys.get(owner.key(secret.key))
            value = None if key is None else unseal(key, owner, secret.name, secret.sealed)
            if value is not None:
                opened[secret.name] = value
        return opened

    async def secrets(self, owner: Owner, *, has_asked: bool = False) -> Secrets:
        """Return the present secrets of *owner*, sealed; *has_asked* is that of `States.load`."""
        return (await self._load(owner, has_asked=has_asked))[0]

    async def forget(self, owner: Owner) -> None:
        """Destroy the keys of *owner* that the log says are not used any more."""
        await self._forget(await self._keys.find(f"{KEYS}/{owner.kind}/{owner.id.hex}/"))

    async def forget_all(self) -> None:
        """Destroy all keys that the log says are not used any more; a crash may have prevented it earlier."""
        await self._forget(await self._keys.find(f"{KEYS}/"))

    async def _forget(self, ids: Iterable[str]) -> None:
        states: dict[Owner, tuple[Secrets, bool]] = {}
        unused = []
        for id_ in ids:
            kind, owned, number = id_.split("/")[1:]
            owner = Owner(OwnerKind(kind), UUID(owned))
            if owner not in states:
                states[owner] = await self._load(owner)
            known, is_deleted = states[owner]
            if is_deleted or int(number) < known.key:
                unused.append(id_)
        if unused:
            await self._keys.destroy(unused)

    async def _load(self, owner: Owner, *, has_asked: bool = False) -> tuple[Secrets, bool]:
        """Return the secrets of *owner*, and whether it was deleted. A webhook has one key, and no named secrets."""
        if owner.kind is OwnerKind.WEBHOOK:
            known = (await self._states.load(webhooks.decider, webhooks.WEBHOOKS, has_asked=has_asked)).state
            return Secrets(key=WEBHOOK_KEY), owner.id in known.deleted
        if owner.kind is OwnerKind.PROJECT:
            project = (await self._states.load(projects.decider, owner.id, has_asked=has_asked)).state
            return project.secrets, project.is_deleted
        pipeline = (await self._states.load(pipelines.decider, owner.id, has_asked=has_asked)).state
        return pipeline.secrets, pipeline.is_deleted


def check_value(name: str, value: str) -> None:
    """Raise `InvalidSecret`, which does not repeat the value, unless *value* may be that of the secret *name*."""
    check_name(name)
    if UNSTORABLE.search(value):
        raise InvalidSecret(secret=name, why="its value has a NUL or a lone surrogate")
    size = len(value.encode())
    if not 1 <= size <= MAX_SECRET:
        raise InvalidSecret(secret=name, why=f"its value has {size:,} bytes; 1 to {MAX_SECRET:,} are allowed")


async def set_secret(
    transaction: Transaction,
    owner: Owner,
    name: str,
    value: str,
    by: str,
    at: datetime,
    vault: Vault,
    *,
    is_kept: bool,
    expected: int | None = None,
) -> UUID:
    """Set the secret *name* of *owner*; *is_kept* is false for a dry run. Raises `InvalidSecret` or `LimitReached`."""
    check_value(name, value)
    known = _secrets(await _existing(transaction, owner, expected))
    number = known.key or 1
    sealed = seal(await vault.key(owner, number, is_kept=is_kept), owner, name, value)
    await _do(transaction, owner, SetSecret(name=name, sealed=sealed, key=number, at=at, by=by))
    return owner.id


async def delete_secrets(
    transaction: Transaction,
    owner: Owner,
    names: Sequence[str],
    vault: Vault,
    *,
    is_kept: bool,
    expected: int | None = None,
) -> UUID:
    """Delete secrets of *owner*, and seal the others with a new key, so that the values can be destroyed.

    Raises `SecretNotFound`, `SecretInUse`, and `EnvironmentBusy` while a deployment may need them.
    """
    await _existing(transaction, owner, expected)
    await _do(transaction, owner, DeleteSecrets(names=tuple(names)))
    await _check_unused(transaction, owner, names)
    return await _rotate(transaction, owner, vault, is_kept=is_kept)


async def rotate_key(
    transaction: Transaction, owner: Owner, vault: Vault, *, is_kept: bool, expected: int | None = None
) -> UUID:
    """Seal the secrets of *owner* with a new key; raises `EnvironmentBusy` while a deployment may need earlier ones."""
    if _secrets(await _existing(transaction, owner, expected)).key:
        await _rotate(transaction, owner, vault, is_kept=is_kept)
    return owner.id


async def _rotate(transaction: Transaction, owner: Owner, vault: Vault, *, is_kept: bool) -> UUID:
    for environment, _ in await _pipelines(transaction, owner):
        queue = (await transaction.load(queues.decider, queues.stream(environment))).state
        if queue.open:
            raise EnvironmentBusy(number=queue.open[0].number)
    known = _secrets((await _load(transaction, owner)).state)
    number = known.key + 1
    opened = await vault.open(owner, known.entries)
    key = await vault.key(owner, number, is_kept=is_kept and bool(opened))
    again = tuple(
        replace(each, sealed=seal(key, owner, each.name, opened[each.name]), key=number)
        if each.name in opened
        else each
        for each in known.entries
    )
    await _do(transaction, owner, RotateKey(key=number, secrets=again))
    return owner.id


async def _check_unused(transaction: Transaction, owner: Owner, names: Sequence[str]) -> None:
    """Raise `SecretInUse` if a service refers to one of the deleted secrets, and there is none of the same name."""
    using: dict[str, list[str]] = {}
    for environment, pipeline in await _pipelines(transaction, owner):
        asking = needs.secrets_in(pipeline)
        if not asking:
            continue
        assert pipeline.project is not None, "a pipeline with services is of a project"
        project = (await transaction.load(projects.decider, pipeline.project)).state
        having = {*pipeline.secrets.names, *project.secrets.names}
        where = "" if environment == owner.id else f"{pipeline.name}: "
        for service, name in asking:
            if name in names and name not in having:
                using.setdefault(name, []).append(f"{where}{service.name}")
    for name, services in using.items():
        more = len(services) - MAX_NAMED
        listed = ", ".join(services[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
        raise SecretInUse(secret=name, services=listed)


async def _pipelines(transaction: Transaction, owner: Owner) -> list[tuple[EnvironmentId, Pipeline]]:
    """Return the environments that may use the secrets of *owner*, with their pipelines."""
    if owner.kind is OwnerKind.ENVIRONMENT:
        found = [EnvironmentId(owner.id)]
    else:
        project = (await transaction.load(projects.decider, owner.id)).state
        found = [EnvironmentId(entry.id) for entry in project.environments]
    return [(each, (await transaction.load(pipelines.decider, each)).state) for each in found]


async def _existing(transaction: Transaction, owner: Owner, expected: int | None) -> Pipeline | Project:
    """Return *owner*; raises `EnvironmentNotFound`, `ProjectNotFound`, or `VersionMismatch`."""
    loaded = await _load(transaction, owner)
    state = loaded.state
    if isinstance(state, Pipeline):
        await existing(transaction, EnvironmentId(owner.id))
    elif state.name is None or state.is_deleted:
        raise ProjectNotFound(project=state.name or str(owner.id))
    if expected is not None and expected != loaded.version:
        raise mismatch(owner.id, expected, loaded.version)
    return state


async def _load(transaction: Transaction, owner: Owner) -> StreamState[Pipeline] | StreamState[Project]:
    if owner.kind is OwnerKind.PROJECT:
        return await transaction.load(projects.decider, owner.id)
    return await transaction.load(pipelines.decider, owner.id)


async def _do(transaction: Transaction, owner: Owner, command: SecretCommand) -> None:
    if owner.kind is OwnerKind.PROJECT:
        await transaction.do(projects.decider, owner.id, command)
    else:
        await transaction.do(pipelines.decider, owner.id, command)


def _secrets(owner: Pipeline | Project) -> Secrets:
    return owner.secrets


def seal(key: bytes, owner: Owner, name: str, value: str) -> str:
    """Return *value* sealed with *key*, in Base64."""
    nonce = random.token_bytes(NONCE)
    return b64encode(nonce + AESGCM(key).encrypt(nonce, value.encode(), _bound(owner, name))).decode()


def unseal(key: bytes, owner: Owner, name: str, sealed: str) -> str | None:
    """Return the value, or None if it was sealed with another key, or for another owner or name."""
    data = b64decode(sealed)
    try:
        return AESGCM(key).decrypt(data[:NONCE], data[NONCE:], _bound(owner, name)).decode()
    except InvalidTag:
        return None


def _bound(owner: Owner, name: str) -> bytes:
    return f"{owner.kind}/{owner.id.hex}/{name}".encode()


def digest(key: bytes, request: str) -> str:
    """Return a digest of a request, which nobody without *key* can check against a guess."""
    return hmac.digest(key, request.encode(), "sha256").hex()
