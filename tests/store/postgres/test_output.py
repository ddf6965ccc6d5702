"""The output of steps that several nodes store in one PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain.deployment.step import Phase
from store import ids
from store.log import LogUnavailable
from store.output import OutputChunk, OutputLine
from store.postgres import connection
from store.postgres.output import PostgresOutput
from tests.proxy import far
from tests.store.sample import A, B, C, followed, take

API, WEB = B, C
"""Services; A is a deployment."""

Nodes = tuple[PostgresOutput, PostgresOutput]


@pytest.fixture
async def nodes(database: str) -> AsyncIterator[Nodes]:
    first, second = await PostgresOutput.open(database), await PostgresOutput.open(database)
    yield first, second
    await first.close()
    await second.close()


async def test_who_follows_on_another_node_gets_every_line_as_it_was_printed(nodes: Nodes) -> None:
    first, second = nodes
    await first.append(A, API, Phase.BUILD, 1, ["before"], offset=7)
    following = asyncio.create_task(take(followed(second, A), 3))
    await first.append(A, API, Phase.BUILD, 1, ["a\x00b", "\N{GRINNING FACE}"], offset=20)
    assert [line.text for line in await following] == ["before", "a\x00b", "\N{GRINNING FACE}"]


async def test_who_waits_on_another_node_is_told_of_each_line(nodes: Nodes) -> None:
    first, second = nodes
    follower = followed(second, A)
    async with asyncio.timeout(30):
        for number in range(10):
            following = asyncio.create_task(take_next(follower))
            await first.append(A, API, Phase.BUILD, 1, [f"{number}"])
            assert await following == [f"{number}"]
    await follower.aclose()


async def take_next(follower: AsyncGenerator[Sequence[OutputLine], None]) -> list[str]:
    return [line.text for line in await anext(follower)]


async def test_who_follows_goes_on_when_the_database_is_back(
    database: str, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 0.1)
    async with far(database) as (proxy, dsn):
        away = await PostgresOutput.open(dsn)
        follower = followed(away, A)
        await nodes[0].append(A, API, Phase.BUILD, 1, ["before"], offset=7)
        assert await take_next(follower) == ["before"]
        proxy.hush()
        proxy.cut()
        with pytest.raises(LogUnavailable):
            await away.read(A)
        following = asyncio.create_task(take(follower, 1))
        await nodes[0].append(A, API, Phase.BUILD, 1, ["after"], offset=13)
        connections = proxy.connections
        while proxy.connections < connections + 4 and not following.done():  # it has tried, too
            await asyncio.sleep(0.01)
        proxy.speak()
        assert [line.text for line in await following] == ["after"]
        await away.close()


async def test_lines_from_several_nodes_are_numbered_through(nodes: Nodes) -> None:
    await asyncio.gather(
        *(
            node.append(A, service, Phase.BUILD, 1, [f"{number}"])
            for number in range(20)
            for node, service in zip(nodes, (API, WEB), strict=True)
        )
    )
    assert [line.number for line in await nodes[0].read(A)] == list(range(1, 41))


async def test_an_attempt_that_begins_again_is_stored_from_its_beginning(nodes: Nodes) -> None:
    first, second = nodes
    await first.append(A, API, Phase.BUILD, 1, ["there"], offset=6)
    await second.reset_offset(A, API, Phase.BUILD, 1)
    assert await first.offset(A, API, Phase.BUILD, 1) == 0
    await second.append(A, API, Phase.BUILD, 1, ["here"], offset=5)
    assert [line.text for line in await first.read(A)] == ["there", "here"]


async def test_who_follows_a_deployment_is_not_woken_by_what_others_print(database: str, nodes: Nodes) -> None:
    asked: Counter[UUID] = Counter()

    class Counting(PostgresOutput):
        async def chunks(self, deployment: UUID, *arguments: Any, **named: Any) -> Sequence[OutputChunk]:
            asked[deployment] += 1
            return await super().chunks(deployment, *arguments, **named)

    first, _ = nodes
    third = await Counting.open(database)
    printing = followed(third, A)
    quiet = [asyncio.create_task(take(followed(third, ids.new()), 1)) for _ in range(10)]
    for number in range(5):
        await first.append(A, API, Phase.BUILD, 1, [f"{number}"])
        assert [line.text for line in await anext(printing)] == [f"{number}"]
    assert max(asked[deployment] for deployment in asked if deployment != A) <= 2  # the second when listening begins
    for following in quiet:
        following.cancel()
    await printing.aclose()
    await third.close()


async def test_a_connection_listens_only_while_somebody_follows(database: str, nodes: Nodes) -> None:
    async def listening() -> int:
        """How many connections were last asked whether they are still there."""
        [(count,)] = await watcher.fetch(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT'"
        )
        return int(count)

    watcher = await asyncpg.connect(database)
    first, second = nodes
    await first.append(A, API, Phase.BUILD, 1, ["line"])
    assert await second.read(A)
    assert await listening() == 0
    followers = [followed(second, A), followed(second, A)]
    for follower in followers:
        await anext(follower)
    while await listening() == 0:
        await asyncio.sleep(0.01)
    await followers[0].aclose()
    assert await listening() == 1
    await followers[1].aclose()
    while await listening() == 1:
        await asyncio.sleep(0.01)
    await watcher.close()
