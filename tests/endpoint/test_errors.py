"""Faults: unexpected errors are masked, and the server's log has them under an id."""

import logging
import re
import sqlite3
from contextlib import closing

import httpx
import pytest
from starlette.responses import Response

from endpoint.execution.persisted import PersistedDocuments
from endpoint.http.backend import Backend
from endpoint.http.view import View
from endpoint.identity import Credentials, Identity
from endpoint.port import Unavailable
from gql.schema import schema
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline

PROJECTS = "{ projects { edges { node { name } } } }"
FOLLOW = "subscription ($deployment: ID!) { deploymentLogs(deployment: $deployment) { chunks { texts } } }"
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


def _damage(stageline: Stageline, database: str, statement: str) -> None:
    stageline.query("projects")  # so that the read models have caught up
    with closing(sqlite3.connect(stageline.data / database)) as connection, connection:
        connection.execute(statement)


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The errors in the server's log, with their tracebacks."""
    formatter = logging.Formatter()
    return [formatter.format(record) for record in caplog.records if record.levelno >= logging.ERROR]


def _known(errors: list[Data], code: str, message: str) -> str:
    """Return the id in the only error, whose text is otherwise *message*."""
    (error,) = errors
    assert error.keys() == {"message", "locations", "path", "extensions"}
    assert error["extensions"] == {"code": code}
    found = re.fullmatch(f"{re.escape(message)} ({ID})\\.", error["message"])
    assert found, error["message"]
    return found[1]


def test_a_fault_is_masked_and_found_in_the_log_by_its_id(own: Stageline, caplog: pytest.LogCaptureFixture) -> None:
    own.do("createProject", name="Secret")
    _damage(own, "views.db", "UPDATE rows SET document = 'nonsense of Secret'")
    answer = own.ask(PROJECTS)
    assert answer["data"] == {"projects": None}
    known = _known(answer["errors"], "INTERNAL", "Internal error; the server's log has details under")
    (logged,) = _logged(caplog)
    assert logged.startswith(f"fault {known} at ['projects']\nTraceback ")
    assert "msgspec.DecodeError" in logged


def test_a_fault_of_one_field_leaves_the_others_their_answers(own: Stageline) -> None:
    made = own.do("createProject", name="Secret")
    own.do("createEnvironment", project="Secret", name="staging")
    _damage(own, "views.db", "UPDATE rows SET document = 'nonsense'")
    answer = own.ask(f'{{ __typename environments(project: "{made["id"]}") {{ nodes {{ name }} }} }}')
    assert answer["data"] == {"__typename": "Query", "environments": None}
    assert [error["path"] for error in answer["errors"]] == [["environments"]]


@pytest.mark.parametrize("statement", ["UPDATE rows SET document = 'nonsense'", "DROP TABLE rows"])
def test_a_fault_in_many_fields_of_an_answer_is_logged_once(
    own: Stageline, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    made = own.do("createProject", name="Shop")
    own.do("createEnvironment", project="Shop", name="staging")
    _damage(own, "views.db", statement)
    fields = " ".join(
        f'p{number}: environments(project: "{made["id"]}") {{ nodes {{ name }} }}' for number in range(20)
    )
    for times in (1, 2):
        errors = own.ask(f"{{ {fields} }}")["errors"]
        assert len(errors) == 20
        assert len({error["message"] for error in errors}) == 1
        assert len([each for each in _logged(caplog) if each.startswith(("fault ", "unavailable "))]) == times


def test_an_unreadable_database_is_unavailable_without_details(
    own: Stageline, caplog: pytest.LogCaptureFixture
) -> None:
    _damage(own, "views.db", "DROP TABLE rows")
    answer = own.ask(PROJECTS)
    message = "Temporarily unavailable, and nothing was written: try again; the server's log has details under"
    known = _known(answer["errors"], "UNAVAILABLE", message)
    assert [logged for logged in _logged(caplog) if logged.startswith(f"unavailable {known}: ")] != []
    assert str(own.data) not in str(answer)


def test_a_fault_of_a_subscription_is_masked_and_ends_it(own: Stageline, caplog: pytest.LogCaptureFixture) -> None:
    environment = Environment(own)
    environment.add("api", runCommand="echo done")
    over = environment.end(environment.do("deploy"))
    _damage(own, "output.db", "UPDATE chunks SET texts = 'nonsense'")
    with own.socket() as socket:
        socket.subscribe("1", FOLLOW, deployment=over["id"])
        answer, end = socket.receive(), socket.receive()
    assert end == {"id": "1", "type": "complete"}
    (error,) = answer["payload"]["errors"]
    assert error["extensions"] == {"code": "INTERNAL"}
    found = re.search(ID, error["message"])
    assert found
    (logged,) = _logged(caplog)
    assert logged.startswith(f"fault {found[0]} at ")


async def test_a_request_while_tokens_cannot_be_read_is_told_to_retry(caplog: pytest.LogCaptureFixture) -> None:
    async def authenticate(_: Credentials) -> Identity:
        raise Unavailable("/data/log.db: the disk failed")

    def backend() -> Backend:
        raise AssertionError("nobody came in")

    view = View(schema, backend, authenticate, Response(), PersistedDocuments())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(view), base_url="http://stageline") as client:
        answer = await client.post("/graphql", json={"query": PROJECTS})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "UNAVAILABLE"}
    found = re.search(ID, error["message"])
    assert found
    assert _logged(caplog) == [f"unavailable {found[0]}: /data/log.db: the disk failed"]
    assert "log.db" not in answer.text
