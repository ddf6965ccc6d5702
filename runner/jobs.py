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
from uuid import UUID

from msgspec import Struct
from procrastinate import App, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy

from domain.deployment.queue import DeploymentId
from domain.project import EnvironmentId
from runner.connector import Connector, Manager
from runner.machine import Machine
from store.log import LogUnavailable
from store.postgres import meta
from store.postgres.connection import Connection, Prepare, connect
from store.postgres.errors import translate_errors
from store.postgres.locks import LOCK_TABLES
from store.postgres.meta import Meta
from store.postgres.schema import newer_version_message

HEARTBEAT = 1.0
"""Seconds between two signs of life of a worker."""

STALLED = 4.0
"""Seconds without one after which another worker takes up what it was about."""

POLL = 0.5
"""Seconds after which a worker looks for jobs although nobody told it of any."""

MOST = 200
"""Deployments that a worker drives at once."""

VERSION = 7
"""Of jobs.sql: it is counted up when that changes, so that an older version of Stageline leaves it alone."""


class Home(Struct, frozen=True):
    """The machine that an environment's processes are on, and the name of the one before, if it is to be said gone."""

    machine: UUID
    lost: str | None


Drive = Callable[[DeploymentId, Home | None], Awaitable[None]]


class HandOver(BaseRetryStrategy):
    """However a worker comes to leave a deployment before it is over: another drives it on."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        return RetryDecision()


def is_news(record: logging.LogRecord) -> bool:
    """Not so for a database that is away, and for a job that another worker has done: both are said in a line."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectorException))


class Jobs:
    """Those that *machine* may do in the database *dsn*. A machine not heard of for *gone* seconds is gone for good."""

    def __init__(self, dsn: str, machine: Machine, gone: float, *prepare: Prepare) -> None:
        self._dsn, self._machine, self._gone = dsn, machine, gone
        self._connector = Connector(dsn, *prepare)
        self._manager = Manager(self._connector, machine.id, gone, MOST)
        self._app = App(connector=self._connector)
        self._app.job_manager = self._manager

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Jobs"]:
        """Raises `LogUnavailable` if the database can't be reached, or goes away meanwhile."""
        try:
            async with self._app.open_async():
                yield self
        except ConnectorException as error:
            raise LogUnavailable(str(error.__cause__)) from error

    async def work(self, queues: Iterable[str], drive: Drive) -> None:
        """Has *drive* do jobs until this is cancelled, or the database goes away; then it lets go of all of them."""

        @self._app.task(name="drive", retry=HandOver())
        async def _(deployment: str, home: UUID | None, lost: str | None) -> None:
            await drive(DeploymentId(UUID(deployment)), Home(home, lost) if home else None)

        try:
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
        finally:
            await self._manager.close()

    async def greet(self) -> bool:
        """Says that the machine lives; whether it was taken for gone."""
        [(was_gone,)] = await self._connector.pool.fetch(
            "SELECT greet($1, $2, make_interval(secs => $3))", self._machine.id, self._machine.name, self._gone
        )
        return bool(was_gone)

    async def hand_on(self) -> list[tuple[DeploymentId, str | None]]:
        """Hands on what stalled workers were about: deployments, and the machine's name that each has to wait for."""
        rows = await self._connector.pool.fetch(
            "SELECT * FROM hand_on($1, make_interval(secs => $2), make_interval(secs => $3))",
            self._machine.id,
            STALLED,
            self._gone,
        )
        return [(DeploymentId(UUID(row["deployment"])), row["machine"]) for row in rows]

    async def said(self, environment: EnvironmentId) -> None:
        """Nobody is told any more that the machine is gone that *environment* was on before."""
        await self._connector.pool.fetch("UPDATE homes SET lost = NULL WHERE environment = $1", environment)

    async def elsewhere(self) -> set[EnvironmentId]:
        """The environments that are on other machines."""
        rows = await self._connector.pool.fetch("SELECT environment FROM homes WHERE machine <> $1", self._machine.id)
        return {EnvironmentId(row["environment"]) for row in rows}


async def prepare(dsn: str) -> None:
    """Makes the tables, or brings what is ours of them up to date; the log's are there.

    Raises `LogUnavailable`, also if a newer version of Stageline has brought them up to date.
    """
    script = (files("runner") / "jobs.sql").read_text()
    with translate_errors(dsn):
        connection = await connect(dsn, timeout=None)  # whoever migrates just now is waited for
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = 0")  # whoever migrates just now is waited for
                await connection.execute(LOCK_TABLES)
                if not await connection.fetchval("SELECT to_regclass('procrastinate_jobs') IS NOT NULL"):
                    await connection.execute((files("procrastinate.sql") / "schema.sql").read_text())
                found = await meta.get(connection, Meta.JOBS)
                if _number(found) > VERSION:
                    raise LogUnavailable(newer_version_message(dsn, "the schema of its jobs", _number(found), VERSION))
                version = f"{VERSION} {sha256(script.encode()).hexdigest()}"
                if version != found:
                    await connection.execute(script)
                    await meta.put(connection, Meta.JOBS, version)
        finally:
            await connection.close(timeout=1)


@asynccontextmanager
async def taken_over(connection: Connection, machine: Machine) -> AsyncIterator[None]:
    """Defers what was under way in a log that comes into the database meanwhile, whole, in one transaction with this.

    The processes of its environments are on *machine*.
    """
    await connection.execute("ALTER TABLE stored_events DISABLE TRIGGER deployments_are_deferred")
    yield
    await connection.execute("ALTER TABLE stored_events ENABLE TRIGGER deployments_are_deferred")
    await connection.execute("SELECT take_over($1, $2)", machine.id, machine.name)


def _number(found: str | None) -> int:
    """Which version it was; 0 before they were counted."""
    number, has_number, _ = (found or "").partition(" ")
    return int(number) if has_number else 0
