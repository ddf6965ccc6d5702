"""Queries that wait for what was written: `atLeast`, on every root field."""

import base64
import json

from graphql import GraphQLObjectType

from gql.schema import schema
from tests.gql.environment import Environment

ASKED = """
query ($id: ID!, $atLeast: String) { pipeline(environment: $id, atLeast: $atLeast) { version cursor } }
"""


def ahead(cursor: str, by: int) -> str:
    """A place in the log that nothing was written to yet."""
    epoch, place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return base64.urlsafe_b64encode(json.dumps([epoch, place + by]).encode()).decode().rstrip("=")


def test_every_query_can_be_asked_to_be_as_new_as_a_cursor() -> None:
    query = schema._schema.query_type
    assert isinstance(query, GraphQLObjectType)
    assert [name for name, field in query.fields.items() if "atLeast" not in field.args] == []


def test_an_answer_contains_what_its_cursor_stands_for(environment: Environment) -> None:
    for number in range(3):
        changed = environment.do("createStage", name=f"Stage {number}")
        answer = environment.stageline.execute(ASKED, id=environment.id, atLeast=changed["cursor"])
        assert answer["pipeline"]["version"] >= changed["version"]
        listed = environment.stageline.query("history", first=1, atLeast=changed["cursor"])
        assert listed["edges"][0]["node"]["position"] >= changed["version"]


def test_a_place_that_is_not_reached_in_time_is_an_error_that_says_how_far_the_node_is(
    environment: Environment,
) -> None:
    cursor = environment.stageline.execute("{ cursor }")["cursor"]
    (error,) = environment.stageline.ask(ASKED, id=environment.id, atLeast=ahead(cursor, 1000))["errors"]
    assert error["extensions"]["code"] == "BEHIND"
    assert "atLeast" in error["message"]
    again = environment.stageline.execute(ASKED, id=environment.id, atLeast=error["extensions"]["cursor"])
    assert again["pipeline"]["version"] == environment.version


def test_what_is_no_cursor_of_this_log_is_refused_at_once(environment: Environment) -> None:
    for cursor in ("nonsense", environment.pipeline["cursor"][:-3]):
        (error,) = environment.stageline.ask(ASKED, id=environment.id, atLeast=cursor)["errors"]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"
        assert error["message"].startswith("atLeast can't be meant")
