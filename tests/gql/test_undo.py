"""The last change of one's own, taken back: also when others have made changes since."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.project import EnvironmentId
from endpoint.identity import Identity
from gql.context import Application, Context
from gql.contract.node import global_id, uuid_of
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

    async def event(self, version: int) -> str:
        """The id of the event that made *version*."""
        stream = uuid_of("environment", self.id)
        assert stream is not None
        (recorded,) = await self.application.log.read(stream, version - 1, version)
        return global_id("event", recorded.id, recorded.position)


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
    undone = await shared.do(ANN, "undoPipelineChange", reason="a mistake")
    assert names(undone["stages"]) == STAGES
    assert names(undone["stages"][3]["services"]) == ["api"]
    assert undone["stages"][0]["description"] == "Rename me to avoid default/legacy ordering"


async def test_three_undos_in_a_row_undo_three_changes(shared: Shared) -> None:
    states = [await shared.do(ANN, "editEnvironment", concurrency=3)]
    states.append(await shared.do(ANN, "editStage", stage=DATABASE, name="first stage"))
    states.append(await shared.do(ANN, "addService", name="api", type="JOB"))
    states.append(await shared.do(ANN, "moveService", service="api", stage="first stage"))
    await shared.do(BOB, "editStage", stage=JOB, description="of Bob")
    for before in reversed(states[:-1]):
        undone = await shared.do(ANN, "undoPipelineChange")
        kept = before["stages"][1] | {"description": "of Bob"}
        assert undone["stages"] == [before["stages"][0], kept, *before["stages"][2:]]
    await shared.do(ANN, "undoPipelineChange")
    assert (await shared.do(ANN, "undoPipelineChange"))["code"] == "NOTHING_TO_UNDO"


async def test_an_undo_can_be_undone_and_the_change_then_be_undone_again(shared: Shared) -> None:
    await shared.do(ANN, "editStage", stage=DATABASE, name="first stage")
    await shared.do(ANN, "editStage", stage="first stage", description="first")
    undone = await shared.do(ANN, "undoPipelineChange")
    assert undone["stages"][0]["description"] == ""
    again = await shared.do(ANN, "undoPipelineChange", change=await shared.event(undone["version"]))
    assert (again["stages"][0]["name"], again["stages"][0]["description"]) == ("first stage", "first")
    assert (await shared.do(ANN, "undoPipelineChange"))["stages"] == undone["stages"]
    assert names((await shared.do(ANN, "undoPipelineChange"))["stages"]) == STAGES


async def test_a_chosen_change_is_undone_alone(shared: Shared) -> None:
    chosen = await shared.do(ANN, "editStage", stage=DATABASE, name="first stage", description="x")
    await shared.do(ANN, "editStage", stage=JOB, name="second stage")
    for version in (chosen["version"], chosen["version"] - 1):  # any event of the change
        undone = await shared.do(ANN, "undoPipelineChange", change=await shared.event(version), dryRun=True)
        assert names(undone["stages"]) == [DATABASE, "second stage", *STAGES[2:]]
    event = await shared.event(chosen["version"])
    await shared.do(ANN, "undoPipelineChange", change=event)
    refused = await shared.do(ANN, "undoPipelineChange", change=event)
    assert (refused["code"], refused["message"]) == (
        "ALREADY_UNDONE",
        "The change is already undone; undo its undo to make it again.",
    )
    assert names((await shared.do(ANN, "undoPipelineChange"))["stages"]) == STAGES


async def test_only_ones_own_change_of_this_pipeline_can_be_chosen(shared: Shared) -> None:
    await shared.do(BOB, "createStage", name="checks")
    refused = await shared.do(ANN, "undoPipelineChange", change=await shared.event(6))
    assert (refused["code"], refused["message"]) == (
        "NOT_YOUR_CHANGE",
        "The change was made by 'bob', and only its own actor can undo it.",
    )
    assert (await shared.do(ANN, "undoPipelineChange", change=await shared.event(1)))["code"] == "INVALID_ARGUMENT"
    for unknown in (f"event_{'0' * 32}", "6"):
        assert (await shared.do(ANN, "undoPipelineChange", change=unknown))["code"] == "CHANGE_NOT_FOUND"


async def test_changes_that_cancelled_each_other_do_not_stand_in_the_way(shared: Shared) -> None:
    chosen = await shared.do(ANN, "editStage", stage=DATABASE, name="first stage")
    await shared.do(BOB, "editStage", stage="first stage", name="stage of Bob")
    event = await shared.event(chosen["version"])
    refused = await shared.do(ANN, "undoPipelineChange", change=event)
    assert (refused["code"], [each["message"] for each in refused["events"]]) == (
        "CHANGED_SINCE",
        ["first stage renamed to stage of Bob"],
    )
    await shared.do(BOB, "undoPipelineChange")
    assert names((await shared.do(ANN, "undoPipelineChange", change=event))["stages"]) == STAGES


async def test_a_deleted_stage_comes_back_with_its_services_under_their_ids(shared: Shared) -> None:
    before = await shared.do(ANN, "addService", name="api", type="JOB", spec={"runCommand": "./api"})
    await shared.do(ANN, "deleteStage", stage=JOB, servicesTo=DATABASE)
    assert (await shared.do(ANN, "undoPipelineChange"))["stages"] == before["stages"]


async def test_a_change_on_which_another_stands_is_not_taken_back_and_the_other_is_named(shared: Shared) -> None:
    await shared.do(ANN, "createStage", name="checks")
    await shared.do(BOB, "addService", name="api", type="JOB", stage="checks")
    refused = await shared.do(ANN, "undoPipelineChange")
    assert refused["code"] == "CHANGED_SINCE"
    assert refused["message"] == (
        "The change (checks created at position 5) can't be undone alone, because later changes depend on it: "
        "api placed in checks (version 8)."
    )
    assert [event["version"] for event in refused["events"]] == [8]
    assert (await shared.do(ANN, "undoPipelineChange", dryRun=True)) == refused


async def test_what_others_did_is_nothing_of_ones_own(shared: Shared) -> None:
    await shared.do(BOB, "createStage", name="checks")
    assert (await shared.do(ANN, "undoPipelineChange"))["code"] == "NOTHING_TO_UNDO"


async def test_an_environments_name_is_taken_back_in_its_project_too(shared: Shared) -> None:
    await shared.do(ANN, "editEnvironment", name="Live", concurrency=3)
    taken_back = await shared.do(ANN, "undoPipelineChange")
    assert taken_back["environment"]["name"] == "Production"
    assert taken_back["environment"]["concurrency"] == 8
    await shared.do(ANN, "editEnvironment", name="Live")
    owner = taken_back["environment"]["project"]["id"]
    assert (await shared.mutate(BOB, "createEnvironment", project=owner, name="production"))["stages"]
    refused = await shared.do(ANN, "undoPipelineChange")
    assert refused["message"] == "The name 'production' is taken by another environment."


async def test_a_change_that_is_long_ago_is_found(shared: Shared) -> None:
    stream = EnvironmentId(uuid_of("environment", shared.id) or ids.new())
    made = await shared.do(ANN, "createStage", name="checks")
    first = made["stages"][0]["id"]
    for turn in range(101):
        await shared.do(BOB, "editStage", stage=first, name=f"turn {turn}", description=f"turn {turn}")
    assert len(await shared.application.log.events(stream)) > 200
    assert names((await shared.do(ANN, "undoPipelineChange"))["stages"]) == ["turn 100", *STAGES[1:]]
