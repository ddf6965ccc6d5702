from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from application import actor as actors
from application.actor import Profile, Profiles
from application.handler import Handler
from domain.actor import ACTORS, ActorId, ForgetActor, SetProfile, decider
from store.keys import Keys
from store.log import EventLog
from store.postgres.keys import PostgresKeys
from store.postgres.log import PostgresLog
from store.sqlite.keys import SqliteKeys
from tests.store.sample import ANN as BY

ANN = ActorId("ann")
BOB = ActorId("bob")
PROFILE = Profile(name="Ann Example – é", address="ann@example.org")


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
def handler(log: EventLog) -> Handler:
    return Handler(log)


async def know(handler: Handler, keys: Keys, actor: ActorId = ANN, profile: Profile = PROFILE) -> bytes:
    key = await keys.make(actor)
    command = SetProfile(actor=actor, sealed=actors.seal(key, actor, profile))
    await handler.handle(decider, ACTORS, command, BY)
    return key


async def forget(handler: Handler, actor: ActorId = ANN) -> None:
    await handler.handle(decider, ACTORS, ForgetActor(actor=actor), BY)


def whole(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("keys.db*"))


async def test_a_profile_is_in_the_log_and_only_its_key_opens_it(handler: Handler, keys: Keys) -> None:
    key = await know(handler, keys)
    holder = Profiles(handler.states, keys)
    assert await holder.profiles() == {ANN: PROFILE}
    assert await holder.profiles({BOB, ANN, "engine"}) == {ANN: PROFILE}
    exported = (await handler.log.export()).lines.decode()
    assert "Example" not in exported
    assert "example.org" not in exported
    (kept,) = (await holder.state()).actors
    text = kept.sealed or ""
    assert actors.unseal(key, ANN, text) == PROFILE
    assert actors.unseal(key, BOB, text) is None
    assert actors.unseal(await keys.make(BOB), ANN, text) is None


async def test_who_is_forgotten_has_no_key_any_more(handler: Handler, keys: Keys, tmp_path: Path) -> None:
    key = await know(handler, keys)
    bobs = await know(handler, keys, BOB)
    before = (await handler.log.export()).lines
    await forget(handler)
    holder = Profiles(handler.states, keys)
    await holder.forget(ANN)
    assert await holder.profiles() == {BOB: PROFILE}
    assert (await handler.log.export()).lines.startswith(before)
    assert await keys.get([ANN, BOB]) == {BOB: bobs}
    assert key not in whole(tmp_path)


async def test_a_key_is_not_destroyed_before_the_log_says_so(handler: Handler, keys: Keys) -> None:
    await know(handler, keys)
    holder = Profiles(handler.states, keys)
    await holder.forget(ANN)
    assert await holder.profiles() == {ANN: PROFILE}


async def test_a_key_that_a_crash_left_over_is_destroyed_at_the_next_start(handler: Handler, keys: Keys) -> None:
    await know(handler, keys)
    await know(handler, keys, BOB)
    await forget(handler)
    await Profiles(handler.states, keys).forget_all()
    assert set(await keys.get([ANN, BOB])) == {BOB}


async def test_keys_outlive_the_server(tmp_path: Path) -> None:
    first = await SqliteKeys.open(tmp_path / "again.db")
    key = await first.make(ANN)
    assert key == await first.make(ANN)
    await first.close()
    second = await SqliteKeys.open(tmp_path / "again.db")
    assert {ANN: key} == await second.get([ANN, BOB])
    assert (tmp_path / "again.db").stat().st_mode & 0o777 == 0o600
    await second.close()


def test_a_request_is_known_by_a_digest_that_its_key_makes() -> None:
    assert actors.digest(b"a", "request") == actors.digest(b"a", "request")
    assert actors.digest(b"a", "request") != actors.digest(b"b", "request")
