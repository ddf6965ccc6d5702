"""Mutations of whole pipelines, and the answer of all mutations of a pipeline."""

from collections.abc import Awaitable, Callable, Sequence
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
from domain.errors import ChangeNotFound, InvalidArgument
from domain.pipeline.state import Pipeline as PipelineState
from domain.pipeline.state import PipelineCommand
from domain.project import EnvironmentId
from gql.contract.argument import check_list
from gql.contract.node import parse
from gql.document import pipeline as documents
from gql.mutation import Payload, Write, mutation
from gql.types.document import DocumentArgument
from gql.types.environment import known_environment, pipeline_view
from gql.types.pipeline import Pipeline, PipelineSnapshot, from_view, snapshot_of
from gql.types.ref import EnvironmentArgument
from gql.types.refusal import Refusal
from projections.pipeline import PipelineView
from store.log import Event


@strawberry.type(description="The answer to a mutation of a pipeline.")
class PipelinePayload(Payload):
    pipeline: Pipeline | None = strawberry.field(
        description="The live pipeline after the change; null after a dry run, and after a repeat of a request if the"
        " pipeline was changed since."
    )
    snapshot: PipelineSnapshot | None = strawberry.field(
        description="If pipeline is null: the pipeline as a dry run would make it, or as it was at first."
    )


PipelineResult = Annotated[
    PipelinePayload | Refusal,
    strawberry.union("PipelineResult", description="The pipeline after the change, or a refusal."),
]


@mutation("Restore a past version of a pipeline, in one append. The environment keeps its name.", of="pipeline")
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


ChangeArgument = Annotated[
    ID | None,
    strawberry.argument(
        description="Id of any event of the change; null for one's last change that is neither an undo nor undone."
    ),
]


@mutation(
    "Undo a change that the requesting actor made to a pipeline, and keep all later changes. It is refused if one of"
    " these stands on it. An undo is itself a change, so it can be undone by its id.",
    of="pipeline",
)
async def undo_pipeline_change(
    write: Write, environment: EnvironmentArgument, change: ChangeArgument = None
) -> PipelineResult:
    application = write.context.application
    return await transact(
        _because(write, "undo"),
        partial(
            undoing.undo,
            environment=await known_environment(write.context, environment),
            change=None if change is None else _event_id(change),
            actor=write.context.author(None).actor,
            log=application.log,
            views=application.pipelines,
            targets=application.targets,
            expected=write.expected_version,
        ),
    )


def _event_id(text: str) -> UUID:
    found = parse(text)
    if found is None or found.kind != "event":
        raise ChangeNotFound(change=text)
    return found.value


@mutation("Make the pipeline of an environment equal to a pipeline document, in one append.", of="pipeline")
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


@strawberry.type(description="The answer to a mutation of several pipelines.")
class PipelinesPayload(Payload):
    pipelines: list[Pipeline] | None = strawberry.field(
        description="The live pipelines after the change, one for each environment, in the order of the request; null"
        " after a dry run, and after a repeat of a request."
    )
    snapshots: list[PipelineSnapshot] | None = strawberry.field(
        description="If pipelines is null, the pipelines as a dry run would make them, or as they were after the first"
        " request."
    )


PipelinesResult = Annotated[
    PipelinesPayload | Refusal,
    strawberry.union("PipelinesResult", description="The pipelines after the change, or a refusal."),
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
        )
        results.update({each: (state, transaction.events(each)) for each, state in after.items()})
        return own[0]

    outcome = await write.transact(work, pipelines.decider)
    if results:
        outcomes = [
            Outcome(subject=state, receipt=outcome.receipt, events=events) for state, events in results.values()
        ]
        return _payload_of_all(outcome, [await _pipeline(write, each) for each in outcomes])
    # the idempotency key was known: return the pipelines as of the first request
    (last,) = await write.context.application.log.read_all(after=outcome.receipt.position - 1, limit=1)
    then = [await pipeline_view(write.context, each, as_of=last.recorded_at) for each in dict.fromkeys(environments)]
    return _payload_of_all(outcome, [await snapshot_of(write.context, view) for view in then if view])


def _payload_of_all(outcome: Outcome[PipelineState], after: Sequence[Pipeline | PipelineSnapshot]) -> PipelinesPayload:
    live = [each for each in after if isinstance(each, Pipeline)]
    snapshots = [each for each in after if isinstance(each, PipelineSnapshot)]
    # one request made them: all are live, or none is
    return PipelinesPayload(
        changed=outcome.has_changed, pipelines=None if snapshots else live, snapshots=snapshots or None
    )


def _because(write: Write, what: str) -> Write:
    """Return *write* with *what* it is in front of its reason, so that the history says it."""
    return replace(write, reason=what if write.reason is None else f"{what}: {write.reason}")


async def change(write: Write, environment: str, command: PipelineCommand) -> PipelinePayload:
    """Carry out one command on the pipeline of an environment."""
    own = await known_environment(write.context, environment)
    return await transact(
        write, partial(use_cases.change, environment=own, command=command, expected=write.expected_version)
    )


async def transact(write: Write, use_case: Callable[[Transaction], Awaitable[UUID]]) -> PipelinePayload:
    """Carry out a use case of a pipeline, and return the pipeline after it."""

    async def work(transaction: Transaction) -> UUID:
        environment = EnvironmentId(await use_case(transaction))
        if write.unchanged_since is not None:
            application = write.context.application
            await use_cases.check_unchanged(
                transaction, environment, write.unchanged_since, application.log, application.pipelines
            )
        return environment

    outcome = await write.transact(work, pipelines.decider)
    after = await _pipeline(write, outcome)
    return PipelinePayload(
        changed=outcome.has_changed,
        pipeline=after if isinstance(after, Pipeline) else None,
        snapshot=after if isinstance(after, PipelineSnapshot) else None,
    )


async def _pipeline(write: Write, outcome: Outcome[PipelineState]) -> Pipeline | PipelineSnapshot:
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
