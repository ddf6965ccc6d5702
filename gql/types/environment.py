"""Environments: found, listed, made, edited and deleted."""

from uuid import UUID

import strawberry
from strawberry import ID

from application.handler import Transaction
from domain import pipeline as domain
from domain import project as projects
from domain.deployment import queue as queues
from domain.errors import EnvironmentBusy, InvalidArgument, NotFound, TargetUnavailable
from domain.pipeline.environment import (
    DEFAULT_CONCURRENCY,
    CreateEnvironment,
    DeleteEnvironment,
    EditEnvironment,
    Target,
)
from domain.pipeline.ref import StageId
from domain.project import EnvironmentId, FreeEnvironmentName, NameEnvironment, ProjectId
from endpoint.execution.answers import WHOLE
from gql.context import Context, Info
from gql.contract.connection import Connection, connection, part
from gql.contract.mutation import Write, mutation
from gql.contract.node import uuid_of
from gql.types.pipeline import Environment, PipelineResult, answer, existing, project_ref
from gql.types.pipeline import environment as shown
from gql.types.project import find as find_project
from store import ids


@strawberry.type
class Query:
    @strawberry.field(description="A project's environments, by name.")
    async def environments(
        self,
        info: Info,
        project: ID,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Environment]:
        application = info.context.application
        await info.context.settled()
        info.context.reads(WHOLE)
        owner = await find_project(info.context, project)
        own = await project_ref(info.context, owner)
        page = await application.environments.list(owner, part(first, after, last, before))
        return connection(page, lambda view: shown(view, own))

    @strawberry.field(description="An environment by its id, or by its project (id or name) and its name.")
    async def environment(
        self, info: Info, id: ID | None = None, project: ID | None = None, name: str | None = None
    ) -> Environment | None:
        found = await _find(info.context, id, project, name)
        view = None if found is None else await info.context.application.pipelines.get(found)
        if view is None:
            return None
        if id is not None:
            info.context.reads(view.environment, view.project)
        return shown(view, await project_ref(info.context, view.project))


async def _find(context: Context, id: str | None, project: str | None, name: str | None) -> EnvironmentId | None:
    if id is not None and project is None and name is None:
        found = uuid_of("environment", id)
        return None if found is None else EnvironmentId(found)
    if id is not None or project is None or name is None:
        raise InvalidArgument(argument="environment", why="give its id, or its project and its name")
    try:
        owner = await find_project(context, project)
        return (await context.application.handler.states.load(projects.decider, owner)).state.find(name)
    except NotFound:
        return None


def _available(context: Context, target: Target | None) -> Target | None:
    targets = context.application.targets
    if target is not None and target not in targets:
        raise TargetUnavailable(target=target.value, available=", ".join(sorted(targets)))
    return target


def _owner(state: domain.Pipeline) -> ProjectId:
    assert state.project is not None, "an environment that exists has a project"
    return state.project


@mutation("Makes an environment, with the four default stages.")
async def create_environment(
    write: Write,
    project: ID,
    name: str,
    target: Target = Target.PROCESS,
    concurrency: int = DEFAULT_CONCURRENCY,
) -> PipelineResult:
    owner = await find_project(write.context, project)
    environment = EnvironmentId(ids.new())
    command = CreateEnvironment(
        project=owner,
        name=name,
        stages=(StageId(ids.new()), StageId(ids.new()), StageId(ids.new()), StageId(ids.new())),
        target=_available(write.context, target) or target,
        concurrency=concurrency,
    )

    async def work(transaction: Transaction) -> UUID:
        await transaction.do(projects.decider, owner, NameEnvironment(environment=environment, name=name))
        await transaction.do(domain.decider, environment, command, write.expected_version)
        return environment

    return await answer(write, await write.transact(work, domain.decider))


@mutation("Renames an environment, or changes its target or how many services are worked on at once.")
async def edit_environment(
    write: Write,
    environment: ID,
    name: str | None = None,
    target: Target | None = None,
    concurrency: int | None = None,
) -> PipelineResult:
    command = EditEnvironment(name=name, target=_available(write.context, target), concurrency=concurrency)

    async def work(transaction: Transaction) -> UUID:
        stream = await existing(write, transaction, environment)
        after = await transaction.do(domain.decider, stream, command, write.expected_version)
        if name is not None:
            naming = NameEnvironment(environment=stream, name=name)
            await transaction.do(projects.decider, _owner(after.state), naming)
        return stream

    return await answer(write, await write.transact(work, domain.decider))


@mutation("Deletes an environment: its services are stopped, its history stays.")
async def delete_environment(write: Write, environment: ID) -> PipelineResult:

    async def work(transaction: Transaction) -> UUID:
        stream = await existing(write, transaction, environment)
        after = await transaction.do(domain.decider, stream, DeleteEnvironment(), write.expected_version)
        queue = await transaction.load(queues.decider, queues.stream(stream))
        if queue.state.open:
            raise EnvironmentBusy(number=queue.state.open[0].number)
        await transaction.do(projects.decider, _owner(after.state), FreeEnvironmentName(environment=stream))
        return stream

    return await answer(write, await write.transact(work, domain.decider))
