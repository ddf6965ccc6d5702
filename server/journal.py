"""
The program's own log: one line on stderr for each event, as text or as JSON.

Code gives the fields of a line as one dict of %-arguments, and names those in the message that a reader needs:

    logger.warning("Connection lost; retrying in %(pause)g s", {"pause": 2.0, "server": name})

Text ends with the fields that the message doesn't name. JSON has all fields beside `time`, `level`, `event` (the
message), `logger`, and, for an exception, `error` and `trace`. Lines of a request have its id (`request`) and the
correlation id of its events (`correlation`). Lines of a deployment have `deployment` and the same correlation id.
Lines of a trace have its id (`trace_id`).
"""

import logging
import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from endpoint import trace
from runner.jobs import is_reportable
from runner.trace import fields
from server.settings import LogFormat, Settings
from tracing import span


def begin(settings: Settings) -> None:
    """Configure logging for the whole process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(is_reportable)
    handler.addFilter(add_context)
    handler.setFormatter(JsonFormatter() if settings.log_format is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # below that, it logs each request to a Docker engine
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # below that, it logs each job
    logging.getLogger("strawberry.ws").setLevel(logging.ERROR)  # `server.websocket` logs refused origins, with a limit
    # graphql-core never awaits some of the coroutines that are cancelled before they begin
    warnings.filterwarnings("ignore", r"coroutine '(Executor|GraphQLCoreConverter)\.", RuntimeWarning)


class TextFormatter(logging.Formatter):
    """Lines such as `2026-11-30T05:00:00.000Z WARNING Connection lost; retrying in 2 s server=shop`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        rest = {name: value for name, value in _fields(record).items() if f"%({name})" not in str(record.msg)}
        return " ".join([super().formatMessage(record), *(f"{name}={_value(value)}" for name, value in rest.items())])


class JsonFormatter(logging.Formatter):
    """One JSON object for each line; a field never replaces `time`, `level`, `event` or `logger`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        entry |= {name: value for name, value in _fields(record).items() if name not in entry}
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            entry["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry, enc_hook=str).decode(errors="replace")


def add_context(record: logging.LogRecord) -> bool:
    """Give *record* the ids of its request, or the fields of its deployment and step."""
    ids = {
        "request": trace.request.get().decode(),
        "correlation": trace.correlation.get(),
        "trace_id": span.trace_id(),
    }
    record.context = {**fields.get(), **{name: value for name, value in ids.items() if value}}
    return True


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    own = record.args if isinstance(record.args, Mapping) else {}
    context: Mapping[str, object] = getattr(record, "context", {})
    return {**own, **{name: value for name, value in context.items() if name not in own}}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(value: object) -> str:
    """Return *value* as one word, or as a JSON string if it has spaces, quotes or control characters."""
    text = str(value)
    is_word = bool(text) and text.isprintable() and not any(character in text for character in ' "=')
    return text if is_word else msgspec.json.encode(text).decode()
