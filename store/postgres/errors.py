"""
Errors of PostgreSQL, as messages for the operator.

A statement whose connection breaks may or may not have been executed: that raises `InDoubt`. After any other
`LogUnavailable` the statement has had no effect.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg

from store.log import LogUnavailable

OTHER_VERSION = "another version of Stageline has changed the tables: run the same version everywhere"

POOLER = (
    "a connection pooler uses another session for each transaction: set PgBouncer's pool_mode to session, or connect "
    "to PostgreSQL directly"
)

ADVICE: dict[type[Exception], str] = {
    asyncpg.LockNotAvailableError: "another program, such as a migration or a dump, holds a lock: try again",
    asyncpg.DiskFullError: "the disk is full: free some space, then try again",
    asyncpg.TooManyConnectionsError: "too many connections: raise max_connections, or end other programs",
    asyncpg.InvalidPasswordError: (
        "wrong user or password: check the user and the password in the address, in PGPASSWORD, or in the file that "
        "PGPASSFILE names (~/.pgpass by default, with mode 0600)"
    ),
    asyncpg.InvalidCatalogNameError: "the database does not exist: create it",
    asyncpg.InsufficientPrivilegeError: "the user lacks privileges: make it the owner of the database",
    asyncpg.ReadOnlySQLTransactionError: "the database is read-only: name the primary, not a replica",
    asyncpg.DuplicateTableError: "the database has tables of another program: name a database of its own",
    asyncpg.UndefinedFunctionError: OTHER_VERSION,
    asyncpg.UndefinedTableError: OTHER_VERSION,
    asyncpg.UndefinedColumnError: OTHER_VERSION,
    asyncpg.InvalidSQLStatementNameError: POOLER,
    asyncpg.DuplicatePreparedStatementError: POOLER,
}
"""Messages by the error's class."""

CONNECTION_ERRORS = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""Errors after which a statement may or may not have been executed; `TimeoutError` is an `OSError`."""


class DatabaseDamaged(LogUnavailable):
    """The database can't read a page of its own."""


class InDoubt(LogUnavailable):
    """The connection broke during a statement."""


def describe_database(dsn: str) -> str:
    """Return the database and the host in *dsn*, without the password."""
    url = urlsplit(dsn)
    return (
        f"the database {url.path.lstrip('/') or 'of the user'} at {url.hostname or 'this machine'}:{url.port or 5432}"
    )


def check_address(dsn: str) -> None:
    """Raise `LogUnavailable` if *dsn* is not an address; the message omits *dsn*, which may contain a password."""
    try:
        url = urlsplit(dsn)
        is_address = url.scheme in ("postgresql", "postgres") and url.port != 0
    except ValueError:  # an invalid port
        is_address = False
    if not is_address:
        raise LogUnavailable(
            "Invalid database address in --database or DATABASE_URL: use postgresql://user@host:5432/name, "
            "with one host."
        )


def describe_error(error: Exception) -> str:
    """Return what went wrong, for a message."""
    match error:
        case ConnectionRefusedError():
            return "connection refused: check that PostgreSQL runs, and check the host and the port"
        case socket.gaierror():
            return "unknown host name: check the host"
        case FileNotFoundError():
            return "the socket, or a file that the address names, does not exist"
        case TimeoutError():
            return "no response in time"
        case ConnectionResetError() | BrokenPipeError():
            return "the connection broke"
        case _:
            text, _, _ = str(error).partition("\n")  # details and hints follow
            return text.rstrip(".") or type(error).__name__


@contextmanager
def translate_errors(dsn: str, broken: type[LogUnavailable] = LogUnavailable) -> Iterator[None]:
    """Raise asyncpg's errors as `LogUnavailable`, those of the connection as *broken*; errors of the data stay."""
    try:
        yield
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
        raise
    except CONNECTION_ERRORS as error:
        raise broken(f"{describe_database(dsn).capitalize()}: {describe_error(error)}.") from error
    except asyncpg.InternalServerError as error:
        raise DatabaseDamaged(f"{describe_database(dsn).capitalize()}: {describe_error(error)}.") from error
    except asyncpg.PostgresError as error:
        advice = next((advice for kind, advice in ADVICE.items() if isinstance(error, kind)), describe_error(error))
        raise LogUnavailable(f"{describe_database(dsn).capitalize()}: {advice}.") from error
