"""
Use cases of pipelines: change, restore, apply a document.

Each function returns the environment, so that it can be the work of `Handler.transact`. *expected* is the expected
version of the pipeline, None for any.
"""

from collections.abc import Callable, Iterable

from application.handler import StreamState, Transaction
from domain import pipeline as pipelines
from domain.errors import EnvironmentNotFound, TargetUnavailable, VersionNotFound
from domain.pipeline import apply as applying
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.environment import Target
from domain.pipeline.state import Pipeline, PipelineCommand
from domain.project import EnvironmentId
from projections.pipeline import Pipelines, PipelineView

Targets = frozenset[Target]
"""The targets that this server offers."""


async def existing(transaction: Transaction, environment: EnvironmentId) -> Pipeline:
    """Return the pipeline of *environment*; raises `EnvironmentNotFound` if it was deleted."""
    pipeline = (await transaction.load(pipelines.decider, environment)).state
    if not pipeline.exists:
        raise EnvironmentNotFound(environment=pipeline.name)
    return pipeline


async def change(
    transaction: Transaction, environment: EnvironmentId, command: PipelineCommand, expected: int | None = None
) -> EnvironmentId:
    """Decide one command on the pipeline of *environment*."""
    await existing(transaction, environment)
    await transaction.do(pipelines.decider, environment, command, expected)
    return environment


async def replace(
    transaction: Transaction,
    environment: EnvironmentId,
    wanted: Pipeline,
    targets: Targets,
    expected: int | None = None,
) -> StreamState[Pipeline]:
    """Replace the pipeline of *environment*, which may be new; raises `TargetUnavailable` for a new target."""
    now = (await transaction.load(pipelines.decider, environment)).state
    if wanted.target != now.target:
        check_target(targets, wanted.target)
    return await transaction.do(applying.decider, environment, ApplyPipeline(wanted=wanted), expected)


def check_target(targets: Targets, target: Target) -> None:
    """Raise `TargetUnavailable` if this server does not offer *target*."""
    if target not in targets:
        raise TargetUnavailable(target=target.value, available=", ".join(sorted(targets)))


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
