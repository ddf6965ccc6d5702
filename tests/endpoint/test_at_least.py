"""Queries that wait for earlier changes: `atLeast`, on every root field."""

import base64
import json

import pytest
from graphql import GraphQLObjectType

from endpoint.execution import at_least
from gql.schema import schema
from projections.engine.projector import Projector
from tests.gql.environment import Environment
from tests.gql.stageline import Data

ASKED = """
query ($id: ID!, $atLeast: String) { pipeline(environment: $id, atLeast: $atLeast) { version cursor } }
"""


def ahead(cursor: str, by: int) -> str:
    """Return a cursor beyond the end of the log."""
    epoch, place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return base64.urlsafe_b64encode(json.dumps([epoch, place + by]).encode()).decode().rstrip("=")


def test_every_query_field_takes_a_cursor_to_wait_for() -> None:
    query = schema._schema.query_type
    assert isinstance(query, GraphQLObjectType)
    assert [name for name, field in query.fields.items() if "atLeast" not in field.args] == ["node"]
    assert list(query.fields["node"].args) == ["id"]


def test_an_answer_contains_the_changes_up_to_its_cursor(environment: Environment) -> None:
    for number in range(3):
        changed = environment.do("createStage", name=f"Stage {number}")
        answer = environment.stageline.execute(ASKED, id=environment.id, atLeast=changed["cursor"])
        assert answer["pipeline"]["version"] >= changed["version"]
        listed = environment.stageline.query("history", first=1, atLeast=changed["cursor"])
        assert listed["edges"][0]["node"]["logPosition"] >= changed["version"]


@pytest.mark.parametrize("extensions", [None, {"long": True}], ids=["the short way", "the long way"])
@pytest.mark.parametrize("field", ["pipeline", "pipelineEvents", "documentDiff"])
def test_a_position_not_reached_in_time_is_an_error_with_the_position_of_the_node(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, field: str, extensions: Data | None
) -> None:
    waits: list[float] = []
    wait_for = Projector.wait_for

    async def noted(projector: Projector, position: int, timeout: float = 5.0) -> None:
        waits.append(timeout)
        await wait_for(projector, position + 1000, timeout)  # as if it were behind

    monkeypatch.setattr(at_least, "PATIENCE", 0.1)
    monkeypatch.setattr(Projector, "wait_for", noted)
    stageline = environment.stageline
    cursor = stageline.execute("{ cursor }")["cursor"]
    variables = {"id": environment.id, "atLeast": cursor}
    given = 'document: "stages: []", ' if field == "documentDiff" else ""
    query = ASKED.replace("pipeline(", f"{field}({given}").replace("version cursor", "__typename")
    request = {"query": query, "variables": variables, "extensions": extensions}
    answer = stageline.send(json=request, headers={"authorization": f"Bearer {stageline.token}"})
    assert (answer.status_code, answer.headers["retry-after"]) == (200, "1")
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "BEHIND"
    assert error["path"] == [field]
    assert "atLeast" in error["message"]
    assert waits.count(0.1) == 1  # and not once more by graphql-core
    monkeypatch.undo()
    again = stageline.execute(ASKED, id=environment.id, atLeast=error["extensions"]["cursor"])
    assert again["pipeline"]["version"] == environment.version


def test_a_position_beyond_the_log_is_refused(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_least, "PATIENCE", 0.1)
    lost = ahead(environment.pipeline["cursor"], 1000)
    (error,) = environment.stageline.ask(ASKED, id=environment.id, atLeast=lost)["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert "beyond the end of the log" in error["message"]


def test_a_cursor_of_another_log_is_refused_at_once(environment: Environment) -> None:
    for cursor in ("nonsense", environment.pipeline["cursor"][:-3]):
        (error,) = environment.stageline.ask(ASKED, id=environment.id, atLeast=cursor)["errors"]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"
        assert error["message"].startswith("Invalid atLeast")
