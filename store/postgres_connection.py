"""
Connections to PostgreSQL, and what it says of itself in words for who runs the server.

A statement whose connection breaks may have been carried out or not: `InDoubt` says so, and any other
`LogUnavailable` that nothing was.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from store.log import LogUnavailable

if TYPE_CHECKING:  # they take no type arguments when they run
    Record: TypeAlias = asyncpg.Record
    PoolConnection: TypeAlias = asyncpg.pool.PoolConnectionProxy[Record]
    Connection: TypeAlias = asyncpg.Connection[Record] | PoolConnection
    AsyncpgPool: TypeAlias = asyncpg.Pool[Record]

Prepare = Callable[["Connection"], Awaitable[None]]
"""Makes a new connection ready, or raises that it must not be used."""

CONNECTING = 5.0
"""Seconds that the database may take to let us in."""

ANSWERING = 10.0
"""Seconds that it may take for one statement; one that takes longer is taken for lost."""

STOPPING = 1.0
"""Seconds that it may take to let go of a statement for which nobody waits any more."""

SETTINGS = {
    "application_name": "stageline",
    "default_transaction_isolation": "read committed",
    # Every statement finds a few rows by an index, and has them in its order. Left to itself PostgreSQL goes through
    # all of a table that was empty or small when the statement was planned, however it has grown since.
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_sort": "off",
    "idle_in_transaction_session_timeout": "10s",  # who has died holds nothing for long
    "jit": "off",  # every statement is small
    "lock_timeout": "5s",
    "plan_cache_mode": "force_generic_plan",  # no statement is better planned for its parameters
    "tcp_keepalives_idle": "30",
    "timezone": "UTC",
}
"""Each connection is given them by a statement: PgBouncer lets nobody in who brings such along."""

DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"

ANOTHERS = "another version of Stageline has changed its tables: have the same version everywhere"

POOLED = "a pooler between lends any session to each transaction: set PgBouncer's pool_mode to session, or go round it"

ADVICE: dict[type[Exception], str] = {
    asyncpg.LockNotAvailableError: "something in it is locked, as by a migration or a dump: try again",
    asyncpg.DiskFullError: "its disk is full: free some space, then try again",
    asyncpg.TooManyConnectionsError: "it has no connection left: raise max_connections, or end other programs",
    asyncpg.InvalidPasswordError: (
        "it doesn't let us in: see the user and the password, which is that of its address, of PGPASSWORD, or of the "
        "file that PGPASSFILE names, else ~/.pgpass, with mode 0600"
    ),
    asyncpg.InvalidCatalogNameError: "it isn't there: create it",
    asyncpg.InsufficientPrivilegeError: "its user may not: make it the owner of the database",
    asyncpg.ReadOnlySQLTransactionError: "it can only be read: name the primary, not a replica",
    asyncpg.DuplicateTableError: "there are tables of others in it: name a database of Stageline's own",
    asyncpg.UndefinedFunctionError: ANOTHERS,
    asyncpg.UndefinedTableError: ANOTHERS,
    asyncpg.UndefinedColumnError: ANOTHERS,
    asyncpg.InvalidSQLStatementNameError: POOLED,
    asyncpg.DuplicatePreparedStatementError: POOLED,
}

BROKEN = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""After these nobody knows whether the statement was carried out; time running out is an `OSError` too."""

logger = logging.getLogger(__name__)


class InDoubt(LogUnavailable):
    """The connection broke while a statement was on its way."""


def target(dsn: str) -> str:
    """What *dsn* names, without the password."""
    url = urlsplit(dsn)
    return (
        f"the database {url.path.lstrip('/') or 'of the user'} at {url.hostname or 'this machine'}:{url.port or 5432}"
    )


def check(dsn: str) -> None:
    """Raises `LogUnavailable` if *dsn* can't be an address, which it doesn't tell: a password may be in it."""
    try:
        url = urlsplit(dsn)
        is_address = url.scheme in ("postgresql", "postgres") and url.port != 0
    except ValueError:  # the port is no number, or none that there is
        is_address = False
    if not is_address:
        raise LogUnavailable(
            "What --database or DATABASE_URL says is no address of a PostgreSQL: "
            "it looks like postgresql://user@host:5432/name, and has one host."
        )


def words(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "nothing answers there: see that it runs, and the host and the port"
        case socket.gaierror():
            return "no machine of that name is known: see the host"
        case FileNotFoundError():
            return "its socket, or a file that the address names, isn't there"
        case TimeoutError():
            return "it does not answer in time"
        case ConnectionResetError() | BrokenPipeError():
            return "the connection broke"
        case _:
            said, _, _ = str(error).partition("\n")  # details and hints follow
            return said.rstrip(".") or type(error).__name__


@contextmanager
def explained(dsn: str, broken: type[LogUnavailable] = LogUnavailable) -> Iterator[None]:
    """Turns what asyncpg raises into `LogUnavailable`, but for data that can't be stored."""
    try:
        yield
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
        raise
    except BROKEN as error:
        raise broken(f"{target(dsn).capitalize()}: {words(error)}.") from error
    except asyncpg.PostgresError as error:
        advice = next((advice for kind, advice in ADVICE.items() if isinstance(error, kind)), words(error))
        raise LogUnavailable(f"{target(dsn).capitalize()}: {advice}.") from error


@contextmanager
def _used(connection: "Connection", dsn: str) -> Iterator[None]:
    """Turns what asyncpg raises of *connection* into `InDoubt`, or into what `explained` makes of it."""
    with explained(dsn, InDoubt):
        try:
            yield
        except AttributeError as fault:  # asyncpg's, if it is terminated between preparing and carrying out
            with suppress(asyncpg.InterfaceError):  # the pool has it no more
                if not connection.is_closed():
                    raise
            raise asyncpg.ConnectionDoesNotExistError("the connection was closed meanwhile") from fault


async def connect(dsn: str, answering: float | None = ANSWERING) -> "asyncpg.Connection[Record]":
    """A connection of one's own, on which a statement may take *answering* seconds; raises what asyncpg raises."""
    connection = await asyncpg.connect(dsn, timeout=CONNECTING, command_timeout=answering)
    try:
        await _set(connection, SETTINGS)
    except BaseException:
        connection.terminate()
        raise
    return connection


class Pool:
    """At most *size* connections, made as they are needed; broken ones are made anew.

    When one doesn't answer in time, the others may have gone silent with it: none of them is used again.
    """

    def __init__(self, dsn: str, pool: "AsyncpgPool", made: set[int]) -> None:
        self.dsn = dsn
        self._pool = pool
        self._made = made  # by the number of the database's process
        self._silent: set[int] = set()
        self._releasing: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, dsn: str, size: int, *prepare: Prepare, **settings: str) -> "Pool":
        """*settings* are the server's, for these connections; *prepare* is done with each new one, in its order."""

        made: set[int] = set()

        async def begin(connection: "Connection") -> None:
            made.add(connection.get_server_pid())
            try:
                await _set(connection, SETTINGS | settings)
                for each in prepare:
                    await each(connection)
            except BaseException:
                connection.terminate()  # asyncpg would close it in order, and forget if it is cancelled meanwhile
                raise

        with explained(dsn):
            pool = await asyncpg.create_pool(
                dsn,
                min_size=0,
                max_size=size,
                init=begin,
                reset=_nothing,
                timeout=CONNECTING,
                command_timeout=ANSWERING,
            )
        return cls(dsn, pool, made)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """Raises `LogUnavailable` if there is none to be had, and `InDoubt` if it breaks."""
        with explained(self.dsn):
            connection = await self._acquire()
        is_cancelled = False
        try:
            with _used(connection, self.dsn):
                yield connection
        except asyncio.CancelledError:
            is_cancelled = True
            raise
        except InDoubt as broken:
            if isinstance(broken.__cause__, TimeoutError):
                self._silent |= self._made
                self._made.clear()
            with suppress(asyncpg.InterfaceError):  # the pool may have found out before us
                connection.terminate()  # whatever state it was left in, another one has another
            raise
        finally:
            if is_cancelled:  # its statement is to end first, which nobody waits for
                task = asyncio.create_task(self._release(connection))
                self._releasing.add(task)
                task.add_done_callback(self._releasing.discard)
            else:
                await self._release(connection)

    async def _release(self, connection: "PoolConnection") -> None:
        with explained(self.dsn), suppress(TimeoutError):  # then the connection was terminated
            await self._pool.release(connection, timeout=STOPPING)

    async def _acquire(self) -> "PoolConnection":
        while (connection := await self._pool.acquire()).get_server_pid() in self._silent:
            self._silent.discard(connection.get_server_pid())
            connection.terminate()
        return connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Connection"]:
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, statement: str, *parameters: Any) -> "list[Record]":
        async with self.connection() as connection:
            return await connection.fetch(statement, *parameters)

    async def close(self) -> None:
        self._pool.terminate()


class Line:
    """One connection, for those who use it all the time, one after the other: it is made when it is needed, and kept.

    Each new one is *prepare*d.
    """

    def __init__(self, dsn: str, *prepare: Prepare) -> None:
        self.dsn = dsn
        self._prepare = prepare
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, statement: str, *parameters: Any, timeout: float | None = None) -> "list[Record]":
        """Raises `LogUnavailable` if there is no connection to be had, and `InDoubt` if it breaks."""
        async with self._turn:
            connection = await self._open()
            try:
                with _used(connection, self.dsn):
                    return await connection.fetch(statement, *parameters, timeout=timeout)
            except InDoubt:
                self.close()  # whatever state it was left in, another one has another
                raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None

    async def _open(self) -> "Connection":
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        with explained(self.dsn):
            self._connection = await connect(self.dsn, ANSWERING)
            try:
                for each in self._prepare:
                    await each(self._connection)
            except BaseException:
                self.close()
                raise
        return self._connection


async def _set(connection: "Connection", settings: Mapping[str, str]) -> None:
    """Has commits wait for the disk, too, though the database may be set up otherwise."""
    own = "".join(f"SET {name} = '{value}';" for name, value in settings.items())
    await connection.execute(own + DURABLE, timeout=CONNECTING)


async def _nothing(connection: "Connection") -> None:
    """Nothing is left behind on a connection, so that nothing has to be tidied up with a statement more."""
