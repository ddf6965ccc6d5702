"""Insights: the figures of random histories are those of a naive computation, on every database."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from statistics import median
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.deployment.effect import Effect
from domain.deployment.plan import Plan
from domain.deployment.queue import Action
from domain.deployment.stage import StageStarted
from domain.deployment.state import (
    DeploymentCancelled,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentPlanned,
    DeploymentStarted,
    DeploymentSucceeded,
)
from domain.deployment.step import (
    BuildFailed,
    BuildStarted,
    BuildSucceeded,
    Phase,
    ServiceDeployed,
    ServiceDeployStarted,
    ServiceUnchanged,
    StepRetried,
)
from domain.errors import InvalidArgument
from domain.pipeline.environment import EnvironmentCreated, Target
from domain.project import EnvironmentId, ProjectId
from projections import deployment, environment, insight, revision
from projections.engine.projector import Projector
from projections.engine.views import Views
from projections.environment import Environments
from projections.insight import Insights, Window
from projections.sqlite.views import SqliteViews
from projections.tally import Delivery, Spread, Tally, spread
from store.log import Event, EventLog, StreamChange
from store.memory import MemoryLog
from tests.domain.run import service, service_id, stage, stage_id
from tests.examples import examples
from tests.projections.world import BY, Clock

PROJECTS = ProjectId(UUID(int=100)), ProjectId(UUID(int=200))
ENVIRONMENTS = {
    EnvironmentId(UUID(int=101)): PROJECTS[0],
    EnvironmentId(UUID(int=102)): PROJECTS[0],
    EnvironmentId(UUID(int=201)): PROJECTS[1],
}
FIRST, SECOND, OTHER = ENVIRONMENTS
PROJECTIONS = environment.projection, deployment.projection, revision.projection
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
SHIP, API = stage_id("Ship"), service_id("api")


@dataclass
class Wish:
    """A deployment of a test; *retries* are failed attempts of its build, and *end* is that of the deployment."""

    environment: EnvironmentId = FIRST
    action: Action = Action.DEPLOY
    effect: Effect = Effect.DEPLOY
    end: str = "succeeded"
    revision: str | None = None
    back: int = 1
    retries: int = 0
    ends: Sequence[int] = ()
    number: int = 0
    source: int | None = None
    requested_at: datetime = START
    started_at: datetime = START
    ended_at: datetime | None = None
    built: float | None = None
    id: UUID = field(default_factory=lambda: UUID(int=0))

    @property
    def is_tried(self) -> bool:
        return self.end in ("succeeded", "failed")

    @property
    def is_change(self) -> bool:
        return self.is_tried and self.action is not Action.ROLLBACK

    @property
    def is_good(self) -> bool:
        return self.end in ("succeeded", "unchanged")

    def events(self) -> list[DeploymentEvent]:
        """Return the events after the plan."""
        started: list[DeploymentEvent] = [DeploymentStarted(), StageStarted(stage=SHIP)]
        if self.end == "unchanged":
            return [*started, ServiceUnchanged(service=API, number=1), DeploymentSucceeded()]
        started.append(BuildStarted(service=API, attempt=1))
        for attempt in range(1, self.retries + 1):
            retried = StepRetried(service=API, phase=Phase.BUILD, attempt=attempt, reason="exit code 1")
            started += [retried, BuildStarted(service=API, attempt=attempt + 1)]
        attempt = self.retries + 1
        if self.end == "cancelled":
            return [*started, DeploymentCancelled()]
        if self.end == "failed":
            failed = BuildFailed(service=API, attempt=attempt, reason="exit code 2")
            return [
                *started,
                failed,
                DeploymentFailed(stage=SHIP, service=API, phase=Phase.BUILD, reason="exit code 2"),
            ]
        built = BuildSucceeded(service=API, attempt=attempt)
        deploy = ServiceDeployStarted(service=API, attempt=1)
        return [*started, built, deploy, ServiceDeployed(service=API, attempt=1), DeploymentSucceeded()]


WISHES = st.lists(
    st.builds(
        Wish,
        environment=st.sampled_from([FIRST, FIRST, *ENVIRONMENTS]),
        action=st.sampled_from([Action.DEPLOY, Action.DEPLOY, Action.RETRY, Action.ROLLBACK]),
        effect=st.sampled_from([Effect.DEPLOY, Effect.DEPLOY, Effect.DEPLOY, Effect.STOP]),
        end=st.sampled_from(["succeeded", "succeeded", "failed", "cancelled", "unchanged"]),
        revision=st.sampled_from([None, "a", "b", "c"]),
        back=st.integers(1, 3),
        retries=st.integers(0, 2),
        ends=st.lists(st.sampled_from([0, 0, 0, 1, 2]), max_size=2),
    ),
    max_size=25,
)


class Story:
    """Writes deployments to a log. In each environment they end in the order of their requests."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.ended: list[Wish] = []
        self.requested: list[Wish] = []
        self._open: dict[EnvironmentId, list[Wish]] = {each: [] for each in ENVIRONMENTS}

    async def begin(self) -> None:
        for id_, project in ENVIRONMENTS.items():
            created = EnvironmentCreated(project=project, name=str(id_), target=Target.PROCESS, concurrency=8)
            await self._append(id_, 0, [created])

    async def tell(self, wishes: Sequence[Wish]) -> None:
        for wish in wishes:
            await self.request(wish)
            for number in wish.ends:
                await self.end([*ENVIRONMENTS][number])

    async def request(self, wish: Wish) -> None:
        wish.number = 1 + sum(each.environment == wish.environment for each in self.requested)
        wish.id = UUID(int=1000 + len(self.requested))
        wish.source = max(1, wish.number - wish.back) if wish.action is not Action.DEPLOY else None
        plan = Plan(
            pipeline_version=1,
            target=Target.PROCESS,
            stages=(stage("Ship", service("api", retries=3)),),
            revision=wish.revision,
            source=wish.source,
            effect=wish.effect,
        )
        planned = DeploymentPlanned(environment=wish.environment, number=wish.number, action=wish.action, plan=plan)
        (wish.requested_at,) = await self._append(wish.id, 0, [planned])
        self.requested.append(wish)
        self._open[wish.environment].append(wish)

    async def end(self, environment: EnvironmentId) -> None:
        if not self._open[environment]:
            return
        wish, events = self._open[environment].pop(0), []
        times = {}
        for version, event in enumerate(wish.events(), 1):
            (times[type(event)],) = await self._append(wish.id, version, [event])
            events.append((event, times[type(event)]))
        wish.started_at, wish.ended_at = times[DeploymentStarted], events[-1][1]
        starts = [at for event, at in events if isinstance(event, BuildStarted)]
        ends = [at for event, at in events if isinstance(event, BuildSucceeded)]
        wish.built = (ends[0] - starts[0]).total_seconds() if ends else None
        self.ended.append(wish)

    async def _append(self, stream: UUID, expected: int, events: Sequence[Event]) -> list[datetime]:
        receipt = await self.log.append([StreamChange(stream=stream, expected=expected, events=tuple(events))], BY)
        return [each.recorded_at for each in receipt.recorded]


@dataclass
class Figures:
    """The figures of a window."""

    delivered: int = 0
    failed: int = 0
    rolled_back: int = 0
    rollbacks: int = 0
    cancelled: int = 0
    unchanged: int = 0
    unrestored: int = 0
    restores: list[float] = field(default_factory=list)
    leads: list[float] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    runs: int = 0
    build_failures: int = 0
    flaky: int = 0
    built: list[float] = field(default_factory=list)
    days: dict[str, tuple[int, int]] = field(default_factory=dict)


def naive(story: Story, environments: Sequence[EnvironmentId], window: Window) -> Figures:
    """Compute the figures from the definitions, one after another, by looks through the whole history."""
    found, bad = Figures(), list[Wish]()
    for one in environments:
        own = [each for each in story.ended if each.environment == one and each.effect is Effect.DEPLOY]
        inside = [each for each in own if each.ended_at and window.since <= each.ended_at < window.until]
        changes = [each for each in inside if each.is_change]
        found.delivered += sum(each.end == "succeeded" for each in changes)
        found.failed += sum(each.end == "failed" for each in changes)
        found.rollbacks += sum(each.action is Action.ROLLBACK and each.end != "cancelled" for each in inside)
        found.cancelled += sum(each.end == "cancelled" for each in inside)
        found.unchanged += sum(each.end == "unchanged" and each.action is not Action.ROLLBACK for each in inside)
        known: dict[int, Wish] = {}  # bad changes by the place at which they are known
        for change in changes:
            place, later = inside.index(change), changes[changes.index(change) + 1 :]
            limit = inside.index(later[0]) if later else len(inside)
            undone = [
                at
                for at in range(place + 1, limit)
                if inside[at].action is Action.ROLLBACK
                and inside[at].end != "cancelled"
                and inside[at].source != change.number
            ]
            if change.end == "failed":
                known[place] = change
            elif undone:
                known[undone[0]] = change
                found.rolled_back += 1
        bad += known.values()
        goods = [at for at, each in enumerate(inside) if each.is_good]
        before = -1
        for good in goods:
            broken = [known[at] for at in sorted(known) if before < at <= good]
            if broken:
                found.restores.append(seconds(broken[0].ended_at, inside[good].ended_at))
            before = good
        found.unrestored += any(at > before for at in known)
        found.durations += [seconds(each.started_at, each.ended_at) for each in changes if each.end == "succeeded"]
        for name in ("a", "b", "c"):
            firsts = [each for each in own if each.is_change and each.end == "succeeded" and each.revision == name]
            if firsts and firsts[0] in inside:
                project = ENVIRONMENTS[one]
                asked = [
                    each.requested_at
                    for each in story.requested
                    if ENVIRONMENTS[each.environment] == project and each.revision == name
                ]
                found.leads.append(seconds(min(asked), firsts[0].ended_at))
        ran = [each for each in inside if each.is_tried]
        found.runs += len(ran)
        found.build_failures += sum(each.end == "failed" for each in ran)
        found.flaky += sum(each.end == "succeeded" and each.retries > 0 for each in ran)
        found.built += [each.built for each in ran if each.built is not None]
        for change in changes:
            assert change.ended_at is not None
            day = change.ended_at.date().isoformat()
            delivered, failed = found.days.get(day, (0, 0))
            is_bad = any(each is change for each in known.values())
            found.days[day] = delivered + (change.end == "succeeded"), failed + is_bad
    return found


def seconds(start: datetime | None, end: datetime | None) -> float:
    assert start is not None
    assert end is not None
    return (end - start).total_seconds()


async def computed(views: Views, environments: Sequence[EnvironmentId], window: Window) -> Figures:
    """Read the same figures from the read models."""
    insights = Insights(views, Environments(views))
    tally = await insights.tally(environments, window)
    leads = [lead for project in PROJECTS for lead in await insights.lead_times(project, _of(tally, project))]
    services = await insights.services(environments, window)
    builds = [each.steps[Phase.BUILD] for each in services if Phase.BUILD in each.steps]
    return Figures(
        delivered=tally.delivered,
        failed=tally.failed,
        rolled_back=tally.rolled_back,
        rollbacks=tally.rollbacks,
        cancelled=tally.cancelled,
        unchanged=tally.unchanged,
        unrestored=tally.unrestored,
        restores=tally.restores,
        leads=leads,
        durations=tally.durations,
        runs=sum(each.runs for each in builds),
        build_failures=sum(each.failed for each in builds),
        flaky=sum(each.flaky for each in builds),
        built=[one for each in builds for one in each.durations],
        days={day.isoformat(): (each.delivered, each.failed) for day, each in tally.days.items()},
    )


def _of(tally: Tally, project: ProjectId) -> list[Delivery]:
    return [each for each in tally.deliveries if ENVIRONMENTS[each.environment] == project]


def assert_same(found: Figures, expected: Figures) -> None:
    for name in ("restores", "leads", "durations", "built"):
        setattr(found, name, sorted(getattr(found, name)))
        setattr(expected, name, sorted(getattr(expected, name)))
    assert found == expected


async def compare(log: EventLog, views: Views, wishes: Sequence[Wish], windows: Sequence[Window]) -> Figures:
    """Compare the figures in each window; return those of the last one."""
    projector, story, found = Projector(log, views, PROJECTIONS), Story(log), Figures()
    await projector.start()
    try:
        await story.begin()
        await story.tell(wishes)
        await projector.wait_for(await log.position(), 60)
        for window in windows:
            for environments in ([FIRST], [FIRST, SECOND], [*ENVIRONMENTS]):
                found = await computed(views, environments, window)
                assert_same(found, naive(story, environments, window))
    finally:
        await projector.stop()
    return found


def window(since: int, until: int) -> Window:
    """Return a window in seconds since the start of the clock, which advances by one with each event."""
    return Window(since=START + timedelta(seconds=since), until=START + timedelta(seconds=until))


WHOLE = window(-10, 100_000)


@settings(max_examples=examples(300))
@given(WISHES, st.integers(0, 60), st.integers(1, 200))
def test_the_figures_of_random_histories_are_those_of_a_naive_computation(
    wishes: list[Wish], since: int, length: int
) -> None:
    async def work() -> None:
        views = await SqliteViews.open(":memory:")
        try:
            await compare(MemoryLog(Clock()), views, wishes, [window(since, since + length), WHOLE])
        finally:
            await views.close()

    asyncio.run(work())


def _wish(end: str, action: Action = Action.DEPLOY, **given: object) -> Wish:
    return Wish(end=end, action=action, ends=(0,), **given)  # type: ignore[arg-type]  # fields of the struct


async def test_a_rollback_makes_the_change_before_it_a_failure_on_every_database(log: EventLog, views: Views) -> None:
    wishes = [
        Wish(environment=SECOND, revision="a", ends=(1,)),
        _wish("succeeded", revision="a"),
        _wish("succeeded", revision="b", retries=1),
        _wish("succeeded", Action.ROLLBACK, back=2),
        _wish("unchanged", revision="a"),
        _wish("failed", revision="c"),
        _wish("succeeded", effect=Effect.STOP),
        _wish("cancelled"),
        _wish("failed", Action.ROLLBACK, back=2),
        _wish("succeeded", Action.RETRY, revision="c"),
    ]
    found = await compare(log, views, wishes, [WHOLE])
    assert (found.delivered, found.failed, found.rolled_back) == (4, 1, 1)
    assert (found.rollbacks, found.unchanged, found.cancelled) == (2, 1, 1)
    assert len(found.restores) == 2
    assert found.unrestored == 0
    assert len(found.leads) == 4
    assert max(found.leads) > 10  # the revision was first requested in the other environment
    assert (found.runs, found.build_failures, found.flaky) == (7, 2, 1)


async def test_the_rows_are_rebuilt_from_the_log(log: EventLog, views: Views) -> None:
    await compare(log, views, [_wish("succeeded", revision="a"), _wish("failed", revision="b")], [WHOLE])
    before = await computed(views, [FIRST], WHOLE)
    for kind in ("deployment", "revision"):
        await views.forget(kind)
    projector = Projector(log, views, PROJECTIONS)
    await projector.start()
    await projector.wait_for(await log.position(), 60)
    while any(each.is_rebuilding for each in (await projector.status()).projections):
        await asyncio.sleep(0)
    await projector.stop()
    assert await computed(views, [FIRST], WHOLE) == before


async def test_a_window_with_too_many_deployments_is_refused(
    in_memory: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insight, "MAX_DEPLOYMENTS", 2)
    with pytest.raises(InvalidArgument, match="more than 2 deployments: choose a shorter one, or one environment"):
        await compare(MemoryLog(Clock()), in_memory, [_wish("succeeded")] * 3, [WHOLE])


@pytest.mark.parametrize(
    ("since", "until", "why"), [(5, 5, "must begin before it ends"), (0, 367 * 86_400, "at most 366 are allowed")]
)
def test_an_empty_or_too_long_window_is_refused(since: int, until: int, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        insight.check(window(since, until))


@given(st.lists(st.floats(0, 1e6)))
def test_the_95th_percentile_is_the_lowest_that_95_percent_do_not_exceed(durations: list[float]) -> None:
    found = spread(durations)
    if not durations:
        assert found == Spread()
        return
    assert (found.count, found.median) == (len(durations), median(durations))
    enough = [each for each in durations if sum(one <= each for one in durations) >= ceil(0.95 * len(durations))]
    assert found.p95 == min(enough)
