"""The root field `node`: any object by its id."""

from typing import Annotated, get_args
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import ID

from domain import deployment as deployments
from domain import instance as instances
from domain import pipeline as pipelines
from domain.deployment import queue as queues
from domain.deployment.queue import DeploymentId
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId, ProjectId
from domain.role import role_at, role_within
from domain.webhook import WebhookId
from gql.context import Context, Info
from gql.contract.node import GlobalId, Node, parse
from gql.types import actor, deployment, pipeline, project, project_event, token, webhook
from gql.types import event as events
from gql.types.stream import DEPLOYMENT, PIPELINE, PROJECT
from projections import queue
from projections.engine.views import Slice
from projections.event import InstanceStory
from projections.history import HistoryQuery
from projections.queue import QueueStory
from store.log import RecordedEvent


async def _project(context: Context, id_: UUID) -> Node | None:
    await context.settled()
    view = await context.application.projects.get(ProjectId(id_))
    context.reads(id_)
    return None if view is None else project.from_view(context, view)


async def _pipeline(context: Context, id_: UUID) -> pipeline.Pipeline | None:
    whole = await context.application.pipelines.get(EnvironmentId(id_))
    if whole is None:
        return None
    context.reads(whole.environment, whole.project)
    return await pipeline.from_view(context, whole)


async def _deployment(context: Context, id_: UUID) -> deployment.Deployment | None:
    run = await context.application.deployments.read(DeploymentId(id_))
    if run is None:
        return None
    context.reads(run.id, run.environment)
    return await deployment.from_view(context, run)


async def _part(context: Context, found: GlobalId) -> Node | None:
    """Return a stage or a service of a deployment."""
    run = await _deployment(context, found.value)
    own = [] if run is None else run.stages
    parts: list[Node] = [*own, *(service for stage in own for service in stage.services)]
    return next((each for each in parts if each.id == _text(found)), None)


async def _environment_of(context: Context, query: HistoryQuery) -> EnvironmentId | None:
    """Return the environment whose history has an event that *query* finds."""
    await context.settled()
    found = await context.application.history.list(replace(query, seen=context.seen), Slice(first=1))
    return found.edges[0].node.environment if found.edges else None


async def _stage(context: Context, stage: StageId) -> Node | None:
    environment = await _environment_of(context, HistoryQuery(stages=(stage,)))
    if environment is None:
        return None
    context.reads(environment)
    return (await pipeline.live_stages(context, [(environment, stage)]))[0]


async def _service(context: Context, service: ServiceId) -> Node | None:
    environment = await _environment_of(context, HistoryQuery(services=(service,)))
    if environment is None:
        return None
    context.reads(environment)
    return (await pipeline.live_services(context, [(environment, service)]))[0]


async def _event(context: Context, found: GlobalId) -> Node | None:
    """Return an event that the token may see."""
    recorded = await events.find(context, found)
    if recorded is None:
        return None
    place = await context.application.places.of_event(recorded)
    is_seen = context.seen is None or (place is not None and role_at(context.roles, place) is not None)
    return await _described(context, recorded) if is_seen else None


async def _described(context: Context, recorded: RecordedEvent) -> Node | None:
    """Return a recorded event; None if it belongs to no environment and no project."""
    log, kind = context.application.log, type(recorded.event)
    if kind in get_args(pipelines.PipelineEvent):
        pipeline_story = await PIPELINE.story(context, recorded, recorded.version - 1)
        return await events.pipeline_event(context, pipeline_story.describe(recorded))
    if kind in get_args(deployments.DeploymentEvent):
        (first,) = await log.read(recorded.stream, until=1)
        story = await DEPLOYMENT.story(context, first, recorded.version - 1)
        return events.deployment_event(story.describe(recorded), log.epoch)
    if kind in get_args(queues.QueueEvent):
        waiting = await queue.open_at(log, recorded.stream, recorded.version - 1)
        return events.queue_event(QueueStory(waiting).describe(recorded), log.epoch)
    if PROJECT.has(recorded):
        project_story = await PROJECT.story(context, recorded, recorded.version - 1)
        return project_event.convert(project_story.describe(recorded), log.epoch)
    if kind in get_args(instances.InstanceEvent):
        return events.instance_event(InstanceStory().describe(recorded), log.epoch)
    return None


def _text(id_: GlobalId) -> str:
    return f"{id_.kind}_{id_.value.hex}_{id_.part}"


@strawberry.type
class Query:
    @strawberry.field(description="Return the object with that id; null if there is none.")
    async def node(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="Global id of the object.")]
    ) -> Node | None:
        found = parse(id)
        return (await _find(info.context, found) if found else None) or await _actor(info.context, id)


async def _actor(context: Context, id_: str) -> Node | None:
    """Return an actor: oneself, or any if one may see everything."""
    if id_ != context.known_identity.actor and context.seen is not None:
        return None
    return await actor.find(context, id_)


async def _is_seen(context: Context, found: GlobalId) -> bool:
    """Whether the token may see the project, the environment or the deployment that an object is, or is a part of.

    Other objects are checked where they are found.
    """
    if context.seen is None or found.kind in ("stage", "service", "token", "event", "webhook"):
        return True
    place = await context.application.places.find(found.value)
    find = role_within if found.kind == "project" else role_at
    return place is not None and find(context.roles, place) is not None


async def _find(context: Context, id_: GlobalId) -> Node | None:
    if not await _is_seen(context, id_):
        return None
    match id_:
        case GlobalId(kind="deploymentstage" | "deploymentservice") as found:
            return await _part(context, found)
        case GlobalId(kind="event") as found:
            return await _event(context, found)
        case GlobalId(kind="webhook", value=value, part=""):
            return await webhook.find(context, WebhookId(value))
        case GlobalId(kind="project", value=value, part=""):
            return await _project(context, value)
        case GlobalId(kind="pipeline", value=value, part=""):
            return await _pipeline(context, value)
        case GlobalId(kind="environment", value=value, part=""):
            whole = await _pipeline(context, value)
            return None if whole is None else whole.environment
        case GlobalId(kind="deployment", value=value, part=""):
            return await _deployment(context, value)
        case GlobalId(kind="stage", value=value, part=""):
            return await _stage(context, StageId(value))
        case GlobalId(kind="service", value=value, part=""):
            return await _service(context, ServiceId(value))
        case GlobalId(kind="token", value=value, part=""):
            return await token.find(context, value)
        case _:
            return None
