"""`stageline insights`: how often, how fast and how well an environment or a project is deployed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from msgspec import Struct, convert

from cli.client import Client, document
from cli.errors import Failed
from cli.moment import time
from cli.output import Output, duration, moment
from cli.ref import ServiceRefJson
from cli.scope import Scope, find_project
from cli.text import columns, plain, table

SHOWN = 20
"""Maximum number of services that are printed; `--json` has 500."""

INSIGHTS = document("""
query Insights($project: ID, $environment: ID, $since: DateTime, $until: DateTime) {
  insights(project: $project, environment: $environment, since: $since, until: $until) {
    since until
    deploymentFrequency { count perDay }
    leadTime { ...SpreadFields }
    changeFailureRate { rate changes failed rolledBack }
    timeToRestore { restored { ...SpreadFields } unrestored }
    deploymentTime { ...SpreadFields }
    rollbacks cancelled unchanged
    days { date delivered failed }
    services(first: 500) {
      totalCount
      nodes {
        service { id: serviceId name type } environmentId
        steps { phase runs failed flaky time { ...SpreadFields } }
      }
    }
  }
}

fragment SpreadFields on DurationSpread { count medianSeconds p95Seconds }
""")


class SpreadJson(Struct, rename="camel"):
    count: int
    median_seconds: float | None
    p95_seconds: float | None

    @property
    def words(self) -> str:
        """The median and the 95th percentile in words."""
        if self.median_seconds is None or self.p95_seconds is None:
            return "none"
        return f"median {duration(self.median_seconds)}, 95 % within {duration(self.p95_seconds)}"


class FrequencyJson(Struct, rename="camel"):
    count: int
    per_day: float


class FailureRateJson(Struct, rename="camel"):
    rate: float | None
    changes: int
    failed: int
    rolled_back: int


class RestoreJson(Struct, rename="camel"):
    restored: SpreadJson
    unrestored: int


class DayJson(Struct, rename="camel"):
    date: str
    delivered: int
    failed: int


class StepInsightJson(Struct, rename="camel"):
    phase: str
    runs: int
    failed: int
    flaky: int
    time: SpreadJson


class ServiceInsightJson(Struct, rename="camel"):
    service: ServiceRefJson
    environment_id: str
    steps: list[StepInsightJson]


class ServicesJson(Struct, rename="camel"):
    total_count: int
    nodes: list[ServiceInsightJson]


class InsightsJson(Struct, rename="camel"):
    since: datetime
    until: datetime
    deployment_frequency: FrequencyJson
    lead_time: SpreadJson
    change_failure_rate: FailureRateJson
    time_to_restore: RestoreJson
    deployment_time: SpreadJson
    rollbacks: int
    cancelled: int
    unchanged: int
    days: list[DayJson]
    services: ServicesJson

    def lines(self, name: str) -> Iterator[str]:
        yield plain(f"{name}, {moment(self.since)} to {moment(self.until)}")
        yield from columns(list(self._figures()))
        rows = [
            (each.service.name, step.phase.lower(), str(step.runs), str(step.failed), str(step.flaky), step.time.words)
            for each in self.services.nodes[:SHOWN]
            for step in each.steps
        ]
        if rows:
            yield table(("Service", "Step", "Runs", "Failed", "Flaky", "Time"), rows)
        if (more := self.services.total_count - SHOWN) > 0:
            yield f"and {more:,} more services"

    def _figures(self) -> Iterator[tuple[str, str]]:
        frequency, failures, restore = self.deployment_frequency, self.change_failure_rate, self.time_to_restore
        yield "Deployment frequency", f"{frequency.per_day:.2f} a day ({frequency.count:,})"
        yield "Lead time", f"{self.lead_time.words} ({self.lead_time.count:,} revisions)"
        rate = "none" if failures.rate is None else f"{failures.rate:.1%}"
        bad = f"{failures.failed:,} failed, {failures.rolled_back:,} rolled back, of {failures.changes:,} changes"
        yield "Change failure rate", f"{rate} ({bad})"
        broken = f", {restore.unrestored:,} still broken" if restore.unrestored else ""
        yield "Time to restore", f"{restore.restored.words} ({restore.restored.count:,} failures{broken})"
        yield "Duration", self.deployment_time.words
        others = f"{self.rollbacks:,} rollbacks, {self.cancelled:,} cancelled, {self.unchanged:,} unchanged"
        yield "Others", others


def insights(
    scope: Scope,
    output: Output,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="The beginning: a time, or a time span before now.")
    ] = "30d",
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="The end, in the same forms. Default: now.")
    ] = None,
    whole_project: Annotated[bool, typer.Option("--whole-project", help="All environments of the project.")] = False,
) -> None:
    """Show how often, how fast and how well an environment is deployed: the figures of DORA, and each service's steps.

    The window has the deployments that ended in it. A change is a deployment that delivered something or failed.
    Restarts, starts, stops, deletions and cancelled deployments are none. A rollback makes the change before a failure.
    """
    with Client.known() as client:
        if whole_project:
            project = find_project(scope.project, client)
            owner, name = {"project": project}, "All environments of the project"
        else:
            environment = scope.find(client)
            owner, name = {"environment": environment.id}, f"{environment.project}/{environment.name}"
        window = {"since": time("--since", since), "until": time("--until", until)}
        found = client.execute(INSIGHTS, {**owner, **window})["insights"]
    if found is None:
        raise Failed("There is no such project or environment.", code="ENVIRONMENT_NOT_FOUND")
    shown = convert(found, InsightsJson)
    output.answer(shown, "\n".join(shown.lines(name)))
