"""The roster of workers: those on a PostgreSQL (see jobs.sql), or the one engine of a server on SQLite."""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from application.worker import WorkerStatus, WorkerWait
from domain.deployment.queue import DeploymentId
from domain.project import EnvironmentId
from runner.jobs import STALLED
from store.postgres.connection import DedicatedConnection, Prepare

LIST = """
    SELECT w.name, m.name AS machine, w.started_at, w.seen_at, w.seen_at < now() - make_interval(secs => $1) AS silent
    FROM workers w JOIN machines m ON m.id = w.machine ORDER BY w.started_at, w.name
"""

WAITS = """
    SELECT (j.args ->> 'deployment')::uuid AS deployment, m.name AS machine,
        extract(epoch FROM now() - m.seen_at)::float AS silence
    FROM procrastinate_jobs j LEFT JOIN machines m ON j.queue_name = queue_of(m.id)
    WHERE j.status IN ('todo', 'doing') AND NOT EXISTS (
        SELECT FROM machines able WHERE able.seen_at > now() - make_interval(secs => $1)
            AND (m.id IS NULL OR able.id = m.id)
    )
    ORDER BY j.id
"""
"""A machine has a heartbeat while any of its workers has one."""


HOME = "SELECT m.id, m.name FROM homes h JOIN machines m ON m.id = h.machine WHERE h.environment = $1"


class LocalRoster:
    """The roster of a server on SQLite, whose own engine, called *worker*, carries out every deployment."""

    def __init__(self, worker: str) -> None:
        self._worker, self._started_at = worker, datetime.now(UTC)

    async def list(self) -> Sequence[WorkerStatus]:
        """Return the engine: it is alive, since it answers."""
        return [
            WorkerStatus(
                name=self._worker,
                machine=socket.gethostname(),
                started_at=self._started_at,
                heartbeat_at=datetime.now(UTC),
                is_silent=False,
            )
        ]

    async def waits(self) -> Sequence[WorkerWait]:
        return ()

    async def elsewhere(self, environment: EnvironmentId) -> None:
        return None


class SharedRoster:
    """The roster of the workers on the database *dsn*; *here* is the machine of this server, if it is a worker, too."""

    def __init__(self, dsn: str, here: UUID | None, *prepare: Prepare) -> None:
        self._here = here
        self._connection = DedicatedConnection(dsn, *prepare)

    async def list(self) -> Sequence[WorkerStatus]:
        return [
            WorkerStatus(
                name=row["name"],
                machine=row["machine"],
                started_at=row["started_at"],
                heartbeat_at=row["seen_at"],
                is_silent=row["silent"],
            )
            for row in await self._connection.fetch(LIST, STALLED)
        ]

    async def waits(self) -> Sequence[WorkerWait]:
        return [
            WorkerWait(deployment=DeploymentId(row["deployment"]), machine=row["machine"], silence=row["silence"])
            for row in await self._connection.fetch(WAITS, STALLED)
        ]

    async def elsewhere(self, environment: EnvironmentId) -> str | None:
        for row in await self._connection.fetch(HOME, environment):
            if row["id"] != self._here:
                return str(row["name"])
        return None

    async def close(self) -> None:
        self._connection.close()
