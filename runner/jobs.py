"""
The jobs of deployments in procrastinate's tables: deferred by the log's own appends, fetched by workers.

What is beside procrastinate's own is in jobs.sql: the trigger that defers, which machine an environment's processes
are on, and the handing on of what stalled workers were about.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.resources import files
from typing import Any, LiteralString
from uuid import UUID

from msgspec import Struct
from procrastinate import App, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy

from domain.project import EnvironmentId
from domain.queue import DeploymentId
from runner.machine import Machine
from store.log import LogUnavailable
from store.postgres_connection import ANSWERING, CONNECTING, Pool, connect, explained, target

HEARTBEAT = 1.0
"""Seconds between two signs of life of a worker."""

STALLED = 4.0
"""Seconds without one after which another worker takes up what it was about."""

POLL = 0.5
"""Seconds after which a worker looks for jobs although nobody told it of any."""

MOST = 200
"""Deployments that a worker drives at once."""

CONNECTIONS = 5

ANOTHERS = "P0001"
"""What the database's functions raise of a job that this worker hasn't any more; others do as it is with that job."""

KEEP_VERSION = "INSERT INTO meta VALUES ('jobs', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value"

Drive = Callable[[int, DeploymentId], Awaitable[None]]


class Home(Struct, frozen=True):
    """The machine that an environment is on, and the name of the one that it was on until that was gone."""

    machine: UUID
    lost: str | None


class HandOver(BaseRetryStrategy):
    """However a worker comes to leave a deployment before it is over: another drives it on."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        return RetryDecision()


def is_news(record: logging.LogRecord) -> bool:
    """Not so for a database that is away, and for a job that another worker has done: both are said in a line."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectorException))


class Connector(PsycopgConnector):
    """Says again what became of a job when its connection broke, for else the job would be this worker's for ever."""

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        try:
            await super().execute_query_async(query, **arguments)
        except ConnectorException as error:
            if getattr(error.__cause__, "sqlstate", None) != ANOTHERS:
                await super().execute_query_async(query, **arguments)


class Jobs:
    """Those that *machine* may do in the database *dsn*. A machine not heard of for *gone* seconds is gone for good."""

    def __init__(self, dsn: str, machine: Machine, gone: float) -> None:
        self._dsn, self._machine, self._gone = dsn, machine, gone
        self._connector = Connector(
            conninfo=dsn,
            min_size=1,
            max_size=CONNECTIONS,
            timeout=CONNECTING,
            configure=lambda connection: connection.set_autocommit(True),  # a COMMIT can get lost, and locks then stay
            kwargs={"connect_timeout": int(CONNECTING), "tcp_user_timeout": int(ANSWERING * 1000)},
        )
        self._app = App(connector=self._connector)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Jobs"]:
        """Raises `LogUnavailable` if the database can't be reached, or goes away meanwhile."""
        with explained(self._dsn):  # asked first, for the pool would go on trying, and not say why
            await (await connect(self._dsn)).close(timeout=1)
        try:
            async with self._app.open_async():
                self._pool = await Pool.open(self._dsn, 1)
                try:
                    yield self
                finally:
                    await self._pool.close()
        except ConnectorException as error:
            raise LogUnavailable(f"{target(self._dsn).capitalize()}: {str(error.__cause__).strip()}") from error

    async def work(self, queues: Iterable[str], drive: Drive) -> None:
        """Has *drive* do jobs until this is cancelled, or the database goes away; then it lets go of all of them."""

        @self._app.task(name="drive", pass_context=True, retry=HandOver())
        async def _(context: JobContext, deployment: str) -> None:
            assert context.job.id is not None
            await drive(context.job.id, DeploymentId(UUID(deployment)))

        await self._app.run_worker_async(
            queues=list(queues),
            name=self._machine.name,
            concurrency=MOST,
            fetch_job_polling_interval=POLL,
            update_heartbeat_interval=HEARTBEAT,
            stalled_worker_timeout=STALLED,
            shutdown_graceful_timeout=0,
            delete_jobs="successful",
            install_signal_handlers=False,
        )

    async def greet(self) -> bool:
        """Says that the machine lives; whether it was taken for gone."""
        row = await self._connector.execute_query_one_async(
            "SELECT greet(%(machine)s, %(name)s, make_interval(secs => %(gone)s)) AS was_gone",
            machine=self._machine.id,
            name=self._machine.name,
            gone=self._gone,
        )
        return bool(row["was_gone"])

    async def hand_on(self) -> list[tuple[DeploymentId, str | None]]:
        """Hands on what stalled workers were about: deployments, and the machine's name that each has to wait for."""
        rows = await self._connector.execute_query_all_async(
            "SELECT * FROM hand_on(%(here)s, make_interval(secs => %(stalled)s), make_interval(secs => %(gone)s))",
            here=self._machine.id,
            stalled=STALLED,
            gone=self._gone,
        )
        return [(DeploymentId(UUID(row["deployment"])), row["machine"]) for row in rows]

    async def settle(self, job: int, environment: UUID) -> Home:
        """Has *environment* be on this machine unless it is on another one that isn't gone."""
        [row] = await self._pool.fetch(
            "SELECT * FROM settle($1, $2, $3, make_interval(secs => $4))",
            job,
            environment,
            self._machine.id,
            self._gone,
        )
        return Home(row["home"], row["lost"])

    async def elsewhere(self) -> set[EnvironmentId]:
        """The environments that are on other machines."""
        rows = await self._connector.execute_query_all_async(
            "SELECT environment FROM homes WHERE machine <> %(here)s", here=self._machine.id
        )
        return {EnvironmentId(row["environment"]) for row in rows}


async def prepare(dsn: str) -> None:
    """Makes the tables, or brings what is ours of them up to date; the log's are there. Raises `LogUnavailable`."""
    script = (files("runner") / "jobs.sql").read_text()
    version = sha256(script.encode()).hexdigest()
    with explained(dsn):
        connection = await connect(dsn, answering=None)  # whoever migrates just now is waited for
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = 0")  # whoever migrates just now is waited for
                await connection.execute("SELECT pg_advisory_xact_lock(7263, 0)")
                if not await connection.fetchval("SELECT to_regclass('procrastinate_jobs') IS NOT NULL"):
                    await connection.execute((files("procrastinate.sql") / "schema.sql").read_text())
                if version != await connection.fetchval("SELECT value FROM meta WHERE name = 'jobs'"):
                    await connection.execute(script)
                    await connection.execute(KEEP_VERSION, version)
        finally:
            await connection.close(timeout=1)
