"""The metrics of the deployments that this process runs, for Prometheus."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import assert_never

from prometheus_client import Counter, Gauge, Histogram

from domain.deployment.queue import DeploymentId
from domain.deployment.state import Deployment, DeploymentStarted
from domain.deployment.step import AbortStep, FailStep, KeepStep, StartStep, StepCommand, SucceedStep
from runner.retry import retry
from store.log import EventLog, RecordedEvent

BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Upper bounds of the durations of deployments, in seconds."""

FAILED = "failed"
"""Label of a failed attempt."""

UNTIL_START = 50
"""Version by which a deployment's stream has its start: the deployment is planned, waits and is taken up before."""

DEPLOYMENTS = Histogram(
    "stageline_deployment_duration_seconds",
    "Time from the start of a deployment to its end, by outcome; the process that ends it counts it.",
    ["outcome"],
    buckets=BUCKETS,
)
RUNNING = Gauge("stageline_deployments_running", "Deployments that this process runs.")
STEPS = Counter(
    "stageline_steps", "Attempts at steps that ended in this process, by phase and outcome.", ["phase", "outcome"]
)


def count_deployment(over: Deployment, started_at: datetime) -> None:
    """Count a deployment that is *over*, with the time since its start."""
    outcome = "timed_out" if over.has_timed_out else over.status.lower()
    DEPLOYMENTS.labels(outcome).observe((datetime.now(UTC) - started_at).total_seconds())


async def count_resumed(log: EventLog, id_: DeploymentId, over: Deployment) -> None:
    """Count a deployment that is *over* and started in another process: the log has the time."""
    started_at = time_of_start(await retry(lambda: log.read(id_, until=UNTIL_START)))
    if started_at is not None:
        count_deployment(over, started_at)


def time_of_start(events: Iterable[RecordedEvent]) -> datetime | None:
    """Return when a deployment started, if one of *events* says so."""
    return next((each.recorded_at for each in events if isinstance(each.event, DeploymentStarted)), None)


def count_steps(outcomes: Iterable[StepCommand]) -> None:
    """Count the ends of attempts, of which many may be equal."""
    ends = [(outcome.step.phase.lower(), label) for outcome in outcomes if (label := outcome_label(outcome))]
    for labels in set(ends):
        STEPS.labels(*labels).inc(ends.count(labels))


def outcome_label(outcome: StepCommand) -> str | None:
    """Return the label of an attempt's outcome; None for its start."""
    match outcome:
        case SucceedStep():
            return "succeeded"
        case KeepStep():
            return "unchanged"
        case FailStep():
            return FAILED
        case AbortStep():
            return "cancelled"
        case StartStep():
            return None
        case _:
            assert_never(outcome)
