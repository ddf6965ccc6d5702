"""`stageline explain`: where the time of a deployment went."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct, convert

from cli import run
from cli.client import Client, document
from cli.colour import painted
from cli.errors import Failed
from cli.output import Output, duration
from cli.ref import RefJson, ServiceRefJson
from cli.run import SUMMARY, DeploymentSummaryJson, Number
from cli.scope import Scope
from cli.text import columns, plain

SHOWN = 20
"""Maximum number of attempts of the critical path that are printed; `--json` has all."""

EXPLAIN = document(
    """
query Explain($id: ID!) {
  deployment(id: $id) {
    ...SummaryFields
    explanation {
      waitSeconds usualSeconds compared
      stages { stage { id: stageId name } position seconds usualSeconds }
      steps {
        stage { id: stageId name } service { id: serviceId name type } phase status
        waitSeconds seconds usualSeconds isSlow
        attempts { attempt status startedAt seconds backoffSeconds failureReason isCritical }
      }
      criticalPath { service { id: serviceId name type } phase attempt waitSeconds seconds }
    }
  }
}
""",
    SUMMARY,
)


class AttemptJson(Struct, rename="camel"):
    attempt: int
    status: str
    started_at: datetime
    seconds: float | None
    backoff_seconds: float | None
    failure_reason: str | None
    is_critical: bool


class StepExplanationJson(Struct, rename="camel"):
    stage: RefJson
    service: ServiceRefJson
    phase: str
    status: str
    wait_seconds: float
    seconds: float | None
    usual_seconds: float | None
    is_slow: bool
    attempts: list[AttemptJson]

    @property
    def is_critical(self) -> bool:
        return any(each.is_critical for each in self.attempts)


class StageExplanationJson(Struct, rename="camel"):
    stage: RefJson
    position: int
    seconds: float | None
    usual_seconds: float | None


class CriticalAttemptJson(Struct, rename="camel"):
    service: ServiceRefJson
    phase: str
    attempt: int
    wait_seconds: float
    seconds: float | None

    def words(self) -> Iterator[str]:
        """Yield the wait before it, if there was one, and itself."""
        if round(self.wait_seconds, 1) > 0:
            yield f"wait {duration(self.wait_seconds)}"
        yield f"{self.service.name} {self.phase.lower()} {_time(self.seconds)}"


class ExplanationJson(Struct, rename="camel"):
    wait_seconds: float | None
    usual_seconds: float | None
    compared: int
    stages: list[StageExplanationJson]
    steps: list[StepExplanationJson]
    critical_path: list[CriticalAttemptJson]


class ExplainedDeploymentJson(DeploymentSummaryJson, rename="camel", kw_only=True):
    """A deployment without its stages, and where its time went."""

    explanation: ExplanationJson

    def lines(self) -> Iterator[str]:
        found = self.explanation
        took = f", took {self.took}" if self.took else ""
        yield plain(f"Deployment {self.number} of {self.environment.name}: {self.status.lower()}{took}")
        if found.usual_seconds is not None:
            count = (
                "the last one that succeeded" if found.compared == 1 else f"the last {found.compared} that succeeded"
            )
            yield f"  usually {duration(found.usual_seconds)}: the median of {count}"
        if found.wait_seconds is not None:
            yield f"  waited {duration(found.wait_seconds)} for its start"
        if not found.stages:
            yield "  no stage has started"
        rows = list(self._rows())
        for (_, colour, notes), line in zip(rows, columns([cells for cells, _, _ in rows]), strict=True):
            yield painted(line, colour)
            yield from (painted(note, "yellow") for note in notes)
        if found.critical_path:
            path = [words for each in found.critical_path[:SHOWN] for words in each.words()]
            path += [f"and {more:,} more"] if (more := len(found.critical_path) - SHOWN) > 0 else []
            yield plain(f"Critical path (*): {' → '.join(path)}")

    def _rows(self) -> Iterator[tuple[tuple[str, ...], str | None, list[str]]]:
        """Yield each stage and step as cells, with a colour and with lines below."""
        for stage in self.explanation.stages:
            name = f'{stage.position} "{stage.stage.name}"'
            yield (name, "", _time(stage.seconds), _usual(stage.usual_seconds), ""), None, []
            for step in self.explanation.steps:
                if step.stage.id == stage.stage.id:
                    mark = "*" if step.is_critical else " "
                    phase = f"{mark} {step.phase.lower()}"
                    end = "slow" if step.is_slow else "" if step.status == "SUCCEEDED" else step.status.lower()
                    cells = (f"  {step.service.name}", phase, _time(step.seconds), _usual(step.usual_seconds), end)
                    yield cells, "red" if step.is_slow else None, list(_notes(step))


def _notes(step: StepExplanationJson) -> Iterator[str]:
    """Yield the wait of a step before its start, and its attempts if one failed."""
    if round(step.wait_seconds, 1) > 0:
        yield f"      waited {duration(step.wait_seconds)} for its start"
    if len(step.attempts) == 1 and step.attempts[0].failure_reason is None:
        return
    for each in step.attempts:
        wait = f" after a wait of {duration(each.backoff_seconds)}" if each.backoff_seconds is not None else ""
        why = f": {each.failure_reason}" if each.failure_reason else ""
        yield f"      attempt {each.attempt}{wait}: {each.status.lower()} {_time(each.seconds)}{why}"


def _time(seconds: float | None) -> str:
    return "…" if seconds is None else duration(seconds)


def _usual(seconds: float | None) -> str:
    return "" if seconds is None else f"usually {duration(seconds)}"


def explain(scope: Scope, output: Output, number: Number = None) -> None:
    """Show where the time of a deployment went: stages, steps, attempts, waits, and the critical path.

    Durations are compared with the median of the last 10 successful deployments before. A step is slow if it took 1.5
    times as long, and 1 s longer.
    """
    with Client.known() as client:
        id_ = run.find(client, scope.find(client).id, number)
        found = client.execute(EXPLAIN, {"id": id_})["deployment"]
    if found is None:
        raise Failed(f"There is no deployment {id_!r}.", code="DEPLOYMENT_NOT_FOUND")
    shown = convert(found, ExplainedDeploymentJson)
    output.answer(shown, "\n".join(shown.lines()))
