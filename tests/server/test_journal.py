"""The lines of the program's own log, as text and as JSON."""

import io
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.journal import JsonFormatter, TextFormatter
from tests.serving import serving


def line(formatter: logging.Formatter, log: Callable[[logging.Logger], None]) -> str:
    """Return what *log* writes through *formatter*."""
    logger, stream = logging.getLogger("stageline.test"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.propagate = False
    log(logger)
    logger.removeHandler(handler)
    return stream.getvalue()


def entry(log: Callable[[logging.Logger], None]) -> Any:
    text = line(JsonFormatter(), log)
    assert text.count("\n") == 1
    return json.loads(text)


def lost(logger: logging.Logger) -> None:
    logger.warning("Connection lost; retrying in %(pause)g s", {"pause": 2.0, "server": "shop one", "port": 5432})


def fail(logger: logging.Logger) -> None:
    try:
        raise ValueError("no\nsuch thing")
    except ValueError:
        logger.exception("Deployment %(deployment)s failed", {"deployment": "d1", "event": "not replaced"})


def test_a_text_line_ends_with_the_fields_that_its_message_does_not_name() -> None:
    time, _, rest = line(TextFormatter(), lost).partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == 'WARNING Connection lost; retrying in 2 s server="shop one" port=5432\n'


def test_a_json_line_has_the_fields_beside_the_event() -> None:
    found = entry(lost)
    del found["time"]
    assert found == {
        "level": "warning",
        "event": "Connection lost; retrying in 2 s",
        "logger": "stageline.test",
        "pause": 2.0,
        "server": "shop one",
        "port": 5432,
    }


def test_an_exception_is_one_json_line_with_its_trace() -> None:
    found = entry(fail)
    assert (found["event"], found["deployment"]) == ("Deployment d1 failed", "d1")
    assert found["error"] == "ValueError: no\nsuch thing"
    assert found["trace"].startswith("Traceback (most recent call last):\n")


def test_a_line_of_a_library_is_one_json_object_too() -> None:
    assert entry(lambda logger: logger.error("%s of %d", Path("a"), 3))["event"] == "a of 3"


def test_a_server_writes_only_json_objects_when_told_to(tmp_path: Path) -> None:
    with serving(tmp_path, "--log-format", "json") as server:
        pass
    entries = [json.loads(each) for each in server.log.read_text().splitlines()]
    assert {"time", "level", "event", "logger"} <= set.intersection(*(set(each) for each in entries))
    (served,) = [each for each in entries if each["event"].startswith("Stageline serves")]
    assert (served["url"], served["data"]) == (server.url, str(server.data))
