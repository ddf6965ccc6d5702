"""The settings of a server or worker."""

from enum import StrEnum
from pathlib import Path

from msgspec import Struct


class LogFormat(StrEnum):
    """The format of the program's own log."""

    TEXT = "text"
    JSON = "json"


class Settings(Struct, frozen=True, kw_only=True):
    """*data* holds everything the server keeps; *issue_token* makes a new admin token, when the first was lost.

    *signing_key* is the file of the key that heads of the log are signed with (None: one of its own, in *data*).

    *database* is the address of a PostgreSQL (None: SQLite, in *data*). Deployments that wait there are driven by any
    number of workers, *works* says whether this is one; a machine is *gone* for good when none of its workers has been
    heard of for so many seconds.

    *documents* is a file with the only documents that are answered, beside our *own_documents*; with
    *refuses_unlisted* off, others are only told of in the log.

    With *keeps_documents* off, every document is read each time that it is asked.

    *compiles* has GraphQL documents carried out as compiled ones; of their answers *kept_answers* MiB are kept, while
    they are right.

    Pages of *origins* may use it as its own pages may.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path
    log_level: str = "info"
    log_format: LogFormat = LogFormat.TEXT
    issue_token: bool = False
    signing_key: Path | None = None
    database: str | None = None
    works: bool = True
    gone: float = 300.0
    documents: Path | None = None
    own_documents: tuple[str, ...] = ()
    refuses_unlisted: bool = True
    keeps_documents: bool = True
    compiles: bool = True
    kept_answers: int = 64
    origins: tuple[str, ...] = ()
