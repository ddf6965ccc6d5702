"""
The jobs of deployments in procrastinate's tables: appends to the log defer them, and workers fetch them.

jobs.sql adds to procrastinate's schema: the trigger that defers a job, the machine that an environment is bound to, and
the release of the jobs of stalled workers.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
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
"""Time between two heartbeats of a worker, in seconds."""

STALLED = 4.0
"""Time without a heartbeat after which other workers resume the deployments of a worker, in seconds."""

POLL = 0.5
"""Time between two polls for jobs without a notification, in seconds."""

MAX_DEPLOYMENTS = 200
"""Maximum number of deployments that a worker runs at once."""

VERSION = 11
"""Version of jobs.sql.

Increase it with a change that an older Stageline can't work with: it then refuses the database.
"""


class MachineBinding(Struct, frozen=True):
    """The machine that an environment is bound to, and the name of the lost one before it, until that is noted."""

    machine: UUID
    lost: str | None


Drive = Callable[[DeploymentId, MachineBinding | None], Awaitable[None]]


class HandOver(BaseRetryStrategy):
    """The strategy that retries every interrupted job at once, on any worker."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        return RetryDecision()


def is_reportable(record: logging.LogRecord) -> bool:
    """Return False for procrastinate's traces of a lost database or job: the worker logs a line of its own."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectorException))


class Jobs:
    """The jobs in the database *dsn* that *worker*, on *machine*, may run.

    A machine silent for *gone* seconds is lost.
    """

    def __init__(self, dsn: str, worker: str, machine: Machine, gone: float, *prepare: Prepare) -> None:
        self._dsn, self._worker, self._machine, self._gone = dsn, worker, machine, gone
        self._connector = Connector(dsn, *prepare)
        self._manager = Manager(self._connector, machine.id, gone, MAX_DEPLOYMENTS)
        self._app = App(connector=self._connector)
        self._app.job_manager = self._manager

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Jobs"]:
        """Connect for the duration of the block; raise `LogUnavailable` when the database is unavailable."""
        try:
            async with self._app.open_async():
                yield self
        except ConnectorException as error:
            raise LogUnavailable(str(error.__cause__)) from error

    async def work(self, queues: Iterable[str], drive: Drive) -> None:
        """Run jobs with *drive* until cancelled, or until the database is unavailable; then release them."""

        @self._app.task(name="drive", retry=HandOver())
        async def _(deployment: str, home: UUID | None, lost: str | None) -> None:
            await drive(DeploymentId(UUID(deployment)), MachineBinding(home, lost) if home else None)

        try:
            await self._app.run_worker_async(
                queues=list(queues),
                name=self._machine.name,
                concurrency=MAX_DEPLOYMENTS,
                fetch_job_polling_interval=POLL,
                update_heartbeat_interval=HEARTBEAT,
                stalled_worker_timeout=STALLED,
                shutdown_graceful_timeout=0,
                delete_jobs="successful",
                install_signal_handlers=False,
            )
        finally:
            await self._manager.close()
            with suppress(LogUnavailable):
                await self._connector.pool.fetch("DELETE FROM workers WHERE name = $1", self._worker)

    async def declare(self, is_local: Mapping[str, bool]) -> None:
        """Declare which targets this worker has, by their names, and whether they run services on its own machine."""
        for target, local in is_local.items():
            await self._connector.pool.fetch("SELECT declare_target($1, $2)", target, local)

    async def heartbeat(self) -> bool:
        """Record a heartbeat of the worker and its machine; return whether that was taken for lost before."""
        [(was_gone,)] = await self._connector.pool.fetch(
            "SELECT greet($1, $2, make_interval(secs => $3))", self._machine.id, self._machine.name, self._gone
        )
        await self._connector.pool.fetch("SELECT report_worker($1, $2)", self._worker, self._machine.id)
        return bool(was_gone)

    async def release_stalled(self) -> list[tuple[DeploymentId, str | None]]:
        """Release the jobs of stalled workers; return their deployments, and the machine that each must wait for."""
        rows = await self._connector.pool.fetch(
            "SELECT * FROM hand_on($1, make_interval(secs => $2), make_interval(secs => $3))",
            self._machine.id,
            STALLED,
            self._gone,
        )
        return [(DeploymentId(UUID(row["deployment"])), row["machine"]) for row in rows]

    async def clear_lost(self, environment: EnvironmentId) -> None:
        """Forget the lost machine that *environment* was bound to before: its steps' restart is noted."""
        await self._connector.pool.fetch("UPDATE homes SET lost = NULL WHERE environment = $1", environment)

    async def environments_elsewhere(self) -> set[EnvironmentId]:
        """Return the environments that are bound to other machines."""
        rows = await self._connector.pool.fetch("SELECT environment FROM homes WHERE machine <> $1", self._machine.id)
        return {EnvironmentId(row["environment"]) for row in rows}


async def prepare(dsn: str) -> None:
    """Create or update the tables of jobs, in a database that has the log's tables.

    Raises `LogUnavailable`, also if a newer version of Stageline has updated them.
    """
    script = (files("runner") / "jobs.sql").read_text()
    with translate_errors(dsn):
        connection = await connect(dsn, timeout=None)  # waits for a concurrent migration
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = 0")  # waits for a concurrent migration
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
async def take_over(connection: Connection, machine: Machine) -> AsyncIterator[None]:
    """Defer the open deployments of a log that is copied into the database within the block, in its transaction.

    Its environments are bound to *machine*.
    """
    await connection.execute("ALTER TABLE stored_events DISABLE TRIGGER deployments_are_deferred")
    yield
    await connection.execute("ALTER TABLE stored_events ENABLE TRIGGER deployments_are_deferred")
    await connection.execute("SELECT take_over($1, $2)", machine.id, machine.name)


def _number(found: str | None) -> int:
    """Return the version in a stored value; 0 for one without a version."""
    number, has_number, _ = (found or "").partition(" ")
    return int(number) if has_number else 0
