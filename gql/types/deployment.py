"""Deployments: requested, cancelled, found and listed."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import ID

from application import deployment as deployments
from application.handler import Outcome, Transaction
from domain import deployment as domain
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.state import Cancellation
from domain.deployment.step import Phase, Status
from domain.errors import DeploymentNotFound, EnvironmentNotFound, VersionMismatch
from domain.project import EnvironmentId
from domain.spec import ServiceType
from endpoint.execution.answers import WHOLE
from endpoint.execution.selection import names
from endpoint.streams.mark import PERSONAL
from gql.context import Context, Info
from gql.contract import cursor as cursors
from gql.contract.connection import Connection, connection, part
from gql.contract.errors import Refusal
from gql.contract.mutation import Write, mutation
from gql.contract.node import Node, global_id, uuid_of
from gql.types.actor import ACTOR_NAME, actor_name
from gql.types.diff import PipelineDiff, between
from gql.types.pipeline import (
    EnvironmentRef,
    Pipeline,
    ServiceRef,
    StageRef,
    environment_id,
    existing,
    service_ref,
    stage_ref,
    view_of,
)
from gql.types.pipeline import pinned as pinned_pipelines
from gql.types.pipeline import pipeline as shown_pipeline
from projections.deployment import DeploymentSummary, DeploymentView, StageView, projection
from projections.step import ServiceView, StepView
from store import ids

strawberry.enum(Action, description="What a deployment does with the services of its plan.")
strawberry.enum(Status, description="Of a deployment, a stage, a service, or a step of one.")
strawberry.enum(Phase, description="The two steps of a service: it is built, then deployed.")
strawberry.enum(Cancellation, description="SAFE lets what runs come to its end; FORCED stops it as well.")


@strawberry.type(description="Why a deployment failed: the first step that did.")
class StepFailure:
    stage: StageRef
    service: ServiceRef
    phase: Phase
    reason: str


@strawberry.type(description="Building or deploying one service, as far as it has come.")
class Step:
    status: Status
    attempt: int = strawberry.field(description="Counted from 1.")
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None = strawberry.field(description="Why the last attempt failed.")


@strawberry.type(description="A service of the plan.")
class DeploymentService:
    id: ID
    name: str
    type: ServiceType
    status: Status
    ports: list[int] = strawberry.field(description="What the deployed service listens on.")
    build: Step
    deploy: Step


@strawberry.type(description="A stage of the plan.")
class DeploymentStage:
    id: ID
    position: int
    name: str
    status: Status
    started_at: datetime | None
    finished_at: datetime | None
    services: list[DeploymentService]


@strawberry.type(description="One numbered run of the pipeline as it stood when the run was requested.")
class Deployment(Node):
    environment: EnvironmentRef
    number: int = strawberry.field(description="Counts the environment's deployments from 1.")
    action: Action
    status: Status
    actor: str = strawberry.field(description="Who requested it.")
    actor_name: str | None = strawberry.field(resolver=actor_name, description=ACTOR_NAME, metadata=PERSONAL)
    reason: str | None
    pipeline_version: int = strawberry.field(description="The version of the pipeline that it carries out.")
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancellation: Cancellation | None
    failure: StepFailure | None
    stages: list[DeploymentStage]
    version: int = strawberry.field(description="Counts the deployment's events.")
    cursor: str = strawberry.field(
        description="Where its last event stands in the log: follow deploymentEvents after it."
    )

    @strawberry.field(description="The environment's pipeline as the deployment pinned it.")
    async def pipeline(self, info: Info) -> Pipeline | None:
        pinned = await info.context.together(pinned_pipelines, self._pinned)
        return None if pinned is None else shown_pipeline(*pinned, info.context.application.log.epoch)

    @strawberry.field(description="What has changed in the environment's pipeline since the deployment pinned it.")
    async def changed_since(self, info: Info) -> PipelineDiff | None:
        pinned = await info.context.together(pinned_pipelines, self._pinned)
        present: tuple[EnvironmentId, int | None] = (self._pinned[0], None)
        now = await info.context.together(pinned_pipelines, present)
        return None if pinned is None or now is None else await between(info.context, pinned[0], *now)

    @property
    def _pinned(self) -> tuple[EnvironmentId, int | None]:
        return environment_id(self.environment.id), self.pipeline_version


DeploymentResult = Annotated[
    Deployment | Refusal,
    strawberry.union(
        "DeploymentResult", description="The deployment as the change left it, or why there is no change."
    ),
]


async def shown(context: Context, view: DeploymentView) -> Deployment:
    return deployment(view, await _name(context, view.environment), context.application.log.epoch)


async def _name(context: Context, environment: EnvironmentId) -> str:
    view = await context.application.pipelines.get(environment)
    return "" if view is None else view.pipeline.name


STEPS = frozenset({"stages", "failure"})
"""The fields that say something of a deployment's steps."""


def deployment(view: DeploymentSummary, environment: str, epoch: str) -> Deployment:
    """*environment* is the environment's name. A summary is for where nothing of `STEPS` is asked for."""
    return Deployment(
        id=global_id("deployment", view.id),
        environment=EnvironmentRef(id=global_id("environment", view.environment), name=environment),
        number=view.number,
        action=view.action,
        status=view.status,
        actor=view.actor,
        reason=view.reason,
        pipeline_version=view.pipeline_version,
        requested_at=view.requested_at,
        started_at=view.started_at,
        finished_at=view.finished_at,
        cancellation=view.cancellation,
        failure=_failure(view) if isinstance(view, DeploymentView) else None,
        stages=[_stage(stage) for stage in view.stages] if isinstance(view, DeploymentView) else [],
        version=view.version,
        cursor=cursors.of_position(epoch, view.position),
    )


def _failure(view: DeploymentView) -> StepFailure | None:
    failure = view.failure
    if failure is None:
        return None
    stage = next(stage for stage in view.stages if stage.id == failure.stage)
    service = next(service for service in stage.services if service.id == failure.service)
    return StepFailure(
        stage=stage_ref(stage.id, stage.name),
        service=service_ref(service.id, service.name, service.type),
        phase=failure.phase,
        reason=failure.reason,
    )


def _stage(view: StageView) -> DeploymentStage:
    return DeploymentStage(
        id=global_id("stage", view.id),
        position=view.position,
        name=view.name,
        status=view.status,
        started_at=view.started_at,
        finished_at=view.finished_at,
        services=[_service(service) for service in view.services],
    )


def _service(view: ServiceView) -> DeploymentService:
    return DeploymentService(
        id=global_id("service", view.id),
        name=view.name,
        type=view.type,
        status=view.status,
        ports=list(view.ports),
        build=_step(view.build),
        deploy=_step(view.deploy),
    )


def _step(view: StepView) -> Step:
    return Step(
        status=view.status,
        attempt=view.attempt,
        started_at=view.started_at,
        finished_at=view.finished_at,
        reason=view.reason,
    )


def deployment_id(text: str) -> DeploymentId:
    """The deployment that the id *text* names; raises `DeploymentNotFound`."""
    found = uuid_of("deployment", text)
    if found is None:
        raise DeploymentNotFound(deployment=text)
    return DeploymentId(found)


@strawberry.type
class Query:
    @strawberry.field(description="A deployment, live or long over.")
    async def deployment(self, info: Info, id: ID) -> Deployment | None:
        found = uuid_of("deployment", id)
        if found is None:
            return None
        await info.context.settled()
        view = await info.context.application.deployments.get(DeploymentId(found))
        if view is None:
            return None
        info.context.reads(view.id, view.environment)
        return await shown(info.context, view)

    @strawberry.field(description="An environment's deployments, the newest first.")
    async def deployments(
        self,
        info: Info,
        environment: ID,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Deployment]:
        application = info.context.application
        owner = await view_of(info.context, environment)
        if owner is None:
            raise EnvironmentNotFound(environment=environment)
        await info.context.settled()
        info.context.reads(WHOLE)
        page = await application.deployments.list(
            owner.environment, part(first, after, last, before), has_steps=not STEPS.isdisjoint(names(info))
        )
        name = owner.pipeline.name
        return connection(page, lambda view: deployment(view, name, application.log.epoch))


async def _answer(write: Write, handled: Outcome[domain.Deployment]) -> Deployment:
    """The deployment as the change left it, or as a dry run would have left it."""
    version = handled.subject.version - (len(handled.events) if write.dry_run else 0)
    view = await write.context.application.deployments.read(DeploymentId(handled.subject.stream), version)
    if write.dry_run and handled.events:
        view = projection.replay(handled.preview(write.context.author(write.reason)), view)
        view = view and replace(view, position=handled.receipt.position)  # its cursor is a place that there is
    assert view is not None, "a handled command leaves a deployment behind"
    return await shown(write.context, view)


@mutation("Deploys an environment: pins its pipeline as it stands, and puts the deployment into the queue.")
async def deploy(write: Write, environment: ID) -> DeploymentResult:
    author = write.context.author(write.reason)

    async def work(transaction: Transaction) -> UUID:
        owner = await existing(write, transaction, environment)
        deployment = DeploymentId(ids.new())
        return await deployments.request(transaction, owner, deployment, author.actor, expected=write.expected_version)

    return await _answer(write, await write.transact(work, domain.decider))


@mutation("Cancels a deployment, at safe points or, forced, at once.")
async def cancel_deployment(write: Write, deployment: ID, force: bool = False) -> DeploymentResult:
    cancelled = deployment_id(deployment)
    if await write.context.application.deployments.read(cancelled) is None:  # so, too, for an id of something else
        raise DeploymentNotFound(deployment=deployment)

    async def work(transaction: Transaction) -> UUID:
        if write.expected_version is not None:
            loaded = await transaction.load(domain.decider, cancelled)
            if loaded.version != write.expected_version:
                raise VersionMismatch(expected=write.expected_version, current=loaded.version)
        return await deployments.cancel(transaction, cancelled, force)

    return await _answer(write, await write.transact(work, domain.decider))
