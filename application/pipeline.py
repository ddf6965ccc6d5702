"""
Use cases of pipelines: change, restore, apply a document.

Each function returns the environment, so that it can be the work of `Handler.transact`. *expected* is the expected
version of the pipeline, None for any.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from application.handler import CHUNK, StreamState, Transaction
from application.instance import present_instances
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment import queue as queues
from domain.errors import (
    ChangedMeanwhile,
    EnvironmentBusy,
    EnvironmentNotFound,
    InvalidArgument,
    TargetUnavailable,
    VersionNotFound,
)
from domain.pipeline import apply as applying
from domain.pipeline import need as needs
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.aspect import collide
from domain.pipeline.environment import Target
from domain.pipeline.state import Pipeline, PipelineCommand, PipelineEvent
from domain.project import EnvironmentId
from domain.spec import ServiceType
from projections.event import PipelineStory
from projections.pipeline import Pipelines, PipelineView
from store.log import EventLog

MAX_NAMED = 10
"""Maximum number of events or services that the message of a refusal names."""

Targets = frozenset[Target]
"""The targets that this server offers."""

ALL_TARGETS = Targets(Target)
"""Every target that there is."""


async def existing(transaction: Transaction, environment: EnvironmentId) -> Pipeline:
    """Return the pipeline of *environment*; raises `EnvironmentNotFound` if there is none, or it was deleted."""
    pipeline = (await transaction.load(pipelines.decider, environment)).state
    if not pipeline.exists:
        raise EnvironmentNotFound(environment=pipeline.name or str(environment))
    return pipeline


async def change(
    transaction: Transaction, environment: EnvironmentId, command: PipelineCommand, expected: int | None = None
) -> EnvironmentId:
    """Decide one command on the pipeline of *environment*."""
    await existing(transaction, environment)
    await transaction.do(pipelines.decider, environment, command, expected)
    await check_values(transaction, environment)
    return environment


async def check_values(transaction: Transaction, environment: EnvironmentId) -> None:
    """Raise `UnmetReference` if the decided events leave a reference to a variable or a secret that is missing."""
    decided = cast("Sequence[PipelineEvent]", transaction.events(environment))
    pipeline = (await transaction.load(pipelines.decider, environment)).state
    variables, secrets = needs.variables_of(pipeline, decided), needs.secrets_of(pipeline, decided)
    if variables or secrets:
        assert pipeline.project is not None, "a pipeline with services is of a project"
        project = (await transaction.load(projects.decider, pipeline.project)).state
        needs.check_variables(variables, [variable.name for variable in project.variables])
        needs.check_secrets(secrets, project.secrets.names)


async def check_unchanged(
    transaction: Transaction, environment: EnvironmentId, since: int, log: EventLog, views: Pipelines
) -> None:
    """Check the events that *transaction* has decided on the pipeline against those after the version *since*.

    Raises `ChangedMeanwhile` if one of these changed the same property, and `VersionNotFound` if there is no such
    version.
    """
    decided = transaction.events(environment)
    last = (await transaction.load(pipelines.decider, environment)).version - len(decided)
    if not 1 <= since <= last:
        raise VersionNotFound(version=since, last=last)
    if not decided:
        return
    mine = cast("Sequence[PipelineEvent]", decided)
    theirs = cast("Sequence[PipelineEvent]", await log.events(environment, since, last))
    versions = [at for at, event in enumerate(theirs, since + 1) if any(collide(each, event) for each in mine)]
    if versions:
        named = await messages(log, views, environment, versions)
        numbered = [f"{each} (version {version})" for each, version in zip(named, versions, strict=False)]
        refused = ChangedMeanwhile(since=since, later=joined(numbered, len(versions)), current=last)
        refused.about(environment, versions)
        raise refused


async def messages(
    log: EventLog, views: Pipelines, environment: EnvironmentId, versions: Sequence[int]
) -> Sequence[str]:
    """Return the events with the first `MAX_NAMED` of *versions*, which ascend, in words."""
    named = versions[:MAX_NAMED]
    before = await views.get(environment, named[0] - 1) if named[0] > 1 else None
    story = PipelineStory(before.pipeline) if before else PipelineStory()
    found = []
    for first in range(named[0] - 1, named[-1], CHUNK):
        for recorded in await log.read(environment, first, min(first + CHUNK, named[-1])):
            described = story.describe(recorded)
            if recorded.version in named:
                found.append(described.message)
    return found


def joined(texts: Sequence[str], count: int) -> str:
    """Return *texts* as one; they are the first of *count*."""
    more = count - len(texts)
    return "; ".join(texts) + (f"; and {more:,} more" if more else "")


async def replace(
    transaction: Transaction,
    environment: EnvironmentId,
    wanted: Pipeline,
    targets: Targets,
    expected: int | None = None,
) -> StreamState[Pipeline]:
    """Replace the pipeline of *environment*, which may be new.

    For a new target, raises `TargetUnavailable` and the refusals of `check_left`.
    """
    now = (await transaction.load(pipelines.decider, environment)).state
    if wanted.target != now.target:
        check_target(targets, wanted.target)
    after = await transaction.do(applying.decider, environment, ApplyPipeline(wanted=wanted), expected)
    if wanted.target != now.target:
        await check_left(transaction, environment, now, targets)
    await check_values(transaction, environment)
    return after


def check_target(targets: Targets, target: Target) -> None:
    """Raise `TargetUnavailable` if this server does not offer *target*."""
    if target not in targets:
        raise TargetUnavailable(target=target.value, available=", ".join(sorted(targets)))


async def check_left(transaction: Transaction, environment: EnvironmentId, before: Pipeline, targets: Targets) -> None:
    """Raise a refusal unless *environment* has left its target *before*: later deployments can't reach what runs there.

    Raises `EnvironmentBusy` while a deployment has not ended, and `InvalidArgument` while services have instances. A
    target that this server does not offer any more can be left at any time: nothing can be deleted there.
    """
    queue = (await transaction.load(queues.decider, queues.stream(environment))).state
    if queue.open:
        raise EnvironmentBusy(number=queue.open[0].number)
    if before.target not in targets:
        return
    left = {each.service.int for each in await present_instances(transaction, queue)}
    names = [f"{each.name!r}" for each in before.services if each.id.int in left and each.type is not ServiceType.JOB]
    if names:
        remedy = "delete their instances first (stageline environment delete-instances)"
        why = f"{joined(names[:MAX_NAMED], len(names))} would be left on {before.target.value}: {remedy}"
        raise InvalidArgument(argument="target", why=why)


async def restore(
    transaction: Transaction,
    environment: EnvironmentId,
    version: int,
    views: Pipelines,
    targets: Targets,
    expected: int | None = None,
) -> EnvironmentId:
    """Restore the pipeline of *environment* at *version*; the environment keeps its name."""
    await existing(transaction, environment)
    past = await at_version(views, environment, version)
    await replace(transaction, environment, past.pipeline, targets, expected)
    return environment


async def at_version(views: Pipelines, environment: EnvironmentId, version: int) -> PipelineView:
    """Return the pipeline of *environment* at *version*; raises `VersionNotFound`."""
    view = await views.get(environment, version)
    if view is None:
        now = await views.get(environment)
        raise VersionNotFound(version=version, last=now.version if now else 0)
    return view


async def apply(
    transaction: Transaction,
    environments: Iterable[EnvironmentId],
    revise: Callable[[Pipeline], Pipeline],
    targets: Targets,
    expected: int | None = None,
) -> dict[EnvironmentId, StreamState[Pipeline]]:
    """Replace the pipelines of *environments* by their revisions; return the results by environment."""
    results: dict[EnvironmentId, StreamState[Pipeline]] = {}
    for environment in environments:
        now = await existing(transaction, environment)
        results[environment] = await replace(transaction, environment, revise(now), targets, expected)
    return results
