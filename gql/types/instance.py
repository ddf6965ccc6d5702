"""Instances of services, and the plan of a deployment for each service."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import Private

from domain import deployment as runs
from domain import instance as instances
from domain.deployment import action as actions
from domain.deployment import converge
from domain.deployment import queue as queues
from domain.deployment.effect import Effect
from domain.deployment.instance import Instance
from domain.deployment.plan import Endpoint
from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment as DeploymentState
from domain.deployment.step import Omission, ServiceRun, Status
from domain.deployment.value import HOST
from domain.instance import MAX_REPORTS, InstanceStatus, WatchedInstance, WatchedInstances
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
from gql.types.event import InstanceExit, exit_from_domain
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

ACTIONS = {Status.SKIPPED: PlannedAction.SKIPPED, Status.UNCHANGED: PlannedAction.UNCHANGED}


enum.describe(
    InstanceStatus,
    "The status of an instance after its deployment.",
    RUNNING="It runs, and is healthy.",
    UNHEALTHY="It runs, and fails its health checks.",
    RESTARTING="It has ended, and is started again, or is not healthy yet since then.",
    EXITED="It has ended, and its restart policy leaves it so.",
    GIVEN_UP="It has ended too often, and is not started again before the next deployment; a Kubernetes cluster tries"
    " again after at most 5 minutes.",
    STOPPED="A deployment stopped it. It is started again by a deployment that starts or deploys the service.",
    LOST="Its service was stopped first for a new version, and did not become healthy again, so it may run; or somebody"
    " removed it from its target.",
)


@strawberry.type(description="An address on which an instance listens.")
class InstanceEndpoint:
    host: str = strawberry.field(description="The host, as references to the service have it.")
    port: int = strawberry.field(description="The TCP port.")


@strawberry.type(
    description="What runs of a service, is to run, or ran until it was stopped: the instance that a deployment"
    " brought, as it is reported to be."
    f" At most {MAX_REPORTS} changes a minute are reported; further ones are summed up."
)
class ServiceInstance:
    status: InstanceStatus | None = strawberry.field(
        description="Its status; null if another instance has replaced it since."
    )
    restarts: int = strawberry.field(description="How often it was started again since its deployment.")
    last_exit: InstanceExit | None = strawberry.field(description="Its last end since its deployment, if it ended.")
    problem: str | None = strawberry.field(description="Why it is unhealthy, given up or lost, if that is known.")
    drift: list[str] = strawberry.field(
        description="The fields that somebody has changed on the target since it was deployed, such as"
        " `replicas 3, applied 2`. Only a Kubernetes cluster is watched for that."
    )
    ports: list[int] = strawberry.field(description="The ports on which it listens.")
    endpoints: list[InstanceEndpoint] = strawberry.field(description="The addresses on which it listens.")
    revision: str | None = strawberry.field(description="The revision of its sources, if the deployment had one.")
    known: Private[Instance]
    watched: Private[WatchedInstance | None]


@strawberry.type(description="What a deployment would do with a service.")
class ServicePlan:
    action: PlannedAction = strawberry.field(description="The action.")
    reason: str | None = strawberry.field(
        description="The reason why there is nothing to do with it, or why it is renewed although nothing of it"
        " changes, if that is so."
    )
    instance: ServiceInstance | None = strawberry.field(
        description="What runs of the service now, as far as deployments know; null for a job."
    )
    changes: list[FieldChange] = strawberry.field(
        description="The fields in which the planned specification differs from that of the instance; none if nothing"
        " is deployed but only restarted, started, stopped or deleted. `env` has the variables of the environment and"
        " its project, too."
    )


@edge(ServiceInstance, "The deployment that brought the instance.", name="deployment")
async def instance_deployment(context: Context, found: list[ServiceInstance], selected: Selected) -> list[Deployment]:
    runs = await deployments_of(context, [each.known.deployment for each in found])
    return [run for run in runs if run is not None]


async def deployments_of(context: Context, ids: Sequence[DeploymentId | None]) -> list[Deployment | None]:
    """Return the deployments with *ids*, read at once; None for None."""
    await context.settled()
    views = await context.application.deployments.find({each for each in ids if each is not None})
    context.reads(WHOLE)
    owners = await environments_of(context, {view.environment for view in views.values()})
    epoch = context.application.log.epoch
    made = {id_: deployments.convert(view, owners[view.environment], epoch) for id_, view in views.items()}
    return [None if each is None else made[each] for each in ids]


@edge(ServiceInstance, "The deployment that stopped it, if it is stopped.")
async def stopped_by(context: Context, found: list[ServiceInstance], selected: Selected) -> list[Deployment | None]:
    return await deployments_of(context, [each.known.stopped_by for each in found])


@edge(
    ServiceInstance,
    "Since when it has its status; null if another instance has replaced it, or that was never recorded.",
)
async def since(context: Context, found: list[ServiceInstance], selected: Selected) -> list[datetime | None]:
    at = await deployments_of(context, [each.known.stopped_by or each.known.deployment for each in found])
    return [_since(each, run) for each, run in zip(found, at, strict=True)]


def _since(instance: ServiceInstance, run: Deployment | None) -> datetime | None:
    """Return since when *instance* has its status; *run* brought or stopped it."""
    if instance.status is None:
        return None
    if instance.known.is_running and instance.watched is not None and instance.watched.since is not None:
        return instance.watched.since
    stages = [] if run is None else run.stages
    own = (each for stage in stages for each in stage.services if each.live[1] == instance.known.service)
    return next((each.deploy.finished_at for each in own), None)


@edge(
    Service,
    "What runs of the service, or ran until it was stopped; null if nothing did, and for a job.",
    name="instance",
)
async def service_instance(
    context: Context, services: list[Service], selected: Selected
) -> list[ServiceInstance | None]:
    environments = {each.key[0] for each in services}
    known = {key: await _inherited(context, key) for key in environments}
    watched = {key: await _watched(context, key) for key in environments}
    return [
        None
        if each.type is ServiceType.JOB
        else _converted(known[each.key[0]].get(each.key[1].int), watched[each.key[0]])
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
    states = await deployment_states(context, {each.run for each in services})
    environments = {state.environment for state in states.values() if state.environment is not None}
    known = {key: await _inherited(context, key) for key in environments}
    watched = {key: await _watched(context, key) for key in environments}

    def convert(service: DeploymentService) -> ServiceInstance | None:
        state, own = states[service.run], ServiceId(service.live[1])
        instance = converge.instance(state, service.run, own)
        if service.type is ServiceType.JOB or instance is None or state.environment is None:
            return None
        now = known[state.environment].get(own.int)
        is_replaced = now is None or now.deployment != instance.deployment
        return _converted(instance, None if is_replaced else watched[state.environment])

    return [convert(each) for each in services]


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
    watched = await _watched(context, environment)
    state = _expected(replace(planned, inherited=inherited), _ended(inherited, watched))
    brought = await deployment_states(context, {each.deployment for each in inherited.values()})
    runs = [run for stage in state.stages for run in stage.services]
    return {run.service.id: _plan(state, run, brought, watched) for run in runs}


def _ended(inherited: Mapping[int, Instance], watched: WatchedInstances) -> Collection[ServiceId]:
    """Return the services whose instances have ended or were changed, so that a deployment does not leave them."""
    return {
        service
        for service, each in watched.known.items()
        if (each.status in (InstanceStatus.EXITED, InstanceStatus.GIVEN_UP, InstanceStatus.LOST) or each.drift)
        and (instance := inherited.get(service.int)) is not None
        and instance.deployment == each.instance.deployment
    }


def _expected(state: DeploymentState, ended: Collection[ServiceId]) -> DeploymentState:
    """Return *state* with what can be known of each stage's services when the next stage refers to them."""
    for index, stage in enumerate(state.stages):
        services = tuple([_expected_run(state, run, run.service.id in ended) for run in stage.services])
        after = (*state.stages[:index], replace(stage, services=services), *state.stages[index + 1 :])
        state = replace(state, stages=after)
    return state


def _expected_run(state: DeploymentState, run: ServiceRun, has_ended: bool) -> ServiceRun:
    if run.status is not Status.QUEUED:
        return run
    is_known = not has_ended and converge.known(state, run) is not None
    if cause := _omission(state, run, is_known):
        return replace(run, status=Status.SKIPPED, omission=cause)
    if is_known:
        return replace(run, status=Status.UNCHANGED)
    is_job = run.service.type is ServiceType.JOB
    return run if is_job else replace(run, endpoint=Endpoint(ports=run.service.spec.ports))  # fixed ports are known


def _omission(state: DeploymentState, run: ServiceRun, is_known: bool) -> Omission | None:
    """Return why there is nothing to do with a service, as far as that is known before its turn."""
    if state.plan is None:
        return None
    cause = actions.omission(state.plan.effect, run.service, state.inherited.get(run.service.id.int))
    is_started = cause is None and state.plan.effect is Effect.START and is_known
    return Omission.RUNNING if is_started else cause


def _plan(
    state: DeploymentState, run: ServiceRun, brought: Mapping[UUID, DeploymentState], watched: WatchedInstances
) -> ServicePlan:
    instance = state.inherited.get(run.service.id.int)
    source = None if instance is None else brought[instance.deployment]
    before = None if source is None else source.run_of(run.service.id)
    effect = Effect.DEPLOY if state.plan is None else state.plan.effect
    due = PlannedAction.RENEW if effect is Effect.DEPLOY else PlannedAction(effect)
    cause = run.omission
    action = ACTIONS.get(run.status, due)
    shown = None if run.service.type is ServiceType.JOB else _converted(instance, watched)
    reason = None if cause is None else actions.omission_words(cause, actions.since(cause, instance))
    if action is PlannedAction.RENEW and shown is not None and shown.drift:
        reason = f"changed on the cluster: {'; '.join(shown.drift)}"
    return ServicePlan(
        action=action,
        reason=reason,
        instance=shown,
        changes=[]
        if source is None or before is None or effect is not Effect.DEPLOY
        else field_changes(_with_variables(source, before), _with_variables(state, run)),
    )


def _with_variables(state: DeploymentState, run: ServiceRun) -> ServiceSpec:
    """Return the specification of *run* with the variables of its environment and project, which every service gets."""
    spec = run.service.spec
    return replace(spec, env=merged(state.plan.variables, spec.env)) if state.plan and state.plan.variables else spec


def _status(
    instance: Instance, watched: WatchedInstances | None, known: WatchedInstance | None
) -> InstanceStatus | None:
    if watched is None:
        return None
    if not instance.is_running:
        return InstanceStatus(instance.status)
    return InstanceStatus.RUNNING if known is None else known.status


def _converted(instance: Instance | None, watched: WatchedInstances | None) -> ServiceInstance | None:
    """Return what runs of a service; *watched* is None if another instance has replaced it."""
    if instance is None:
        return None
    known = None if watched is None else watched.known.get(instance.service)
    if known is not None and known.instance.deployment != instance.deployment:
        known = None
    return ServiceInstance(
        status=_status(instance, watched, known),
        restarts=0 if known is None else known.restarts,
        last_exit=None if known is None else exit_from_domain(known.last),
        problem=None if known is None else known.problem,
        drift=[] if known is None or not instance.is_running else list(known.drift),
        ports=list(instance.ports),
        endpoints=[InstanceEndpoint(host=HOST, port=port) for port in instance.ports],
        revision=instance.revision,
        known=instance,
        watched=known,
    )


async def _watched(context: Context, environment: EnvironmentId) -> WatchedInstances:
    states = context.application.handler.states
    stream = instances.stream(environment)
    return (await states.load(instances.decider, stream, has_asked=context.has_asked)).state


async def _inherited(context: Context, environment: EnvironmentId) -> Mapping[int, Instance]:
    """Return the instances of an environment, by the services' ids as integers."""
    context.reads(WHOLE)
    states = context.application.handler.states
    queue = (await states.load(queues.decider, queues.stream(environment), has_asked=context.has_asked)).state
    admitted = None if queue.admitted is None else queue.admitted.deployment
    newest = [each for each in (admitted, queue.last) if each is not None]
    for id_, state in (await deployment_states(context, newest)).items():
        if state.worker is not None:  # it has started
            return {each.service.int: each for each in converge.instances(state, DeploymentId(id_))}
    return {}


async def deployment_states(context: Context, wanted: Collection[DeploymentId]) -> dict[UUID, DeploymentState]:
    states = context.application.handler.states
    return {each: (await states.load(runs.decider, each, has_asked=context.has_asked)).state for each in wanted}
