"""
Use cases of environments: create, edit, delete, clone.

Names are unique in a project, so a change of a name also changes the stream of the project. *expected* is the expected
version of the environment's pipeline, None for any.
"""

from msgspec.structs import replace as replaced

from application.handler import Transaction, mismatch
from application.pipeline import Targets, check_left, check_target, existing, replace
from application.project import ProjectRef, find
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment import queue as queues
from domain.errors import EnvironmentBusy
from domain.pipeline.environment import CreateEnvironment, DeleteEnvironment, EditEnvironment, Target
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.state import Pipeline
from domain.project import EnvironmentId, FreeEnvironmentName, NameEnvironment, ProjectId
from store import ids


async def create(
    transaction: Transaction,
    environment: EnvironmentId,
    project: ProjectRef,
    name: str,
    target: Target,
    concurrency: int,
    targets: Targets,
) -> EnvironmentId:
    """Create *environment*; raises `ProjectNotFound`, `TargetUnavailable` or `NameTaken`."""
    owner = await find(transaction, project)
    check_target(targets, target)
    stages = (StageId(ids.new()), StageId(ids.new()), StageId(ids.new()), StageId(ids.new()))
    created = CreateEnvironment(project=owner, name=name, stages=stages, target=target, concurrency=concurrency)
    await transaction.do(projects.decider, owner, NameEnvironment(environment=environment, name=name))
    await transaction.do(pipelines.decider, environment, created)
    return environment


async def edit(
    transaction: Transaction,
    environment: EnvironmentId,
    command: EditEnvironment,
    targets: Targets,
    expected: int | None = None,
) -> EnvironmentId:
    """Edit *environment*; raises `EnvironmentNotFound`, `NameTaken`, and for a new target as `replace` does."""
    if command.target is not None:
        check_target(targets, command.target)
    before = await existing(transaction, environment)
    after = await transaction.do(pipelines.decider, environment, command, expected)
    if after.state.target != before.target:
        await check_left(transaction, environment, before, targets)
    if command.name is not None:
        naming = NameEnvironment(environment=environment, name=command.name)
        await transaction.do(projects.decider, _project(after.state), naming)
    return environment


async def delete(transaction: Transaction, environment: EnvironmentId, expected: int | None = None) -> EnvironmentId:
    """Delete *environment*; raises `EnvironmentNotFound`, or `EnvironmentBusy` while a deployment has not ended."""
    await existing(transaction, environment)
    after = await transaction.do(pipelines.decider, environment, DeleteEnvironment(), expected)
    queue = await transaction.load(queues.decider, queues.stream(environment))
    if queue.state.open:
        raise EnvironmentBusy(number=queue.state.open[0].number)
    await transaction.do(projects.decider, _project(after.state), FreeEnvironmentName(environment=environment))
    return environment


async def clone(
    transaction: Transaction,
    source: EnvironmentId,
    clone: EnvironmentId,
    name: str,
    project: ProjectRef | None,
    targets: Targets,
    expected: int | None = None,
) -> EnvironmentId:
    """Create *clone* with the stages, services and settings of *source*, in its project if *project* is None.

    *expected* is the expected version of *source*.
    """
    pipeline = await existing(transaction, source)
    version = (await transaction.load(pipelines.decider, source)).version
    if expected is not None and expected != version:
        raise mismatch(source, expected, version)
    owner = _project(pipeline) if project is None else await find(transaction, project)
    await transaction.do(projects.decider, owner, NameEnvironment(environment=clone, name=name))
    wanted = replaced(_with_new_ids(pipeline), project=owner, name=name)
    await replace(transaction, clone, wanted, targets)
    return clone


def _with_new_ids(pipeline: Pipeline) -> Pipeline:
    stages = tuple(
        replaced(
            stage,
            id=StageId(ids.new()),
            services=tuple(replaced(service, id=ServiceId(ids.new())) for service in stage.services),
        )
        for stage in pipeline.stages
    )
    return replaced(pipeline, stages=stages)


def _project(pipeline: Pipeline) -> ProjectId:
    assert pipeline.project is not None, "an environment that exists has a project"
    return pipeline.project
