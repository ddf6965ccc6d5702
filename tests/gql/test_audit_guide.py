"""The auditor's guide, docs/audit.md: its queries are asked, and answer what it says."""

import json
import re

import pytest

from tests.gql.environment import APPLICATION, JOB, Environment
from tests.gql.stageline import Data
from tests.serving import ROOT

GUIDE = (ROOT / "docs/audit.md").read_text()
QUESTIONS = re.findall(
    r"^## (.*?)\n(?:(?!^## ).)*?```graphql\n(.*?)```\n\n```json\n(.*?)```", GUIDE, re.DOTALL | re.MULTILINE
)


@pytest.fixture
def variables(environment: Environment) -> Data:
    """The shop that the guide asks about; its versions are those of the guide."""
    environment.do("addService", name="Backend", type="APPLICATION", spec={"runCommand": "./backend"})
    environment.do("addService", name="Migrations", type="JOB", spec={"runCommand": "true"})
    environment.do("editStage", stage=JOB, name="second stage", reason="a name of our own")
    environment.do("editStage", stage="second stage", name="third stage")
    environment.do("skipService", service="Backend")
    moved = environment.do("moveService", service="Backend", stage="third stage", reason="it needs the migrations")
    assert moved["version"] == 14
    *_, deployment = [environment.end(environment.do("deploy")) for _ in range(12)]
    assert (deployment["number"], deployment["status"]) == (12, "SUCCEEDED")
    environment.do("unskipService", service="Backend")
    environment.do(
        "editService", service="Backend", spec={"runCommand": "./backend", "ports": [8080]}, reason="open to the web"
    )
    for position in (1, 4):
        environment.do("moveStage", stage=APPLICATION, to={"position": position})
    return {"environment": environment.id, "deployment": deployment["id"]}


def test_the_guides_questions_are_answered_as_it_says(environment: Environment, variables: Data) -> None:
    assert [question for question, _, _ in QUESTIONS] == [
        "Who moved Backend, and why?",
        "What did the pipeline look like when deployment 12 ran?",
        "What has changed since?",
        "Who renamed this stage first?",
    ]
    for _, query, answer in QUESTIONS:
        asked = {name: value for name, value in variables.items() if f"${name}:" in query}
        assert environment.stageline.execute(query, **asked) == json.loads(answer)
