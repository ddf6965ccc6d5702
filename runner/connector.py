"""
procrastinate's connector to PostgreSQL, for workers that run many short jobs.

procrastinate's own connector sends four statements for each job where one is enough. This one fetches several jobs with
one statement. Jobs that end while such a statement runs are deleted together by the next one.

No commit waits for the disk. The log has the state of a deployment. If a crash of the database undoes the fetch or the
deletion of a job, another worker gets the job, and finds in the log what is left to do.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, LiteralString
from uuid import UUID

import asyncpg
from procrastinate.connector import BaseAsyncConnector, Notify
from procrastinate.exceptions import ConnectorException, NoResult
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from runner.retry import backoff
from store.log import LogUnavailable
from store.postgres.connection import Connection, Pool, Prepare, Record
from store.postgres.listener import Listener

CONNECTIONS = 3
"""Maximum number of connections of a worker's pool."""

MAX_FETCHED = 8
"""Maximum number of jobs that one statement fetches, so that workers share the backlog."""

FETCH_JOBS = "SELECT (fetched.job).*, home, lost FROM fetch_jobs($1, $2, $3, $4, make_interval(secs => $5)) AS fetched"
DELETE_JOBS = "DELETE FROM procrastinate_jobs WHERE id = ANY ($1)"
RELEASE_JOBS = "UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL WHERE id = ANY ($1) AND worker_id = $2"

RAISE_EXCEPTION = "P0001"
"""SQLSTATE of procrastinate's functions for a job that does not exist or is not running."""

JOB_INSERTED = json.dumps({"type": "job_inserted", "job_id": 0})
"""Payload of a notification of a new job. procrastinate ignores the job's id."""

PARAMETER = re.compile(r"%\((\w+)\)s")
"""A parameter in procrastinate's statements."""


@contextmanager
def _connector_errors() -> Iterator[None]:
    """Raise `ConnectorException` from `LogUnavailable`."""
    try:
        yield
    except LogUnavailable as error:
        raise ConnectorException from error


class Connector(BaseAsyncConnector):
    """A connector to the database *dsn*. When the database is unavailable, it raises `ConnectorException`.

    The cause of that exception is the `LogUnavailable` with the reason.
    """

    pool: Pool

    def __init__(self, dsn: str, *prepare: Prepare) -> None:
        self._dsn, self._prepare = dsn, prepare

    async def open_async(self, pool: Any = None) -> None:
        with _connector_errors():
            # The release of lost machines' jobs joins two tables that may both be long.
            self.pool = await Pool.open(self._dsn, CONNECTIONS, *self._prepare, _set_up, enable_hashjoin="on")

    async def close_async(self) -> None:
        await self.pool.close()

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        statement, names = _numbered(query)
        with _connector_errors():
            return [dict(row) for row in await self.pool.fetch(statement, *(arguments[name] for name in names))]

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        for row in await self.execute_query_all_async(query, **arguments):
            return row
        raise NoResult

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """Run *query*; repeat it after a lost connection, since otherwise the job would stay with this worker."""
        try:
            await self.execute_query_all_async(query, **arguments)
        except ConnectorException as error:
            if not _is_other_workers(error):
                await self.execute_query_all_async(query, **arguments)

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        notified = asyncio.Event()
        listener = Listener(self._dsn, channels, lambda _: notified.set())
        try:
            while True:
                await notified.wait()
                notified.clear()
                await on_notification(channel="", payload=JOB_INSERTED)
        finally:
            await listener.close()


class Manager(JobManager):
    """A job manager that fetches and deletes several jobs at a time, for a worker of *machine*.

    *most* is the maximum number of jobs that run at once. A machine silent for *gone* seconds is lost. A fetch also
    binds the environments of local targets to a machine; see jobs.sql.
    """

    def __init__(self, connector: Connector, machine: UUID, gone: float, most: int) -> None:
        super().__init__(connector)
        self._connector, self._machine, self._gone = connector, machine, gone
        self._free = most
        self._fetched: list[Job] = []
        self._done: list[int] = []
        self._deletion: asyncio.Task[None] | None = None

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        if not self._fetched:
            count = max(1, min(MAX_FETCHED, self._free))
            arguments = queues, worker_id, count, self._machine, self._gone
            try:
                with _connector_errors():
                    rows = await self._connector.pool.fetch(FETCH_JOBS, *arguments)
            except asyncpg.ForeignKeyViolationError as error:  # its row of the workers was deleted
                raise ConnectorException from LogUnavailable(f"Other workers took this one for stalled ({error}).")
            self._fetched = [_job(row) for row in reversed(rows)]
        if not self._fetched:
            return None
        self._free -= 1
        return self._fetched.pop()

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Delete a successful job later, without waiting. If that fails, another worker finds nothing left to do."""
        self._free += 1
        if status is not Status.SUCCEEDED or not delete_job:
            await super().finish_job(job, status, delete_job)
            return
        assert job.id is not None
        self._done.append(job.id)
        if self._deletion is None:
            self._deletion = asyncio.create_task(self._delete())

    async def retry_job(self, job: Job, *arguments: Any, **named: Any) -> None:
        self._free += 1
        await super().retry_job(job, *arguments, **named)

    async def close(self) -> None:
        """Delete the finished jobs, and release the fetched ones that have not begun.

        Without that, other workers would get them only when this worker counts as stalled. A job that was released
        meanwhile stays with its new worker.
        """
        if self._deletion is not None:
            self._deletion.cancel()
            await asyncio.wait([self._deletion])
        left = self._fetched
        with suppress(LogUnavailable):
            if self._done:
                await self._connector.pool.fetch(DELETE_JOBS, self._done)
            if left:
                await self._connector.pool.fetch(RELEASE_JOBS, [job.id for job in left], left[0].worker_id)

    async def _delete(self) -> None:
        """Delete all finished jobs: one that stayed would keep the next job of its environment from being fetched."""
        waits = backoff()
        while self._done:
            ids = list(self._done)
            try:
                await self._connector.pool.fetch(DELETE_JOBS, ids)
            except LogUnavailable:
                await asyncio.sleep(next(waits))
            else:
                del self._done[: len(ids)]
        self._deletion = None


def _is_other_workers(error: ConnectorException) -> bool:
    """Return whether *error* concerns a job that this worker no longer has, and that needs no retry."""
    return error.__cause__ is not None and getattr(error.__cause__.__cause__, "sqlstate", None) == RAISE_EXCEPTION


class FetchedJob(Job):
    """A job with a short log context."""

    def log_context(self) -> dict[str, Any]:
        """Return the id alone: procrastinate calls this four times for every job, logged or not."""
        return {"id": self.id}


def _job(row: Record) -> Job:
    """Return the fetched job, with the machine binding of its environment among its arguments."""
    args = row["args"] | {"home": row["home"], "lost": row["lost"]}
    return FetchedJob.from_row({**dict(row), "args": args})


async def _set_up(connection: Connection) -> None:
    await connection.execute("SET synchronous_commit = off")
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


@cache
def _numbered(query: str) -> tuple[str, tuple[str, ...]]:
    """Return the statement with asyncpg's parameters, and the names of these in order."""
    names = tuple(dict.fromkeys(PARAMETER.findall(query)))
    return PARAMETER.sub(lambda found: f"${1 + names.index(found[1])}", query), names
