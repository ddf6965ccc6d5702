"""Refusals of mutations, with the events that they are about."""

import strawberry

from domain.deployment.state import DeploymentPlanned
from domain.errors import ChangedMeanwhile, Refused, VersionMismatch
from domain.pipeline.environment import EnvironmentCreated
from gql.context import Context
from gql.contract.refusal import RefusalCode
from gql.types.event import Event, deployment_event, pipeline_events
from gql.types.stream import DEPLOYMENT, PIPELINE

MAX_EVENTS = 100
"""Maximum number of events in a refusal."""


@strawberry.type(description="A refused mutation. Nothing was written.")
class Refusal:
    code: RefusalCode = strawberry.field(description="The kind of refusal, for programs.")
    message: str = strawberry.field(description="The reason and the remedy, for people.")
    current_version: int | None = strawberry.field(
        default=None,
        description="The current version of the object, with VERSION_MISMATCH and CHANGED_MEANWHILE.",
    )
    events: list[Event] = strawberry.field(
        default_factory=list,
        description="The events that the mutation met, oldest first. With VERSION_MISMATCH they are those after"
        " expectedVersion, with CHANGED_MEANWHILE those that changed the same, and with CHANGED_SINCE those that stand"
        f" on the change. If there are more than {MAX_EVENTS}, the last {MAX_EVENTS} are here.",
    )


async def refusal(context: Context, refused: Refused) -> Refusal:
    """Return a refusal as data."""
    has_version = isinstance(refused, VersionMismatch | ChangedMeanwhile)
    current = refused.details["current"] if has_version else None
    return Refusal(
        code=RefusalCode(refused.code),
        message=str(refused),
        current_version=current if isinstance(current, int) else None,
        events=await _events(context, refused),
    )


async def _events(context: Context, refused: Refused) -> list[Event]:
    versions = refused.versions[-MAX_EVENTS:]
    if refused.stream is None or not versions:
        return []
    log = context.application.log
    (first,) = await log.read(refused.stream, until=1)
    start = versions[0] - 1
    found = await log.read(refused.stream, after=start, until=versions[-1])
    if isinstance(first.event, DeploymentPlanned):
        story = await DEPLOYMENT.story(context, first, start)
        return [deployment_event(story.describe(each), log.epoch) for each in found]
    assert isinstance(first.event, EnvironmentCreated), "a refusal is about a deployment or a pipeline"
    story = await PIPELINE.story(context, first, start)
    views = [story.describe(each) for each in found]
    return list(await pipeline_events(context, [view for view in views if view.recorded.version in versions]))
