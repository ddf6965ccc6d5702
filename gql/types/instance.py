"""Instances of services, and the plan of a deployment for each service."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import Private

from domain import deployment as runs
from domain.deployment import action as actions
from domain.deployment import converge
from domain.deployment import queue as queues
from domain.deployment.effect import Effect
from domain.deployment.instance import Instance, InstanceStatus
from domain.deployment.plan import Endpoint
from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment as DeploymentState
from domain.deployment.step import Omission, ServiceRun, Status
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import ServiceSpec, ServiceType
from domain.variable import merged
from endpoint.execution.answers import WHOLE
from endpoint.execution.edge import Selected, edge
from gql.context import Context
from gql.contract import enum
from gql.types import deployment as deployments
from gql.types.deployment import Deployment
from gql.types.deployment_snapshot import DeploymentServiceSnapshot
from gql.types.deployment_stage import DeploymentService
from gql.types.environment import environments_of
from gql.types.field_change import FieldChange, field_changes
from gql.types.service import Service


class PlannedAction(StrEnum):
    """The plan of a deployment for a service."""

    RENEW = "RENEW"
    UNCHANGED = "UNCHANGED"
    SKIPPED = "SKIPPED"
    RESTART = "RESTART"
    START = "START"
    STOP = "STOP"
    DELETE = "DELETE"


enum.describe(
    PlannedAction,
    "What a deployment would do with a service.",
    RENEW="Build and deploy it; a job runs.",
    UNCHANGED="Leave it as it is, if it is healthy when its turn comes; a job does not run.",
    SKIPPED="Leave it out: it is skipped in the pipeline, was deployed before, or there is nothing to do.",
    RESTART="Replace what runs of it, without a build.",
    START="Start it as it ran last, without a build.",
    STOP="Stop it.",
    DELETE="Stop it, and forget what ran of it.",
)
enum.describe(
    InstanceStatus,
    "The status of an instance, as far as deployments know.",
    RUNNING="A deployment brought it, and none has stopped it since.",
    STOPPED="A deployment stopped it. It is started again by a deployment that starts or deploys the service.",
    LOST="Its service was stopped first for a new version, and did not become healthy again. It may run.",
)


ACTIONS = {Status.SKIPPED: PlannedAction.SKIPPED, Status.UNCHANGED: PlannedAction.UNCHANGED}


@strawberry.type(
    description="What runs of a service, or ran until it was stopped, as far as deployments know. It may have ended"
    " since: nobody watches it."
)
class ServiceInstance:
    status: InstanceStatus = strawberry.field(description="Whether it runs, or was stopped.")
    ports: list[int] = strawberry.field(description="The ports on which it listens.")
    revision: str | None = strawberry.field(description="The revision of its sources, if the deployment had one.")
    known: Private[Instance]


@strawberry.type(description="What a deployment would do with a service.")
class ServicePlan:
    action: PlannedAction = strawberry.field(description="The action.")
    reason: str | None = strawberry.field(description="The reason why there is nothing to do with it, if that is so.")
    instance: ServiceInstance | None = strawberry.field(
        description="What runs of the service now, as far as deployments know; null for a job."
    )
    changes: list[FieldChange] = strawberry.field(
        description="The fields in which the planned specification differs from that of the instance. `env` has the"
        " variables of the environment and its project, too."
    )


@edge(ServiceInstance, "The deployment that brought the instance.", name="deployment")
async def instance_deployment(context: Context, found: list[ServiceInstance], selected: Selected) -> list[Deployment]:
    runs = await _deployments(context, [each.known.deployment for each in found])
    return [run for run in runs if run is not None]


async def _deployments(context: Context, ids: Sequence[DeploymentId | None]) -> list[Deployment | None]:
    await context.settled()
    views = await context.application.deployments.find({each for each in ids if each is not None})
    context.reads(WHOLE)
    owners = await environments_of(context, {view.environment for view in views.values()})
    epoch = context.application.log.epoch
    made = {id_: deployments.convert(view, owners[view.environment], epoch) for id_, view in views.items()}
    return [None if each is None else made[each] for each in ids]


@edge(ServiceInstance, "The deployment that stopped it, if it is stopped.")
async def stopped_by(context: Context, found: list[ServiceInstance], selected: Selected) -> list[Deployment | None]:
    return await _deployments(context, [each.known.stopped_by for each in found])


@edge(ServiceInstance, "Since when it has its status; null if that was never recorded.")
async def since(context: Context, found: list[ServiceInstance], selected: Selected) -> list[datetime | None]:
    at = await _deployments(context, [each.known.stopped_by or each.known.deployment for each in found])
    return [_end_of(run, each.known.service) for run, each in zip(at, found, strict=True)]


def _end_of(run: Deployment | None, service: ServiceId) -> datetime | None:
    """Return when the last step of *service* ended in *run*."""
    stages = [] if run is None else run.stages
    return next(
        (each.deploy.finished_at for stage in stages for each in stage.services if each.live[1] == service), None
    )


@edge(
    Service,
    "What runs of the service, or ran until it was stopped; null if nothing did, and for a job.",
    name="instance",
)
async def service_instance(
    context: Context, services: list[Service], selected: Selected
) -> list[ServiceInstance | None]:
    known = {key: await _inherited(context, key) for key in {each.key[0] for each in services}}
    return [
        None if each.type is ServiceType.JOB else _converted(known[each.key[0]].get(each.key[1].int))
        for each in services
    ]


@edge(
    DeploymentService,
    "What runs of the service during the deployment, and ran at its end; null if nothing did, and for a job.",
    name="instance",
)
async def deployed_instance(
    context: Context, services: list[DeploymentService], selected: Selected
) -> list[ServiceInstance | None]:
    context.reads(*{each.run for each in services})
    states = await _states(context, {each.run for each in services})
    return [
        None
        if each.type is ServiceType.JOB
        else _converted(converge.instance(states[each.run], each.run, ServiceId(each.live[1])))
        for each in services
    ]


@edge(DeploymentServiceSnapshot, "What the deployment would do with the service; null but in a dry run.", name="plan")
async def service_plan(
    context: Context, services: list[DeploymentServiceSnapshot], selected: Selected
) -> list[ServicePlan | None]:
    found: dict[ServiceId, ServicePlan] = {}
    for planned in {id(each.planned): each.planned for each in services}.values():
        if planned is not None and planned.environment is not None:
            found |= await _plans(context, planned, planned.environment)
    return [found.get(each.key) for each in services]


async def _plans(
    context: Context, planned: DeploymentState, environment: EnvironmentId
) -> dict[ServiceId, ServicePlan]:
    inherited = await _inherited(context, environment)
    state = _expected(replace(planned, inherited=inherited))
    brought = await _states(context, {each.deployment for each in inherited.values()})
    runs = [run for stage in state.stages for run in stage.services]
    return {run.service.id: _plan(state, run, brought) for run in runs}


def _expected(state: DeploymentState) -> DeploymentState:
    """Return *state* with what can be known of each stage's services when the next stage refers to them."""
    for index, stage in enumerate(state.stages):
        services = tuple([_expected_run(state, run) for run in stage.services])
        after = (*state.stages[:index], replace(stage, services=services), *state.stages[index + 1 :])
        state = replace(state, stages=after)
    return state


def _expected_run(state: DeploymentState, run: ServiceRun) -> ServiceRun:
    if run.status is not Status.QUEUED:
        return run
    if cause := _omission(state, run):
        return replace(run, status=Status.SKIPPED, omission=cause)
    if converge.known(state, run):
        return replace(run, status=Status.UNCHANGED)
    is_job = run.service.type is ServiceType.JOB
    return run if is_job else replace(run, endpoint=Endpoint(ports=run.service.spec.ports))  # fixed ports are known


def _omission(state: DeploymentState, run: ServiceRun) -> Omission | None:
    """Return why there is nothing to do with a service, as far as that is known before its turn."""
    if state.plan is None:
        return None
    cause = actions.omission(state.plan.effect, run.service, state.inherited.get(run.service.id.int))
    is_started = cause is None and state.plan.effect is Effect.START and converge.known(state, run) is not None
    return Omission.RUNNING if is_started else cause


def _plan(state: DeploymentState, run: ServiceRun, brought: Mapping[UUID, DeploymentState]) -> ServicePlan:
    instance = state.inherited.get(run.service.id.int)
    source = None if instance is None else brought[instance.deployment]
    before = None if source is None else source.run_of(run.service.id)
    effect = Effect.DEPLOY if state.plan is None else state.plan.effect
    due = PlannedAction.RENEW if effect is Effect.DEPLOY else PlannedAction(effect)
    cause = run.omission
    return ServicePlan(
        action=ACTIONS.get(run.status, due),
        reason=None if cause is None else actions.omission_words(cause, actions.since(cause, instance)),
        instance=None if run.service.type is ServiceType.JOB else _converted(instance),
        changes=[]
        if source is None or before is None
        else field_changes(_with_variables(source, before), _with_variables(state, run)),
    )


def _with_variables(state: DeploymentState, run: ServiceRun) -> ServiceSpec:
    """Return the specification of *run* with the variables of its environment and project, which every service gets."""
    spec = run.service.spec
    return replace(spec, env=merged(state.plan.variables, spec.env)) if state.plan and state.plan.variables else spec


def _converted(instance: Instance | None) -> ServiceInstance | None:
    if instance is None:
        return None
    return ServiceInstance(
        status=instance.status, ports=list(instance.ports), revision=instance.revision, known=instance
    )


async def _inherited(context: Context, environment: EnvironmentId) -> Mapping[int, Instance]:
    """Return the instances of an environment, by the services' ids as integers."""
    context.reads(WHOLE)
    states = context.application.handler.states
    queue = (await states.load(queues.decider, queues.stream(environment), has_asked=context.has_asked)).state
    admitted = None if queue.admitted is None else queue.admitted.deployment
    newest = [each for each in (admitted, queue.last) if each is not None]
    for id_, state in (await _states(context, newest)).items():
        if state.worker is not None:  # it has started
            return {each.service.int: each for each in converge.instances(state, DeploymentId(id_))}
    return {}


async def _states(context: Context, wanted: Collection[DeploymentId]) -> dict[UUID, DeploymentState]:
    states = context.application.handler.states
    return {each: (await states.load(runs.decider, each, has_asked=context.has_asked)).state for each in wanted}
