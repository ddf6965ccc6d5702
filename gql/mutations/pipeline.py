"""Mutations of whole pipelines, and the answer of all mutations of a pipeline."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from application import pipeline as use_cases
from application import undo as undoing
from application.handler import Outcome, StreamState, Transaction
from domain import pipeline as pipelines
from domain.errors import InvalidArgument
from domain.pipeline.state import Pipeline as PipelineState
from domain.pipeline.state import PipelineCommand
from domain.project import EnvironmentId
from gql.contract.argument import check_list
from gql.contract.mutation import Write, mutation
from gql.contract.refusal import Refusal
from gql.document import pipeline as documents
from gql.types.document import DocumentArgument
from gql.types.environment import known_environment, pipeline_view
from gql.types.pipeline import Pipeline, PipelineSnapshot, from_view, snapshot_of
from gql.types.ref import EnvironmentArgument
from projections.pipeline import PipelineView
from store.log import Event

PipelineResult = Annotated[
    Pipeline | PipelineSnapshot | Refusal,
    strawberry.union(
        "PipelineResult",
        description="The pipeline after the change, or a refusal. A dry run, and a repeat of a request after which the"
        " pipeline was changed again, return a snapshot: it is not the live pipeline.",
    ),
]


@mutation("Restore a past version of a pipeline, in one append. The environment keeps its name.")
async def restore_pipeline(
    write: Write,
    environment: EnvironmentArgument,
    version: Annotated[int, strawberry.argument(description="The version to restore.")],
) -> PipelineResult:
    views, targets = write.context.application.pipelines, write.context.application.targets
    return await transact(
        _because(write, f"restored to version {version}"),
        partial(
            use_cases.restore,
            environment=await known_environment(write.context, environment),
            version=version,
            views=views,
            targets=targets,
            expected=write.expected_version,
        ),
    )


@mutation(
    "Undo the last change that the requesting actor made to a pipeline, and keep the later changes of others."
    " The undo is itself a change: a second undo reverts the first."
)
async def undo(write: Write, environment: EnvironmentArgument) -> PipelineResult:
    application = write.context.application
    return await transact(
        _because(write, "undo"),
        partial(
            undoing.undo,
            environment=await known_environment(write.context, environment),
            actor=write.context.author(None).actor,
            log=application.log,
            views=application.pipelines,
            targets=application.targets,
            expected=write.expected_version,
        ),
    )


@mutation("Make the pipeline of an environment equal to a pipeline document, in one append.")
async def apply_pipeline(write: Write, environment: EnvironmentArgument, document: DocumentArgument) -> PipelineResult:
    read = await documents.in_thread(documents.read, document)
    own = await known_environment(write.context, environment)

    async def work(transaction: Transaction) -> UUID:
        await use_cases.apply(
            transaction,
            [own],
            partial(documents.revise, read),
            write.context.application.targets,
            write.expected_version,
        )
        return own

    return await transact(write, work)


@strawberry.type(description="The pipelines of several environments after one change.")
class PipelineList:
    pipelines: list[Pipeline] = strawberry.field(
        description="One pipeline for each environment, in the order of the request."
    )


@strawberry.type(description="The pipelines of several environments after one change, as they are not now.")
class PipelineSnapshotList:
    pipelines: list[PipelineSnapshot] = strawberry.field(
        description="One pipeline for each environment, in the order of the request."
    )


PipelinesResult = Annotated[
    PipelineList | PipelineSnapshotList | Refusal,
    strawberry.union(
        "PipelinesResult",
        description="The pipelines after the change, or a refusal. A dry run, and a repeat of a request, return"
        " snapshots: they are not the live pipelines.",
    ),
]


@mutation("Make the pipelines of several environments equal to a pipeline document, all in one append.")
async def apply_pipeline_to_all(
    write: Write,
    environments: Annotated[list[ID], strawberry.argument(description="Ids of the environments.")],
    document: DocumentArgument,
) -> PipelinesResult:
    if not environments:
        raise InvalidArgument(argument="environments", why="at least one is required")
    check_list("environments", environments)
    if write.expected_version is not None and len(environments) > 1:
        raise InvalidArgument(argument="expectedVersion", why="it is allowed for one environment only")
    read = await documents.in_thread(documents.read, document)
    own = [await known_environment(write.context, environment) for environment in environments]
    results: dict[EnvironmentId, tuple[StreamState[PipelineState], tuple[Event, ...]]] = {}

    async def work(transaction: Transaction) -> UUID:
        results.clear()
        after = await use_cases.apply(
            transaction,
            own,
            partial(documents.revise, read),
            write.context.application.targets,
            write.expected_version,
        )
        results.update({each: (state, transaction.events(each)) for each, state in after.items()})
        return own[0]

    outcome = await write.transact(work, pipelines.decider)
    if results:
        changed = [Outcome(subject=after, receipt=outcome.receipt, events=events) for after, events in results.values()]
        return _all([await _answer(write, each) for each in changed])
    # the idempotency key was known: return the pipelines as of the first request
    (last,) = await write.context.application.log.read_all(after=outcome.receipt.position - 1, limit=1)
    then = [await pipeline_view(write.context, each, as_of=last.recorded_at) for each in dict.fromkeys(environments)]
    return _all([await snapshot_of(write.context, view) for view in then if view])


def _all(answers: list[Pipeline | PipelineSnapshot]) -> PipelineList | PipelineSnapshotList:
    snapshots = [each for each in answers if isinstance(each, PipelineSnapshot)]
    if snapshots:  # all of them are, because one request made them
        return PipelineSnapshotList(pipelines=snapshots)
    return PipelineList(pipelines=[each for each in answers if isinstance(each, Pipeline)])


def _because(write: Write, what: str) -> Write:
    """Return *write* with *what* it is in front of its reason, so that the history says it."""
    return replace(write, reason=what if write.reason is None else f"{what}: {write.reason}")


async def change(write: Write, environment: str, command: PipelineCommand) -> Pipeline | PipelineSnapshot:
    """Carry out one command on the pipeline of an environment."""
    own = await known_environment(write.context, environment)
    return await transact(
        write, partial(use_cases.change, environment=own, command=command, expected=write.expected_version)
    )


async def transact(write: Write, use_case: Callable[[Transaction], Awaitable[UUID]]) -> Pipeline | PipelineSnapshot:
    """Carry out a use case of a pipeline, and return the pipeline after it."""
    return await _answer(write, await write.transact(use_case, pipelines.decider))


async def _answer(write: Write, outcome: Outcome[PipelineState]) -> Pipeline | PipelineSnapshot:
    """Return the pipeline after the change, or a snapshot of one that is not the live pipeline.

    That is the pipeline after a dry run, and the first answer to a repeated request if there was a change since.
    """
    environment, version = EnvironmentId(outcome.subject.stream), outcome.subject.version
    views = write.context.application.pipelines
    now = await views.get(environment)
    if write.dry_run and outcome.events:
        return await snapshot_of(write.context, _preview(outcome, now))
    view = await views.get(environment, version)
    assert view is not None, "a pipeline exists after a command"
    is_live = not write.dry_run and (outcome.receipt.recorded or now is None or now.version == version)
    return await (from_view if is_live else snapshot_of)(write.context, view)


def _preview(outcome: Outcome[PipelineState], now: PipelineView | None) -> PipelineView:
    """Return the view that a dry run would lead to."""
    at = datetime.now(UTC)
    assert outcome.state.project is not None, "an environment that exists has a project"
    return PipelineView(
        environment=EnvironmentId(outcome.subject.stream),
        project=outcome.state.project,
        version=outcome.subject.version,
        position=outcome.receipt.position,
        created_at=now.created_at if now else at,
        updated_at=at,
        pipeline=outcome.state,
    )
