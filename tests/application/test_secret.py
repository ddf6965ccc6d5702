"""Sealed secrets, and the keys that open them: on every log, with the keys beside it."""

from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from application import secret as use_cases
from application.handler import Handler
from application.secret import Owner, OwnerKind, Vault, seal, unseal
from domain import project as projects
from domain.errors import NotFound
from domain.project import CreateProject, DeleteProject
from store.keys import Keys
from store.log import EventLog
from store.postgres.keys import PostgresKeys
from store.postgres.log import PostgresLog
from store.sqlite.keys import SqliteKeys
from tests.store.sample import ANN as BY

SHOP = Owner(OwnerKind.PROJECT, UUID(int=7))
OTHER = Owner(OwnerKind.PROJECT, UUID(int=8))
VALUE = "correct horse battery staple – é"
AT = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
async def keys(log: EventLog, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Keys]:
    """On PostgreSQL if the log is there."""
    keys: Keys
    if isinstance(log, PostgresLog):
        keys = await PostgresKeys.open(request.getfixturevalue("database"))
    else:
        keys = await SqliteKeys.open(tmp_path / "keys.db")
    yield keys
    await keys.close()


@pytest.fixture
async def handler(log: EventLog) -> Handler:
    handler = Handler(log)
    await handler.handle(projects.decider, SHOP.id, CreateProject(name="Shop"), BY)
    return handler


async def set_(handler: Handler, vault: Vault, name: str = "KEY", value: str = VALUE) -> None:
    work = partial(use_cases.set_secret, owner=SHOP, name=name, value=value, by="ann", at=AT, vault=vault, is_kept=True)
    await handler.transact(work, projects.decider, BY)


async def rotate(handler: Handler, vault: Vault) -> None:
    work = partial(use_cases.rotate_key, owner=SHOP, vault=vault, is_kept=True)
    await handler.transact(work, projects.decider, BY)


async def opened(vault: Vault) -> dict[str, str]:
    return dict(await vault.open(SHOP, (await vault.secrets(SHOP)).entries))


def test_a_sealed_value_is_bound_to_its_owner_and_its_name() -> None:
    key = bytes(32)
    sealed = seal(key, SHOP, "KEY", VALUE)
    assert unseal(key, SHOP, "KEY", sealed) == VALUE
    assert unseal(key, OTHER, "KEY", sealed) is None
    assert unseal(key, Owner(OwnerKind.ENVIRONMENT, SHOP.id), "KEY", sealed) is None
    assert unseal(key, SHOP, "OTHER", sealed) is None
    assert unseal(b"1" * 32, SHOP, "KEY", sealed) is None
    assert seal(key, SHOP, "KEY", VALUE) != sealed, "a nonce is used once"


async def test_the_log_has_a_secret_that_only_its_key_opens(handler: Handler, keys: Keys) -> None:
    vault = Vault(handler.states, keys)
    await set_(handler, vault)
    assert await opened(vault) == {"KEY": VALUE}
    (secret,) = (await vault.secrets(SHOP)).entries
    assert VALUE.encode() not in (await handler.log.export()).lines
    assert VALUE.encode() not in b64decode(secret.sealed)
    await keys.destroy([SHOP.key(1)])
    assert await opened(vault) == {}


@pytest.mark.parametrize("kind", [OwnerKind.PROJECT, OwnerKind.ENVIRONMENT])
async def test_an_owner_that_does_not_exist_is_named_by_its_id(handler: Handler, keys: Keys, kind: OwnerKind) -> None:
    owner = Owner(kind, OTHER.id)
    work = partial(use_cases.rotate_key, owner=owner, vault=Vault(handler.states, keys), is_kept=True)
    with pytest.raises(NotFound, match=str(OTHER.id)):
        await handler.transact(work, projects.decider, BY)


async def test_a_rotation_seals_all_values_again_and_destroys_the_old_key(handler: Handler, keys: Keys) -> None:
    vault = Vault(handler.states, keys)
    await set_(handler, vault)
    await set_(handler, vault, "OTHER", "another value")
    before = (await vault.secrets(SHOP)).entries
    await rotate(handler, vault)
    await vault.forget(SHOP)
    assert await keys.find(" secrets/") == [SHOP.key(2)]
    assert await opened(vault) == {"KEY": VALUE, "OTHER": "another value"}
    assert await vault.open(SHOP, before) == {}, "the old events can't be read any more"


async def test_a_crash_before_the_old_key_is_destroyed_is_made_up_for_at_the_next_start(
    handler: Handler, keys: Keys
) -> None:
    vault = Vault(handler.states, keys)
    await set_(handler, vault)
    await keys.make("ann")
    await rotate(handler, vault)
    assert set(await keys.find(" secrets/")) == {SHOP.key(1), SHOP.key(2)}
    await Vault(Handler(handler.log).states, keys).forget_all()
    assert await keys.find(" secrets/") == [SHOP.key(2)]
    assert await keys.find("ann") == ["ann"], "the keys of actors stay"
    assert await opened(vault) == {"KEY": VALUE}


async def test_a_crash_before_the_append_of_a_rotation_loses_nothing(handler: Handler, keys: Keys) -> None:
    vault = Vault(handler.states, keys)
    await set_(handler, vault)
    await vault.key(SHOP, 2, is_kept=True)  # made for an append that never came
    await vault.forget_all()
    assert await opened(vault) == {"KEY": VALUE}
    await rotate(handler, vault)
    await vault.forget_all()
    assert await opened(vault) == {"KEY": VALUE}


async def test_the_keys_of_a_deleted_project_are_destroyed(handler: Handler, keys: Keys) -> None:
    vault = Vault(handler.states, keys)
    await set_(handler, vault)
    await handler.handle(projects.decider, SHOP.id, DeleteProject(), BY)
    await vault.forget(SHOP)
    assert await keys.find(" secrets/") == []


async def test_a_value_whose_key_is_lost_stays_as_it_is_and_can_be_set_again(handler: Handler, keys: Keys) -> None:
    vault = Vault(handler.states, keys)
    await set_(handler, vault)
    await keys.destroy([SHOP.key(1)])
    await set_(handler, vault, "OTHER", "another value")
    await rotate(handler, vault)
    assert await opened(vault) == {"OTHER": "another value"}
    await set_(handler, vault)
    assert await opened(vault) == {"KEY": VALUE, "OTHER": "another value"}


async def test_a_dry_run_keeps_no_key(handler: Handler, keys: Keys) -> None:
    vault = Vault(handler.states, keys)
    work = partial(
        use_cases.set_secret, owner=SHOP, name="KEY", value=VALUE, by="ann", at=AT, vault=vault, is_kept=False
    )
    await handler.transact(work, projects.decider, BY, dry_run=True)
    assert await keys.find(" secrets/") == []
