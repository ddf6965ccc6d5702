"""Connections to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

import asyncpg
from asyncpg.connection import LoggedQuery

from store.postgres.errors import InDoubt, translate_errors
from store.round_trip import ROUND_TRIPS

# Strings, since asyncpg's classes take type arguments in the stubs only.
Record: TypeAlias = asyncpg.Record
PoolConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[Record]"
Connection: TypeAlias = "asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]"

Prepare: TypeAlias = Callable[[Connection], Awaitable[None]]
"""Prepares a new connection, or raises an error if it must not be used."""

CONNECT_TIMEOUT = 5.0
"""Maximum time for connecting, in seconds."""

STATEMENT_TIMEOUT = 10.0
"""Maximum time for a statement, in seconds; after it the connection counts as broken."""

CANCEL_TIMEOUT = 1.0
"""Maximum time for cancelling the statement of a cancelled caller, in seconds."""

SETTINGS = {
    "application_name": "stageline",
    "default_transaction_isolation": "read committed",
    # Every statement finds a few rows by an index, in the index's order. PostgreSQL's own plan would scan the whole
    # table if that was empty or small when the statement was planned.
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_sort": "off",
    "idle_in_transaction_session_timeout": "10s",  # a dead client's locks are released soon
    "jit": "off",  # every statement is small
    "lock_timeout": "5s",
    "plan_cache_mode": "force_generic_plan",  # a custom plan is better for no statement
    "tcp_keepalives_idle": "30",
    "timezone": "UTC",
}
"""Settings of each connection. A statement sets them, since PgBouncer refuses unknown startup parameters."""

DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"


@contextmanager
def _translate_errors_of(connection: Connection, dsn: str) -> Iterator[None]:
    """Raise errors of *connection* as `InDoubt` or `LogUnavailable`."""
    with translate_errors(dsn, InDoubt):
        try:
            yield
        except AttributeError as fault:  # asyncpg's, if the connection is terminated after preparing a statement
            with suppress(asyncpg.InterfaceError):  # the pool has released it
                if not connection.is_closed():
                    raise
            raise asyncpg.ConnectionDoesNotExistError("the connection was closed during the statement") from fault


async def connect(dsn: str, timeout: float | None = STATEMENT_TIMEOUT) -> "asyncpg.Connection[Record]":
    """Return a new connection; *timeout* is the maximum time of a statement, in seconds. Raises asyncpg's errors."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT, command_timeout=timeout)
    try:
        await _apply(connection, SETTINGS)
    except BaseException:
        connection.terminate()
        raise
    return connection


class Pool:
    """A pool of at most *size* connections, made on demand.

    After a timeout of one connection, none of the other connections is used again: they may hang, too.
    """

    def __init__(self, dsn: str, pool: "asyncpg.Pool[Record]", pids: set[int]) -> None:
        self.dsn = dsn
        self._pool = pool
        self._pids = pids  # the server processes of the connections
        self._suspect: set[int] = set()
        self._releasing: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, dsn: str, size: int, *prepare: Prepare, **settings: str) -> "Pool":
        """Open a pool; each new connection gets *settings* of the server, and is passed to *prepare* in order."""
        pids: set[int] = set()

        async def begin(connection: Connection) -> None:
            pids.add(connection.get_server_pid())
            try:
                await _apply(connection, SETTINGS | settings)
                for each in prepare:
                    await each(connection)
            except BaseException:
                connection.terminate()  # asyncpg's graceful close leaks the connection if it is cancelled
                raise

        with translate_errors(dsn):
            pool = await asyncpg.create_pool(
                dsn,
                min_size=0,
                max_size=size,
                init=begin,
                reset=_keep,
                timeout=CONNECT_TIMEOUT,
                command_timeout=STATEMENT_TIMEOUT,
            )
        return cls(dsn, pool, pids)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Acquire a connection; raises `LogUnavailable` if there is none, and `InDoubt` if it breaks."""
        with translate_errors(self.dsn):
            connection = await self._acquire()
        is_cancelled = False
        try:
            with _translate_errors_of(connection, self.dsn):
                yield connection
        except asyncio.CancelledError:
            is_cancelled = True
            raise
        except InDoubt as broken:
            if isinstance(broken.__cause__, TimeoutError):
                self._suspect |= self._pids
                self._pids.clear()
            with suppress(asyncpg.InterfaceError):  # the pool may have released it
                connection.terminate()  # its state is unknown
            raise
        finally:
            if is_cancelled:  # cancelling its statement takes time, and the caller need not wait
                task = asyncio.create_task(self._release(connection))
                self._releasing.add(task)
                task.add_done_callback(self._releasing.discard)
            else:
                await self._release(connection)

    async def _release(self, connection: PoolConnection) -> None:
        with translate_errors(self.dsn), suppress(TimeoutError):  # asyncpg has terminated the connection
            await self._pool.release(connection, timeout=CANCEL_TIMEOUT)

    async def _acquire(self) -> PoolConnection:
        while (connection := await self._pool.acquire()).get_server_pid() in self._suspect:
            self._suspect.discard(connection.get_server_pid())
            connection.terminate()
        return connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, statement: str, *parameters: Any) -> list[Record]:
        async with self.connection() as connection:
            return await connection.fetch(statement, *parameters)

    async def close(self) -> None:
        self._pool.terminate()


class DedicatedConnection:
    """One connection outside a pool, used by one caller at a time and reconnected on demand.

    Each new connection is passed to *prepare* in order.
    """

    def __init__(self, dsn: str, *prepare: Prepare) -> None:
        self.dsn = dsn
        self._prepare = prepare
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def fetch(self, statement: str, *parameters: Any, timeout: float | None = None) -> list[Record]:
        """Return the rows of *statement*; raises `LogUnavailable` without a connection, and `InDoubt` if it breaks."""
        async with self._lock:
            connection = await self._open()
            try:
                with _translate_errors_of(connection, self.dsn):
                    return await connection.fetch(statement, *parameters, timeout=timeout)
            except InDoubt:
                self.close()  # its state is unknown
                raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None

    async def _open(self) -> Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        with translate_errors(self.dsn):
            self._connection = await connect(self.dsn, STATEMENT_TIMEOUT)
            try:
                for each in self._prepare:
                    await each(self._connection)
            except BaseException:
                self.close()
                raise
        return self._connection


async def _apply(connection: Connection, settings: Mapping[str, str]) -> None:
    """Apply *settings*, count statements, and make commits wait for the disk if the database is configured not to."""
    connection.add_query_logger(_count)
    statements = "".join(f"SET {name} = '{value}';" for name, value in settings.items())
    await connection.execute(statements + DURABLE, timeout=CONNECT_TIMEOUT)


def _count(statement: LoggedQuery) -> None:
    ROUND_TRIPS.observe(statement.elapsed)


async def _keep(connection: Connection) -> None:
    """Skip asyncpg's reset, which costs a statement: no caller leaves session state behind."""
