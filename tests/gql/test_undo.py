"""The last change of one's own, taken back: also when others have made changes since."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.project import EnvironmentId
from endpoint.identity import Identity
from gql.context import Application, Context
from gql.contract.node import uuid_of
from gql.schema import schema
from server.components import running
from server.settings import Settings
from store import ids
from tests.gql.environment import APPLICATION, DATABASE, JOB, STAGES, names
from tests.gql.stageline import Data, document, subject

ANN, BOB = (Identity(actor=actor, token=UUID(int=number)) for number, actor in enumerate(("ann", "bob"), 1))


class Shared:
    """One environment that Ann and Bob work on."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.id = ""

    async def begin(self) -> None:
        project = await self.mutate(ANN, "createProject", name="Shop")
        made = await self.mutate(ANN, "createEnvironment", project=project["id"], name="Production")
        self.id = made["environment"]["id"]

    async def mutate(self, who: Identity, field: str, **arguments: object) -> Data:
        context = Context(application=self.application, identity=who)
        result: Any = await schema.execute(
            document("mutation", field, *arguments), variable_values=arguments, context_value=context
        )
        assert result.errors is None, result.errors
        return subject(result.data[field])

    async def do(self, who: Identity, field: str, **arguments: object) -> Data:
        return await self.mutate(who, field, environment=self.id, **arguments)


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    async with running(Settings(data=tmp_path)) as parts:
        made = Shared(parts.application)
        await made.begin()
        yield made


async def test_ones_own_last_change_is_taken_back_and_those_of_others_stay(shared: Shared) -> None:
    await shared.do(ANN, "addService", name="api", type="JOB")
    await shared.do(ANN, "editStage", stage=DATABASE, name="first stage")
    await shared.do(BOB, "moveService", service="api", stage=APPLICATION)
    undone = await shared.do(ANN, "undo", reason="a mistake")
    assert names(undone["stages"]) == STAGES
    assert names(undone["stages"][3]["services"]) == ["api"]
    assert undone["stages"][0]["description"] == "Rename me to avoid default/legacy ordering"


async def test_a_second_undo_takes_the_first_one_back(shared: Shared) -> None:
    renamed = await shared.do(ANN, "editStage", stage=DATABASE, name="first stage")
    assert names((await shared.do(ANN, "undo"))["stages"]) == STAGES
    assert (await shared.do(ANN, "undo"))["stages"] == renamed["stages"]


async def test_a_deleted_stage_comes_back_with_its_services_under_their_ids(shared: Shared) -> None:
    before = await shared.do(ANN, "addService", name="api", type="JOB", spec={"run": "./api"})
    await shared.do(ANN, "deleteStage", stage=JOB, servicesTo=DATABASE)
    assert (await shared.do(ANN, "undo"))["stages"] == before["stages"]


async def test_a_change_on_which_another_stands_is_not_taken_back_and_the_other_is_named(shared: Shared) -> None:
    await shared.do(ANN, "createStage", name="checks")
    await shared.do(BOB, "addService", name="api", type="JOB", stage="checks")
    refused = await shared.do(ANN, "undo")
    assert refused["code"] == "CHANGED_SINCE"
    assert refused["message"] == (
        "Your last change (checks created at position 5) can't be undone alone, because later changes depend on it: "
        "api placed in checks (version 8)."
    )
    assert (await shared.do(ANN, "undo", dryRun=True)) == refused


async def test_what_others_did_is_nothing_of_ones_own(shared: Shared) -> None:
    await shared.do(BOB, "createStage", name="checks")
    assert (await shared.do(ANN, "undo"))["code"] == "NOTHING_TO_UNDO"


async def test_an_environments_name_is_taken_back_in_its_project_too(shared: Shared) -> None:
    await shared.do(ANN, "editEnvironment", name="Live", concurrency=3)
    taken_back = await shared.do(ANN, "undo")
    assert taken_back["environment"]["name"] == "Production"
    assert taken_back["environment"]["concurrency"] == 8
    await shared.do(ANN, "editEnvironment", name="Live")
    owner = taken_back["environment"]["project"]["id"]
    assert (await shared.mutate(BOB, "createEnvironment", project=owner, name="production"))["stages"]
    refused = await shared.do(ANN, "undo")
    assert refused["message"] == "The name 'production' is taken by another environment."


async def test_a_change_that_is_long_ago_is_found(shared: Shared) -> None:
    stream = EnvironmentId(uuid_of("environment", shared.id) or ids.new())
    made = await shared.do(ANN, "createStage", name="checks")
    first = made["stages"][0]["id"]
    for turn in range(101):
        await shared.do(BOB, "editStage", stage=first, name=f"turn {turn}", description=f"turn {turn}")
    assert len(await shared.application.log.events(stream)) > 200
    assert names((await shared.do(ANN, "undo"))["stages"]) == ["turn 100", *STAGES[1:]]
