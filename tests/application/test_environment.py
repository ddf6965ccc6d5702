"""Use cases of environments: an environment and the names of its project change together."""

from functools import partial

import pytest

import application.project
from application import environment as use_cases
from application.handler import Handler
from domain import pipeline as pipelines
from domain import project as projects
from domain.errors import EnvironmentNotFound, NameTaken, TargetUnavailable, VersionMismatch
from domain.pipeline.environment import CreateEnvironment, EditEnvironment, Target
from domain.pipeline.ref import StageId
from domain.pipeline.state import Pipeline
from domain.project import EnvironmentId, ProjectId
from store.ids import new
from store.log import Author, EventLog, Origin

ANN = Author(actor="ann", origin=Origin.API)
PROCESS_ONLY = frozenset({Target.PROCESS})


@pytest.fixture
def handler(log: EventLog) -> Handler:
    return Handler(log)


@pytest.fixture
async def project(handler: Handler) -> ProjectId:
    id_ = ProjectId(new())
    await handler.transact(partial(application.project.create, project=id_, name="Shop"), projects.decider, ANN)
    return id_


def command(project: ProjectId, name: str = "Production", target: Target = Target.PROCESS) -> CreateEnvironment:
    stages = (StageId(new()), StageId(new()), StageId(new()), StageId(new()))
    return CreateEnvironment(project=project, name=name, stages=stages, target=target)


async def create(handler: Handler, wish: CreateEnvironment) -> EnvironmentId:
    use_case = partial(
        use_cases.create,
        environment=EnvironmentId(new()),
        project=wish.project,
        name=wish.name,
        target=wish.target,
        concurrency=wish.concurrency,
        targets=PROCESS_ONLY,
    )
    return EnvironmentId((await handler.transact(use_case, pipelines.decider, ANN)).subject.stream)


async def load(handler: Handler, environment: EnvironmentId) -> Pipeline:
    return (await handler.states.load(pipelines.decider, environment)).state


async def test_a_new_environment_takes_its_name_in_the_project(handler: Handler, project: ProjectId) -> None:
    environment = await create(handler, command(project))
    assert (await handler.states.load(projects.decider, project)).state.find("production") == environment
    with pytest.raises(NameTaken):
        await create(handler, command(project))


async def test_an_environment_needs_a_target_that_the_server_offers(handler: Handler, project: ProjectId) -> None:
    with pytest.raises(TargetUnavailable):
        await create(handler, command(project, target=Target.DOCKER))
    environment = await create(handler, command(project))
    use_case = partial(
        use_cases.edit,
        environment=environment,
        command=EditEnvironment(target=Target.DOCKER),
        targets=PROCESS_ONLY,
    )
    with pytest.raises(TargetUnavailable):
        await handler.transact(use_case, pipelines.decider, ANN)


async def test_a_renamed_environment_frees_its_old_name(handler: Handler, project: ProjectId) -> None:
    environment = await create(handler, command(project))
    use_case = partial(
        use_cases.edit, environment=environment, command=EditEnvironment(name="Staging"), targets=PROCESS_ONLY
    )
    await handler.transact(use_case, pipelines.decider, ANN)
    assert (await load(handler, environment)).name == "Staging"
    await create(handler, command(project))


async def test_a_deleted_environment_frees_its_name_and_is_not_found(handler: Handler, project: ProjectId) -> None:
    environment = await create(handler, command(project))
    delete = partial(use_cases.delete, environment=environment)
    with pytest.raises(VersionMismatch):
        await handler.transact(partial(delete, expected=99), pipelines.decider, ANN)
    await handler.transact(delete, pipelines.decider, ANN)
    await create(handler, command(project))
    with pytest.raises(EnvironmentNotFound):
        await handler.transact(delete, pipelines.decider, ANN)


async def test_a_clone_has_the_same_stages_under_new_ids(handler: Handler, project: ProjectId) -> None:
    source = await create(handler, command(project))
    use_case = partial(
        use_cases.clone,
        source=source,
        clone=EnvironmentId(new()),
        name="Copy",
        project=None,
        targets=PROCESS_ONLY,
    )
    await handler.transact(use_case, pipelines.decider, ANN)
    clone = (await handler.states.load(projects.decider, project)).state.find("Copy")
    one, other = (await load(handler, source)).stages, (await load(handler, clone)).stages
    assert [stage.name for stage in one] == [stage.name for stage in other]
    assert {stage.id for stage in one}.isdisjoint(stage.id for stage in other)
