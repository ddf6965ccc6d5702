"""The progress of services: the last step of each, and what each waits for."""

from collections.abc import AsyncIterator
from dataclasses import replace
from enum import StrEnum

import strawberry

from domain.deployment.stage import StageRun
from domain.deployment.step import DONE, ServiceRun, Status
from domain.deployment.wait import WaitCause
from domain.project import EnvironmentId
from endpoint.execution.edge import Selected, edge
from gql.context import Context
from gql.contract import enum
from gql.contract.node import global_id
from gql.types import deployment as deployments
from gql.types.deployment import Deployment
from gql.types.deployment_list import NEWEST, open_deployments
from gql.types.deployment_stage import DeploymentService, DeploymentStage
from gql.types.environment import environments_of
from gql.types.service import Service
from gql.types.step import Phase, Step
from projections.deployment import DeploymentSummary, DeploymentView, state_of
from projections.engine.views import Page, Slice
from projections.words.deployment import cause_words

MAX_BEFORE = 100
"""Maximum number of earlier deployments that are searched for the last step of a service."""

PAGE = 10
"""Number of earlier deployments that are read at once."""


class ServiceWaitReason(StrEnum):
    """The kind of thing that is in front of a service."""

    APPROVAL = "APPROVAL"
    TIME = "TIME"
    CHECK = "CHECK"
    HOLD = "HOLD"
    STAGE = "STAGE"
    SERVICE = "SERVICE"
    DEPLOYMENT = "DEPLOYMENT"


enum.describe(
    ServiceWaitReason,
    "The kind of thing that a service waits for.",
    TIME="Its stage waits for the time of its policy.",
    CHECK="Its stage waits until its check passes.",
    HOLD="Its deployment is held.",
    APPROVAL="Its stage waits for people to approve it.",
    STAGE="The stage that runs, or starts next, must end first.",
    SERVICE="Another service of the stage must end first: no more of them run at once.",
    DEPLOYMENT="Another deployment of the environment comes first.",
)


@strawberry.type(description="A step of a service in a deployment.")
class ServiceStep:
    phase: Phase = strawberry.field(description="The phase.")
    step: Step = strawberry.field(description="The step.")
    deployment: Deployment = strawberry.field(description="The deployment.")


@strawberry.type(description="What a service waits for in a deployment.")
class ServiceWait:
    reason: ServiceWaitReason = strawberry.field(description="The kind of thing that it waits for.")
    message: str = strawberry.field(description="The thing in words.")
    deployment: Deployment = strawberry.field(description="The deployment that the service waits in.")
    stage: DeploymentStage | None = strawberry.field(
        description="The stage that must end first, or that does not start or go on, if any."
    )
    service: DeploymentService | None = strawberry.field(description="A service that must end first, if any.")
    before: Deployment | None = strawberry.field(description="The deployment that must end first, if any.")
    place: int | None = strawberry.field(
        description="Place of the deployment in the queue, from 1 behind the one that runs; null once it is admitted."
    )


@edge(
    Service,
    "The newest step of the service in the deployment that its environment carries out, else in the newest one. If the"
    f" service was not chosen for that, in the newest of the {MAX_BEFORE} before that has it. Null if none has.",
)
async def last_step(context: Context, services: list[Service], selected: Selected) -> list[ServiceStep | None]:
    open_ = await open_deployments(context, [each.key[0] for each in services])
    idle = [key for key, views in open_.items() if not views]
    pages = await context.application.deployments.list_each(idle, NEWEST)
    newest = {key: view for key, page in zip(idle, pages, strict=True) for view in _views(page)}
    newest |= {key: views[0] for key, views in open_.items() if views}
    owners = await environments_of(context, newest.keys())
    epoch = context.application.log.epoch
    found: dict[str, ServiceStep] = {}
    for key, view in newest.items():
        missing = {str(each.id) for each in services if each.key[0] == key}
        async for each in _from(context, key, view):
            run = deployments.convert(each, owners[key], epoch)
            chosen = [
                service
                for stage in run.stages
                for service in stage.services
                if service.service_id in missing and (not each.is_partial or _is_chosen(service))
            ]
            found |= {str(service.service_id): _last_step(service, run) for service in chosen}
            missing -= found.keys()
            if not missing or not each.is_partial:  # a whole plan has all services of its time
                break
    return [found.get(each.id) for each in services]


async def _from(context: Context, environment: EnvironmentId, view: DeploymentView) -> AsyncIterator[DeploymentView]:
    """Yield *view*, then the deployments of *environment* that ended before it, newest first."""
    yield view
    after: str | None = None
    for _ in range(MAX_BEFORE // PAGE):
        (page,) = await context.application.deployments.list_each([environment], Slice(first=PAGE, after=after))
        for each in _views(page):
            if each.number < view.number:
                yield each
        if not page.has_next:
            return
        after = page.edges[-1].cursor


def _views(page: Page[DeploymentSummary]) -> list[DeploymentView]:
    return [edge.node for edge in page.edges if isinstance(edge.node, DeploymentView)]


def _is_chosen(service: DeploymentService) -> bool:
    """Return whether a deployment of chosen services has the service for its own sake, not for a reference to it."""
    return service.status is not Status.SKIPPED or service.deploy.skipped_reason is not None


def _last_step(service: DeploymentService, run: Deployment) -> ServiceStep:
    is_deploy = service.deploy.started_at is not None or service.build.status in DONE
    step = service.deploy if is_deploy else service.build
    return ServiceStep(phase=step.phase, step=step, deployment=run)


@edge(
    Service,
    "What the service waits for: the stage, the service or the deployment in front of it, or the approval of its stage;"
    " null if it waits for none. `Deployment.waitsFor` says what its deployment waits for.",
)
async def waits_for(context: Context, services: list[Service], selected: Selected) -> list[ServiceWait | None]:
    open_ = await open_deployments(context, [each.key[0] for each in services])
    owners = await environments_of(context, [key for key, views in open_.items() if views])
    epoch = context.application.log.epoch
    found: dict[str, ServiceWait] = {}
    for key, views in open_.items():
        runs = [deployments.convert(view, owners[key], epoch) for view in views]
        for place in range(len(runs) - 1, 0, -1):  # the first deployment that a service waits in is set last
            found |= dict.fromkeys(_queued(runs[place]), _behind(runs[place], runs[place - 1], place))
        if views:
            _wait_within(views[0], runs[0], found)
    return [found.get(each.id) for each in services]


def _queued(run: Deployment) -> list[str]:
    return [str(each.service_id) for stage in run.stages for each in stage.services if each.status is Status.QUEUED]


def _behind(run: Deployment, before: Deployment, place: int) -> ServiceWait:
    return ServiceWait(
        reason=ServiceWaitReason.DEPLOYMENT,
        message=f"deployment {before.number} of the environment must end first",
        deployment=run,
        stage=None,
        service=None,
        before=before,
        place=place,
    )


def _wait_within(view: DeploymentView, run: Deployment, found: dict[str, ServiceWait]) -> None:
    """Set what the services of the admitted deployment wait for; those that run wait for nothing."""
    state = state_of(view)
    stages = {stage.stage_id: stage for stage in run.stages}
    services = {service.service_id: service for stage in run.stages for service in stage.services}
    cause, halted = state.cause, state.current or state.next_stage
    if cause is not None and halted is not None:
        _wait_because(run, cause, stages[global_id("stage", halted.stage.id)], found)
    for id_, service in services.items():
        if service.status is Status.RUNNING:
            found.pop(id_, None)
        match state.before(service.live[1]):
            case StageRun(stage=stage):
                front = stages[global_id("stage", stage.id)]
                found[id_] = _inside(run, ServiceWaitReason.STAGE, f"stage {stage.name}", front, None)
            case ServiceRun(service=other):
                ahead = services[global_id("service", other.id)]
                found[id_] = _inside(run, ServiceWaitReason.SERVICE, f"service {other.name}", None, ahead)


def _wait_because(run: Deployment, cause: WaitCause, front: DeploymentStage, found: dict[str, ServiceWait]) -> None:
    """Set that the services of the stage in *front* wait because of *cause*, and those of later stages for that one."""
    later = _inside(run, ServiceWaitReason.STAGE, f"stage {front.name}", front, None)
    for stage in run.stages[front.position :]:
        found |= {str(each.service_id): later for each in stage.services if each.status is Status.QUEUED}
    own = replace(later, reason=ServiceWaitReason(cause.reason), message=cause_words(cause))
    found |= {str(each.service_id): own for each in front.services if each.status is Status.QUEUED}


def _inside(
    run: Deployment,
    reason: ServiceWaitReason,
    name: str,
    stage: DeploymentStage | None,
    service: DeploymentService | None,
) -> ServiceWait:
    return ServiceWait(
        reason=reason,
        message=f"{name} must end first",
        deployment=run,
        stage=stage,
        service=service,
        before=None,
        place=None,
    )
