"""
procrastinate's way to PostgreSQL, for workers that do many short jobs.

Its own asks four times where once is enough, and once for every job. Here several jobs are fetched by one statement,
and those that end while others are being said to be done are said to be so together.

Nothing of it waits for the disk. What is true of a deployment is in the log: if the database crashes and forgets that
a job was fetched or done, another worker gets it, and finds in the log what is left to do.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID

from procrastinate.connector import BaseAsyncConnector, Notify
from procrastinate.exceptions import ConnectorException, NoResult
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from runner.retry import backoff
from store.log import LogUnavailable
from store.postgres.connection import Pool, Prepare
from store.postgres.listener import Listener

if TYPE_CHECKING:
    from store.postgres.connection import Connection, Record

CONNECTIONS = 3

AT_ONCE = 8
"""Jobs at most that are fetched by one statement: so that workers share what waits."""

FETCH = "SELECT (fetched.job).*, home, lost FROM fetch_jobs($1, $2, $3, $4, make_interval(secs => $5)) AS fetched"
DONE = "DELETE FROM procrastinate_jobs WHERE id = ANY ($1)"
LET_GO = "UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL WHERE id = ANY ($1) AND worker_id = $2"

ANOTHERS = "P0001"
"""What the database's functions raise of a job that isn't there, or isn't being done."""

NEWS = json.dumps({"type": "job_inserted", "job_id": 0})
"""Which one it is nobody asks."""

PARAMETER = re.compile(r"%\((\w+)\)s")


@contextmanager
def procrastinates() -> Iterator[None]:
    """Turns `LogUnavailable` into what procrastinate knows, with that as its cause."""
    try:
        yield
    except LogUnavailable as error:
        raise ConnectorException from error


class Connector(BaseAsyncConnector):
    """The database *dsn*. Raises `ConnectorException` from the `LogUnavailable` that says what is wrong with it."""

    pool: Pool

    def __init__(self, dsn: str, *prepare: Prepare) -> None:
        self._dsn, self._prepare = dsn, prepare

    async def open_async(self, pool: Any = None) -> None:
        with procrastinates():
            # hashed is what finds the jobs of machines that are gone: there may be many of both
            self.pool = await Pool.open(self._dsn, CONNECTIONS, *self._prepare, _set_up, enable_hashjoin="on")

    async def close_async(self) -> None:
        await self.pool.close()

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        statement, names = _numbered(query)
        with procrastinates():
            return [dict(row) for row in await self.pool.fetch(statement, *(arguments[name] for name in names))]

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        for row in await self.execute_query_all_async(query, **arguments):
            return row
        raise NoResult

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """Says again what became of a job when its connection broke: else the job would be this worker's for ever."""
        try:
            await self.execute_query_all_async(query, **arguments)
        except ConnectorException as error:
            if not _is_anothers(error):
                await self.execute_query_all_async(query, **arguments)

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        told = asyncio.Event()
        listener = Listener(self._dsn, channels, lambda _: told.set())
        try:
            while True:
                await told.wait()
                told.clear()
                await on_notification(channel="", payload=NEWS)
        finally:
            await listener.close()


class Manager(JobManager):
    """Fetches and ends jobs several at a time, for a worker of *machine* that does *most* of them at once.

    What it fetches for processes is settled with that: see jobs.sql.
    """

    def __init__(self, connector: Connector, machine: UUID, gone: float, most: int) -> None:
        super().__init__(connector)
        self._connector, self._machine, self._gone = connector, machine, gone
        self._free = most
        self._fetched: list[Job] = []
        self._done: list[int] = []
        self._ending: asyncio.Task[None] | None = None

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        if not self._fetched:
            count = max(1, min(AT_ONCE, self._free))
            with procrastinates():
                rows = await self._connector.pool.fetch(FETCH, queues, worker_id, count, self._machine, self._gone)
            self._fetched = [_job(row) for row in reversed(rows)]
        if not self._fetched:
            return None
        self._free -= 1
        return self._fetched.pop()

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Waits for nothing: a job that isn't said to be done is another's, who finds that there is nothing to do."""
        self._free += 1
        if status is not Status.SUCCEEDED or not delete_job:
            await super().finish_job(job, status, delete_job)
            return
        assert job.id is not None
        self._done.append(job.id)
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())

    async def retry_job(self, job: Job, *arguments: Any, **named: Any) -> None:
        self._free += 1
        await super().retry_job(job, *arguments, **named)

    async def close(self) -> None:
        """Says that what is done is, and lets go of what was fetched and not begun: sooner than others would see it.

        What was handed on meanwhile is another worker's.
        """
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.wait([self._ending])
        left = self._fetched
        with suppress(LogUnavailable):
            if self._done:
                await self._connector.pool.fetch(DONE, self._done)
            if left:
                await self._connector.pool.fetch(LET_GO, [job.id for job in left], left[0].worker_id)

    async def _end(self) -> None:
        """Until nothing is left: a job that stayed behind would keep its environment's next one from being fetched."""
        waits = backoff()
        while self._done:
            ids = list(self._done)
            try:
                await self._connector.pool.fetch(DONE, ids)
            except LogUnavailable:
                await asyncio.sleep(next(waits))
            else:
                del self._done[: len(ids)]
        self._ending = None


def _is_anothers(error: ConnectorException) -> bool:
    """Whether it is about a job that this worker hasn't any more; others do as it is with that."""
    return error.__cause__ is not None and getattr(error.__cause__.__cause__, "sqlstate", None) == ANOTHERS


class Fetched(Job):
    def log_context(self) -> dict[str, Any]:
        """Little: it is made four times for every job, whether it is logged or not."""
        return {"id": self.id}


def _job(row: "Record") -> Job:
    """A job that was fetched; what was settled are arguments of its own."""
    args = row["args"] | {"home": row["home"], "lost": row["lost"]}
    return Fetched.from_row({**dict(row), "args": args})


async def _set_up(connection: "Connection") -> None:
    await connection.execute("SET synchronous_commit = off")
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


@cache
def _numbered(query: str) -> tuple[str, tuple[str, ...]]:
    """The statement with asyncpg's parameters, and their names in their order."""
    names = tuple(dict.fromkeys(PARAMETER.findall(query)))
    return PARAMETER.sub(lambda found: f"${1 + names.index(found[1])}", query), names
