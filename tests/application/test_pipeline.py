"""Use cases of pipelines: change, restore, apply and undo, each in one append."""

from functools import partial

import pytest
from msgspec.structs import replace

from application import pipeline as use_cases
from application import undo as undoing
from application.handler import Handler, Transaction
from domain import pipeline as pipelines
from domain import project as projects
from domain.errors import ChangedSince, EnvironmentNotFound, NothingToUndo, VersionNotFound
from domain.pipeline.environment import CreateEnvironment, Target
from domain.pipeline.ref import StageId
from domain.pipeline.stage import CreateStage, EditStage
from domain.pipeline.state import Pipeline, PipelineCommand
from domain.project import EnvironmentId, NameEnvironment, ProjectId
from projections.pipeline import Pipelines
from store.ids import new
from store.log import Author, EventLog, Origin

ANN = Author(actor="ann", origin=Origin.API)
BOB = Author(actor="bob", origin=Origin.API)
TARGETS = frozenset({Target.PROCESS})


@pytest.fixture
def handler(log: EventLog) -> Handler:
    return Handler(log)


@pytest.fixture
async def environment(handler: Handler) -> EnvironmentId:
    id_, project = EnvironmentId(new()), ProjectId(new())
    await handler.handle(projects.decider, project, projects.CreateProject(name="Shop"), ANN)
    await handler.handle(projects.decider, project, NameEnvironment(environment=id_, name="Production"), ANN)
    stages = (StageId(new()), StageId(new()), StageId(new()), StageId(new()))
    create = CreateEnvironment(project=project, name="Production", stages=stages)
    await handler.handle(pipelines.decider, id_, create, ANN)
    return id_


async def change(handler: Handler, environment: EnvironmentId, command: PipelineCommand, by: Author = ANN) -> Pipeline:
    use_case = partial(use_cases.change, environment=environment, command=command)
    return (await handler.transact(use_case, pipelines.decider, by)).state


async def undo(handler: Handler, environment: EnvironmentId, by: Author = ANN) -> Pipeline:
    use_case = partial(
        undoing.undo,
        environment=environment,
        change=None,
        actor=by.actor,
        log=handler.log,
        views=Pipelines(handler.log),
        targets=TARGETS,
    )
    return (await handler.transact(use_case, pipelines.decider, by)).state


def names(pipeline: Pipeline) -> list[str]:
    return [stage.name for stage in pipeline.stages]


async def test_a_change_needs_an_environment(handler: Handler) -> None:
    with pytest.raises(EnvironmentNotFound):
        await change(handler, EnvironmentId(new()), CreateStage(stage=StageId(new()), name="Checks"))


async def test_a_past_version_is_restored(handler: Handler, environment: EnvironmentId) -> None:
    before = await handler.states.load(pipelines.decider, environment)
    await change(handler, environment, CreateStage(stage=StageId(new()), name="Checks"))
    restore = partial(use_cases.restore, environment=environment, views=Pipelines(handler.log), targets=TARGETS)
    after = await handler.transact(partial(restore, version=before.version), pipelines.decider, ANN)
    assert after.state.stages == before.state.stages
    with pytest.raises(VersionNotFound):
        await handler.transact(partial(restore, version=99), pipelines.decider, ANN)


async def test_a_revision_is_applied_to_several_environments(handler: Handler, environment: EnvironmentId) -> None:
    def revise(now: Pipeline) -> Pipeline:
        return replace(now, stages=tuple(replace(stage, name=f"{stage.name} 2") for stage in now.stages))

    async def work(transaction: Transaction) -> EnvironmentId:
        results = await use_cases.apply(transaction, [environment], revise, TARGETS)
        assert list(results) == [environment]
        return environment

    before = (await handler.states.load(pipelines.decider, environment)).state
    after = (await handler.transact(work, pipelines.decider, ANN)).state
    assert names(after) == [f"{name} 2" for name in names(before)]


async def test_an_undo_keeps_the_later_changes_of_others(handler: Handler, environment: EnvironmentId) -> None:
    before = (await handler.states.load(pipelines.decider, environment)).state
    await change(handler, environment, CreateStage(stage=StageId(new()), name="Mine"))
    await change(handler, environment, CreateStage(stage=StageId(new()), name="Theirs"), BOB)
    assert names(await undo(handler, environment)) == [*names(before), "Theirs"]


async def test_an_undo_is_refused_if_later_changes_depend_on_it(handler: Handler, environment: EnvironmentId) -> None:
    mine = StageId(new())
    await change(handler, environment, CreateStage(stage=mine, name="Mine"))
    await change(handler, environment, EditStage(stage=mine, name="Theirs"), BOB)
    with pytest.raises(ChangedSince):
        await undo(handler, environment)
    with pytest.raises(NothingToUndo):
        await undo(handler, environment, Author(actor="eve", origin=Origin.API))
