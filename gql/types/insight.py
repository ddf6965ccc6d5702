"""Insights: how often, how fast and how well an environment or a project is deployed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import strawberry
from strawberry import ID, Private

from domain.errors import InvalidArgument
from domain.project import EnvironmentId, ProjectId
from endpoint.execution.edge import Selected, edge
from gql.context import Context, Info
from gql.contract.connection import After, Before, Connection, First, Last, ListName, connection, cut, part
from gql.contract.node import global_id
from gql.types.environment import environment_of, known_environment
from gql.types.moment import zoned
from gql.types.project import find_ever
from gql.types.ref import ServiceRef, service_ref
from gql.types.step import Phase
from projections.insight import KINDS, MAX_DAYS, MAX_DEPLOYMENTS, Window, check
from projections.tally import ServiceTally, Spread, StepTally, Tally, spread

DEFAULT = timedelta(days=30)
"""Length of a window without a beginning."""


@strawberry.type(description="Durations, summed up.")
class DurationSpread:
    count: int = strawberry.field(description="Number of durations.")
    median_seconds: float | None = strawberry.field(description="The median, in seconds; null for none.")
    p95_seconds: float | None = strawberry.field(
        description="The 95th percentile by the nearest rank, in seconds; null for none."
    )


@strawberry.type(description="How often changes are delivered.")
class DeploymentFrequency:
    count: int = strawberry.field(description="Number of deployments that delivered a change.")
    per_day: float = strawberry.field(description="The same for each 24 hours of the window.")


@strawberry.type(description="How many changes fail.")
class ChangeFailureRate:
    rate: float | None = strawberry.field(
        description="Failed and rolled back changes as a share of all, from 0 to 1; null for no changes."
    )
    changes: int = strawberry.field(description="Number of changes that were delivered or failed.")
    failed: int = strawberry.field(description="Number of changes whose deployment failed.")
    rolled_back: int = strawberry.field(description="Number of delivered changes that a rollback undid.")


@strawberry.type(description="How long it takes until an environment works again.")
class TimeToRestore:
    restored: DurationSpread = strawberry.field(
        description="The times from a failure to the next successful deployment."
    )
    unrestored: int = strawberry.field(description="Number of environments that were broken at the end of the window.")


@strawberry.type(description="The changes of a day.")
class InsightDay:
    date: str = strawberry.field(description="The day in UTC, as in 2026-01-31.")
    delivered: int = strawberry.field(description="Number of deployments that delivered a change.")
    failed: int = strawberry.field(description="Number of changes of the day that failed, or were rolled back.")


@strawberry.type(description="A step of a service in a window.")
class StepInsight:
    phase: Phase = strawberry.field(description="The step.")
    runs: int = strawberry.field(description="Number of deployments in which it ended, successfully or not.")
    failed: int = strawberry.field(description="Number of those in which it failed for good.")
    flaky: int = strawberry.field(description="Number of those in which an attempt succeeded after one that failed.")
    time: DurationSpread = strawberry.field(
        description="Times from the start of the first attempt to success, with all retries."
    )


@strawberry.type(description="A service in a window.")
class ServiceInsight:
    service: ServiceRef = strawberry.field(description="The service, by its newest name in the window.")
    environment_id: ID = strawberry.field(description="Id of its environment.")
    steps: list[StepInsight] = strawberry.field(description="Its steps that ended, in order.")


@strawberry.type(
    description="Figures of the deployments that ended in a window of time. docs/insights.md defines each."
)
class Insights:
    since: datetime = strawberry.field(description="The beginning of the window, inclusive.")
    until: datetime = strawberry.field(description="The end of the window, exclusive.")
    deployment_frequency: DeploymentFrequency = strawberry.field(description="How often changes are delivered.")
    change_failure_rate: ChangeFailureRate = strawberry.field(description="How many changes fail.")
    time_to_restore: TimeToRestore = strawberry.field(description="How long it takes until it works again.")
    deployment_time: DurationSpread = strawberry.field(
        description="Durations of the deployments that delivered a change, from start to end."
    )
    rollbacks: int = strawberry.field(description="Number of rollbacks, by people and after failures.")
    cancelled: int = strawberry.field(description="Number of cancelled deployments, which no other figure counts.")
    unchanged: int = strawberry.field(description="Number of deployments that left every service as it was.")
    days: list[InsightDay] = strawberry.field(description="The days of the window with a change, oldest first.")
    environments: Private[tuple[EnvironmentId, ...]]
    project: Private[ProjectId]
    tally: Private[Tally]

    @property
    def window(self) -> Window:
        return Window(since=self.since, until=self.until)


def _spread(found: Spread) -> DurationSpread:
    return DurationSpread(count=found.count, median_seconds=found.median, p95_seconds=found.p95)


def _insights(window: Window, project: ProjectId, environments: Sequence[EnvironmentId], tally: Tally) -> Insights:
    return Insights(
        since=window.since,
        until=window.until,
        deployment_frequency=DeploymentFrequency(count=tally.delivered, per_day=tally.delivered / window.days),
        change_failure_rate=ChangeFailureRate(
            rate=tally.failure_rate, changes=tally.changes, failed=tally.failed, rolled_back=tally.rolled_back
        ),
        time_to_restore=TimeToRestore(restored=_spread(spread(tally.restores)), unrestored=tally.unrestored),
        deployment_time=_spread(spread(tally.durations)),
        rollbacks=tally.rollbacks,
        cancelled=tally.cancelled,
        unchanged=tally.unchanged,
        days=[
            InsightDay(date=day.isoformat(), delivered=each.delivered, failed=each.failed)
            for day, each in sorted(tally.days.items())
        ],
        environments=tuple(environments),
        project=project,
        tally=tally,
    )


def _service(found: ServiceTally) -> ServiceInsight:
    return ServiceInsight(
        service=service_ref(found.id, found.name, found.type),
        environment_id=global_id("environment", found.environment),
        steps=[_step(phase, found.steps[phase]) for phase in (Phase.BUILD, Phase.DEPLOY) if phase in found.steps],
    )


def _step(phase: Phase, found: StepTally) -> StepInsight:
    time = _spread(spread(found.durations))
    return StepInsight(phase=phase, runs=found.runs, failed=found.failed, flaky=found.flaky, time=time)


@edge(
    Insights,
    "Times from the first request of a revision in the project to its first delivery by the environment, of the"
    " revisions that were first delivered in the window.",
)
async def lead_time(context: Context, found: list[Insights], selected: Selected) -> list[DurationSpread]:
    reader = context.application.insights
    return [_spread(spread(await reader.lead_times(each.project, each.tally.deliveries))) for each in found]


@edge(Insights, "The services of which a step ended in the window: flaky ones first, then those that failed, by name.")
async def services(
    context: Context,
    found: list[Insights],
    selected: Selected,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> list[Connection[ServiceInsight]]:
    made = []
    for each in found:
        whole = await context.application.insights.services(each.environments, each.window)
        of = ListName("insights", (each.environments[0] if len(each.environments) == 1 else each.project).hex)
        page = cut(whole, part(first, after, last, before, of), lambda one: one.id.hex)
        made.append(connection(page, _service, of, len(whole)))
    return made


async def _owner(
    context: Context, project: str | None, environment: str | None
) -> tuple[ProjectId, Sequence[EnvironmentId]]:
    """Return the project, and the environments that are looked at; raises `NotFound` and `InvalidArgument`."""
    if environment is not None and project is None:
        key = await known_environment(context, environment)
        return (await environment_of(context, key)).project.key, [key]
    if project is None or environment is not None:
        raise InvalidArgument(argument="environment", why="either an environment or a project is required")
    owner = await find_ever(context, project)
    return owner, await context.application.insights.environments_of(owner)


@strawberry.type
class Query:
    @strawberry.field(
        description="Figures of the deployments of an environment, or of all environments of a project, that ended in a"
        f" window of at most {MAX_DAYS} days and {MAX_DEPLOYMENTS:,} deployments."
    )
    async def insights(
        self,
        info: Info,
        project: Annotated[
            ID | None, strawberry.argument(description="Id or name of the project; environment must not be given.")
        ] = None,
        environment: Annotated[
            ID | None, strawberry.argument(description="Id of the environment; project must not be given.")
        ] = None,
        since: Annotated[
            datetime | None,
            strawberry.argument(description=f"The beginning, inclusive; null for {DEFAULT.days} days before the end."),
        ] = None,
        until: Annotated[datetime | None, strawberry.argument(description="The end, exclusive; null for now.")] = None,
    ) -> Insights | None:
        context = info.context
        end = zoned("until", until) or datetime.now(UTC)
        window = Window(since=zoned("since", since) or end - DEFAULT, until=end)
        check(window)
        await context.settled()
        context.application.projector.check_built(*KINDS)
        owner, environments = await _owner(context, project, environment)
        return _insights(window, owner, environments, await context.application.insights.tally(environments, window))
