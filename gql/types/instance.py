"""Instances of services, and the plan of a deployment for each service."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import Private

from domain import deployment as runs
from domain.deployment import converge
from domain.deployment import queue as queues
from domain.deployment.instance import Instance
from domain.deployment.plan import Endpoint
from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment as DeploymentState
from domain.deployment.step import ServiceRun, Status
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


enum.describe(
    PlannedAction,
    "What a deployment would do with a service.",
    RENEW="Build and deploy it; a job runs.",
    UNCHANGED="Leave it as it is, if it is healthy when its turn comes; a job does not run.",
    SKIPPED="Leave it out: it is skipped in the pipeline, or an earlier deployment has deployed it.",
)


ACTIONS = {Status.SKIPPED: PlannedAction.SKIPPED, Status.UNCHANGED: PlannedAction.UNCHANGED}


@strawberry.type(
    description="What runs of a service, as far as deployments know. It may have ended since: nobody watches it."
)
class ServiceInstance:
    ports: list[int] = strawberry.field(description="The ports on which it listens.")
    revision: str | None = strawberry.field(description="The revision of its sources, if the deployment had one.")
    known: Private[Instance]


@strawberry.type(description="What a deployment would do with a service.")
class ServicePlan:
    action: PlannedAction = strawberry.field(description="The action.")
    instance: ServiceInstance | None = strawberry.field(
        description="What runs of the service now, as far as deployments know; null for a job."
    )
    changes: list[FieldChange] = strawberry.field(
        description="The fields in which the planned specification differs from that of the instance. `env` has the"
        " variables of the environment and its project, too."
    )


@edge(ServiceInstance, "The deployment that brought the instance.", name="deployment")
async def instance_deployment(context: Context, found: list[ServiceInstance], selected: Selected) -> list[Deployment]:
    await context.settled()
    views = await context.application.deployments.find({each.known.deployment for each in found})
    context.reads(WHOLE)
    owners = await environments_of(context, {view.environment for view in views.values()})
    epoch = context.application.log.epoch
    made = {id_: deployments.convert(view, owners[view.environment], epoch) for id_, view in views.items()}
    return [made[each.known.deployment] for each in found]


@edge(Service, "What runs of the service; null if nothing does, and for a job.", name="instance")
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
    if converge.known(state, run):
        return replace(run, status=Status.UNCHANGED)
    is_job = run.service.type is ServiceType.JOB
    return run if is_job else replace(run, endpoint=Endpoint(ports=run.service.spec.ports))  # fixed ports are known


def _plan(state: DeploymentState, run: ServiceRun, brought: Mapping[UUID, DeploymentState]) -> ServicePlan:
    instance = state.inherited.get(run.service.id.int)
    source = None if instance is None else brought[instance.deployment]
    before = None if source is None else source.run_of(run.service.id)
    return ServicePlan(
        action=ACTIONS.get(run.status, PlannedAction.RENEW),
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
    return ServiceInstance(ports=list(instance.ports), revision=instance.revision, known=instance)


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
