"""
Deployments of an environment, newest first.

`domain.deployment.evolve` folds each event; a view adds the times at which its parts changed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import product
from math import prod
from typing import cast, get_args
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cache.lru import Cache
from domain.deployment.effect import Effect
from domain.deployment.fold import evolve
from domain.deployment.gate import GateEvent, GateRun
from domain.deployment.plan import PlannedStage
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.stage import StageRun, index_of
from domain.deployment.state import (
    Cancellation,
    CancellationRequested,
    Deployment,
    DeploymentEvent,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSuperseded,
    Failure,
)
from domain.deployment.step import Status, StepEvent
from domain.errors import InvalidArgument
from domain.pipeline.ref import ServiceId, StageId
from domain.project import EnvironmentId
from projections import outcome as outcomes
from projections import step as steps
from projections.engine.pages import RecentPages
from projections.engine.projection import Projection, Reader
from projections.engine.projector import Projector
from projections.engine.replay import Replay
from projections.engine.views import FIRST, ListPlace, Page, Slice, SortRange, ViewRow, Views
from projections.outcome import Outcome, sort_of
from projections.step import ServiceView
from store.log import EventLog, RecordedEvent

EVENTS = frozenset(get_args(DeploymentEvent))

CANCELLING = CancellationRequested, DeploymentSuperseded


MAX_NARROWED = 100
"""Maximum number of lists that a query merges: statuses times actions times actors."""


class DeploymentQuery(Struct, frozen=True, kw_only=True):
    """A query of deployments. Each field narrows it, and any value of a field matches; None matches all.

    *since* and *until* are limits of the time of the request, inclusive. The newest deployment is the first one, or the
    last one if *is_ascending*.
    """

    statuses: frozenset[Status] | None = None
    actions: frozenset[Action] | None = None
    actors: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    is_ascending: bool = False

    def parents(self, environment: EnvironmentId) -> list[str]:
        """Return the lists of matching deployments; raises `InvalidArgument` if there are too many."""
        facets = [("",) if each is None else sorted(each) for each in (self.statuses, self.actions, self.actors)]
        if (count := prod(map(len, facets))) > MAX_NARROWED:
            why = f"its statuses, actions and actors make {count:,} combinations; at most {MAX_NARROWED} are allowed"
            raise InvalidArgument(argument="filter", why=why)
        return [_narrowed(environment, *each) for each in product(*facets)]


class StageView(Struct, frozen=True, kw_only=True):
    """A stage of a deployment. *plan* is the planned stage without its services; rows before version 4 lack it.

    *gate* is its progress through the gates before it.
    """

    id: StageId
    position: int
    name: str
    status: Status
    started_at: datetime | None = None
    finished_at: datetime | None = None
    services: tuple[ServiceView, ...] = ()
    plan: PlannedStage | None = None
    gate: GateRun = GateRun()


class DeploymentSummary(Struct, frozen=True, kw_only=True):
    """A deployment without its steps: *actor* requested it for *reason*, and *worker* carries it out.

    *cancelled_by* is the actor of the last request to cancel it. *timeout* is its maximum duration, in seconds.
    If it *rolls_back*, another deployment undoes its failure. It *undoes* the failed one with that number.
    *superseded_by* is the number of the later one that made it needless while it waited. Its plan *is_partial* if it
    has the chosen services only, and as skipped ones those to which they refer.
    """

    id: DeploymentId
    environment: EnvironmentId
    number: int
    action: Action
    effect: Effect = Effect.DEPLOY
    is_partial: bool = False
    status: Status
    actor: str
    reason: str | None
    pipeline_version: int
    source: int | None = None
    revision: str | None = None
    requested_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancellation: Cancellation | None = None
    cancelled_by: str | None = None
    is_held: bool = False
    timeout: float | None = None
    has_timed_out: bool = False
    rolls_back: bool = False
    undoes: int | None = None
    superseded_by: int | None = None
    failure: Failure | None = None
    worker: str | None = None
    version: int
    position: int


class DeploymentView(DeploymentSummary, frozen=True, kw_only=True):
    """A deployment with its steps, of which there may be thousands."""

    stages: tuple[StageView, ...]


def key(recorded: RecordedEvent) -> UUID | None:
    return recorded.stream if type(recorded.event) in EVENTS else None


def fold(view: DeploymentView | None, recorded: RecordedEvent) -> DeploymentView | None:
    event = cast("DeploymentEvent", recorded.event)
    if isinstance(event, DeploymentPlanned):
        return _planned(event, recorded)
    if view is None:
        return None
    at = recorded.recorded_at
    after = evolve(_state(view, event.service if isinstance(event, StepEvent) else None), event)
    return replace(
        view,
        status=after.status,
        started_at=at if isinstance(event, DeploymentStarted) else view.started_at,
        finished_at=at if after.status.is_final else None,
        cancellation=after.cancellation,
        is_held=after.is_held,
        cancelled_by=recorded.by.actor if isinstance(event, CANCELLING) else view.cancelled_by,
        superseded_by=event.number if isinstance(event, DeploymentSuperseded) else view.superseded_by,
        has_timed_out=after.has_timed_out,
        rolls_back=after.rolls_back,
        failure=after.failure,
        worker=after.worker,
        stages=tuple(_fold_stage(stage, run, event, at) for stage, run in zip(view.stages, after.stages, strict=True)),
        version=recorded.version,
        position=recorded.position,
    )


def place(view: DeploymentView) -> ListPlace:
    return ListPlace(parent=str(view.environment), sort=f"{view.number:010}")


def places(view: DeploymentView) -> list[ListPlace]:
    """Return a place for each set of facets, so that a list of any of them is read without a scan."""
    sort = f"{sort_of(view.requested_at)}{view.number:010}"
    facets = product(("", view.status), ("", view.action), ("", view.actor))
    return [ListPlace(_narrowed(view.environment, *each), sort) for each in facets]


def _narrowed(environment: EnvironmentId, status: str, action: str, actor: str) -> str:
    return f"{environment} {status} {action} {actor}"


def parts(
    before: DeploymentView | None, after: DeploymentView | None, recorded: RecordedEvent
) -> Mapping[UUID, ViewRow | None]:
    """Return the rows of the outcome when a deployment ends that may bring another version."""
    if after is None or not after.status.is_final or after.effect is not Effect.DEPLOY:
        return {}
    if before is not None and before.status.is_final:
        return {}
    services = [service for stage in after.stages for service in stage.services]
    outcome = Outcome(
        deployment=after.id,
        number=after.number,
        action=after.action,
        status=after.status,
        is_unchanged=outcomes.is_unchanged(after.status, services),
        revision=after.revision,
        source=after.source,
        requested_at=after.requested_at,
        started_at=after.started_at,
        ended_at=recorded.recorded_at,
    )
    return outcomes.rows(after.environment, outcome, services, recorded.position)


projection = Projection("deployment", 28, DeploymentView, key, fold, place, places=places, parts=parts)


def _planned(event: DeploymentPlanned, recorded: RecordedEvent) -> DeploymentView:
    planned = evolve(Deployment(), event)
    return DeploymentView(
        id=DeploymentId(recorded.stream),
        environment=event.environment,
        number=event.number,
        action=event.action,
        effect=event.plan.effect,
        is_partial=event.plan.is_partial,
        status=planned.status,
        actor=recorded.by.actor,
        reason=recorded.by.reason,
        pipeline_version=event.plan.pipeline_version,
        source=event.plan.source,
        revision=event.plan.revision,
        timeout=event.plan.timeout,
        undoes=event.plan.undoes,
        requested_at=recorded.recorded_at,
        stages=tuple(
            StageView(
                id=run.stage.id,
                position=position,
                name=run.stage.name,
                status=run.status,
                services=tuple(map(steps.planned, run.services)),
                plan=replace(run.stage, services=()),
            )
            for position, run in enumerate(planned.stages, 1)
        ),
        version=recorded.version,
        position=recorded.position,
    )


def state_of(view: DeploymentView) -> Deployment:
    """Return the state of a deployment; the specifications of its services are missing."""
    stages = tuple(map(stage_run, view.stages))
    places = {
        run.service.id.int: (place, index)
        for place, stage in enumerate(stages)
        for index, run in enumerate(stage.services)
    }
    return _with_stages(view, stages, places)


def stage_run(stage: StageView) -> StageRun:
    """Return the state of a stage; the specifications of its services are missing."""
    services = tuple(map(steps.run_of, stage.services))
    return StageRun(stage=_plan(stage), status=stage.status, services=services, gate=stage.gate)


def _state(view: DeploymentView, service: ServiceId | None) -> Deployment:
    """Return the state of a deployment with no service but *service*.

    An event changes no other service, and a plan may have a thousand. Ids are compared as integers, which is faster
    than as UUIDs.
    """
    wanted = None if service is None else service.int
    stages = tuple(
        StageRun(
            stage=_plan(stage),
            status=stage.status,
            services=tuple(steps.run_of(each) for each in stage.services if each.id.int == wanted),
            gate=stage.gate,
        )
        for stage in view.stages
    )
    places = {run.service.id.int: (place, 0) for place, stage in enumerate(stages) for run in stage.services}
    return _with_stages(view, stages, places)


def _with_stages(
    view: DeploymentView, stages: tuple[StageRun, ...], places: Mapping[int, tuple[int, int]]
) -> Deployment:
    return Deployment(
        environment=view.environment,
        number=view.number,
        action=view.action,
        status=view.status,
        worker=view.worker,
        stages=stages,
        index=index_of(stages),
        places=places,
        failure=view.failure,
        cancellation=view.cancellation,
        is_held=view.is_held,
        has_timed_out=view.has_timed_out,
    )


def _plan(stage: StageView) -> PlannedStage:
    assert stage.plan is not None, "rows of this version have the plan of each stage"
    return stage.plan


def _fold_stage(stage: StageView, after: StageRun, event: DeploymentEvent, at: datetime) -> StageView:
    if isinstance(event, StepEvent) and after.services:
        changed = {run.service.id.int: run for run in after.services}
        services = tuple(
            steps.fold(each, changed[each.id.int], event, at) if each.id.int in changed else each
            for each in stage.services
        )
        stage = replace(stage, services=services)
    if isinstance(event, GateEvent):
        stage = replace(stage, gate=after.gate)
    if stage.status is after.status:
        return stage
    started_at, finished_at = steps.times(stage.started_at, after.status, at)
    return replace(stage, status=after.status, started_at=started_at, finished_at=finished_at)


DECODED_BYTES = 16 * 1024 * 1024
"""Maximum size of the cached views of rows, in bytes, with their documents."""

DECODED = 8
"""Size of a cached view for each byte of its document, in bytes, with the document."""


DeploymentPages = RecentPages[DeploymentSummary]


def recent_pages(log: EventLog, projector: Projector) -> DeploymentPages:
    """Return the cache of pages for `Deployments`."""
    return RecentPages(log, projector, projection.name, EVENTS, _subjects)


def _subjects(recorded: RecordedEvent) -> tuple[UUID, ...]:
    event = recorded.event  # a planned deployment is a new one of its environment's list
    return (recorded.stream, event.environment) if isinstance(event, DeploymentPlanned) else (recorded.stream,)


class Deployments:
    """Reads deployments; *recent* has the pages without cursors that were read last.

    The views of equal documents are cached: a page of 20 deployments of 7 services each is decoded in 0.5 ms or more,
    and found again in 0.05 ms (`bench.query`). `DECODED_BYTES = 0` turns it off.
    """

    def __init__(self, views: Views, log: EventLog, recent: DeploymentPages | None = None) -> None:
        self._recent = recent
        self._decoded: Cache[bytes, DeploymentView] = Cache(DECODED_BYTES)
        self._rows = Reader(views, projection)
        self._replay = Replay(log, projection)

    async def get(self, deployment: DeploymentId) -> DeploymentView | None:
        """Return a deployment from its row, as new as the read models, or None."""
        return await self._rows.get(deployment)

    async def read(self, deployment: DeploymentId, version: int | None = None) -> DeploymentView | None:
        """Return a deployment from the log, at its end or at *version*, or None."""
        return await self._replay.get(deployment, version)

    async def list(
        self, environment: EnvironmentId, part: Slice = FIRST, *, has_steps: bool = True
    ) -> Page[DeploymentSummary]:
        """Return deployments, newest first: as `DeploymentView`, or without their steps, which is much faster.

        Raises `InvalidArgument` for an invalid cursor.
        """
        (page,) = await self.list_each([environment], part, has_steps=has_steps)
        return page

    async def list_each(
        self, environments: Sequence[EnvironmentId], part: Slice, *, has_steps: bool = True
    ) -> Sequence[Page[DeploymentSummary]]:
        """Return the same part of the list of each of *environments*; only that of one may have cursors."""
        decode = self._decoder(has_steps)

        async def read() -> Sequence[Page[DeploymentSummary]]:
            parents = [str(each) for each in environments]
            return await self._rows.read_each(parents, part, decode, is_descending=True)

        if self._recent is None or part.has_cursor:
            return await read()
        key = (tuple(each.int for each in environments), part, has_steps)
        return await self._recent.get(
            key, read, lambda pages: (*environments, *(edge.node.id for page in pages for edge in page.edges))
        )

    async def list_narrowed(
        self, environments: Sequence[EnvironmentId], part: Slice, query: DeploymentQuery, *, has_steps: bool = True
    ) -> Sequence[Page[DeploymentSummary]]:
        """Return the same part of the deployments of each of *environments* that match *query*."""
        within = SortRange(
            since=None if query.since is None else sort_of(query.since),
            until=None if query.until is None else f"{sort_of(query.until)}~",
        )
        groups = [query.parents(each) for each in environments]
        decode = self._decoder(has_steps)
        return await self._rows.read_merged(groups, part, decode, is_descending=not query.is_ascending, within=within)

    def _decoder(self, has_steps: bool) -> Callable[[bytes], DeploymentSummary]:
        return self._decode if has_steps else _summaries.decode

    def _decode(self, document: bytes) -> DeploymentView:
        view = self._decoded.get(document)
        if view is None:
            view = projection.decode(document)
            self._decoded.put(document, view, DECODED * len(document))
        return view

    async def find(self, deployments: Collection[DeploymentId]) -> Mapping[UUID, DeploymentView]:
        """Return the deployments that exist."""
        return await self._rows.find(deployments)


_summaries = msgspec.json.Decoder(DeploymentSummary)
