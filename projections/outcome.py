"""
How deployments ended, in two small rows for each: insights are computed from these.

Only deployments with the effect DEPLOY have them: the others bring no other version. The rows are parts of the
deployment's own, written once, at its end. A list of them is in the order of the ends.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from domain.deployment.queue import Action, DeploymentId
from domain.deployment.step import Status
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import ServiceType
from projections.engine.views import ListPlace, ViewRow
from projections.step import ServiceView, StepView

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Outcome(Struct, frozen=True, kw_only=True):
    """How a deployment ended. It *is_unchanged* if it succeeded and left every service as it was.

    *source* is the number of the deployment that it retries or rolls back to.
    """

    deployment: DeploymentId
    number: int
    action: Action
    status: Status
    is_unchanged: bool
    revision: str | None
    source: int | None
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime

    @property
    def is_change(self) -> bool:
        """Whether it brought a change, or tried to: neither a rollback, nor cancelled, nor unchanged."""
        is_tried = self.status in (Status.SUCCEEDED, Status.FAILED)
        return is_tried and self.action is not Action.ROLLBACK and not self.is_unchanged

    @property
    def is_delivery(self) -> bool:
        """Whether it brought a change."""
        return self.is_change and self.status is Status.SUCCEEDED


class StepOutcome(Struct, frozen=True, kw_only=True, array_like=True):
    """How a step ended: in *attempts* that started, and in *seconds* from the start of the first one."""

    has_failed: bool
    attempts: int
    seconds: float

    @property
    def is_flaky(self) -> bool:
        """Whether an attempt succeeded after one that had failed."""
        return not self.has_failed and self.attempts > 1


class ServiceOutcome(Struct, frozen=True, kw_only=True, array_like=True):
    """How the steps of a service ended; None for one that did not run, or was cancelled."""

    id: ServiceId
    name: str
    type: ServiceType
    build: StepOutcome | None
    deploy: StepOutcome | None


class ServiceOutcomes(Struct, frozen=True, kw_only=True):
    """The services of a deployment of which a step ended."""

    services: tuple[ServiceOutcome, ...]


def rows(
    environment: EnvironmentId, outcome: Outcome, services: Iterable[ServiceView], position: int
) -> Mapping[UUID, ViewRow]:
    """Return the rows of a deployment that ended with *outcome*, by the event at *position*."""
    sort = f"{sort_of(outcome.ended_at)}{outcome.number:010}"
    places = [ListPlace(ended_in(environment), sort)]
    if outcome.is_delivery and outcome.revision is not None:
        places.append(ListPlace(delivered_in(environment, outcome.revision), sort))
    found = [_row(outcome.deployment, "outcome", position, msgspec.json.encode(outcome), places)]
    steps = tuple(each for each in map(_service, services) if each.build is not None or each.deploy is not None)
    if steps:
        document = msgspec.json.encode(ServiceOutcomes(services=steps))
        places = [ListPlace(steps_in(environment), sort)]
        found.append(_row(outcome.deployment, "steps", position, document, places))
    return {row.key: row for row in found}


def ended_in(environment: EnvironmentId) -> str:
    """Return the list of the outcomes of an environment."""
    return f"ended {environment}"


def delivered_in(environment: EnvironmentId, revision: str) -> str:
    """Return the list of the outcomes of an environment that brought *revision*."""
    return f"delivered {environment} {revision}"


def steps_in(environment: EnvironmentId) -> str:
    """Return the list of the services of the outcomes of an environment."""
    return f"steps {environment}"


def sort_of(at: datetime) -> str:
    """Return the beginning of the sort of a deployment at that time; times never decrease in the log."""
    return f"{(at - EPOCH) // timedelta(microseconds=1):016}"


def is_unchanged(status: Status, services: Iterable[ServiceView]) -> bool:
    """Return whether a deployment that ended with *status* left all *services* as they were."""
    left = Status.UNCHANGED, Status.SKIPPED
    return status is Status.SUCCEEDED and all(each.status in left for each in services)


def _row(deployment: DeploymentId, part: str, position: int, document: bytes, places: Iterable[ListPlace]) -> ViewRow:
    return ViewRow(key=uuid5(deployment, part), place=None, position=position, document=document, places=tuple(places))


def _service(view: ServiceView) -> ServiceOutcome:
    build, deploy = _step(view.build), _step(view.deploy)
    return ServiceOutcome(id=view.id, name=view.name, type=view.type, build=build, deploy=deploy)


def _step(step: StepView) -> StepOutcome | None:
    start = step.first_start
    if start is None or step.finished_at is None or step.status not in (Status.SUCCEEDED, Status.FAILED):
        return None
    attempts = sum(each.started_at is not None for each in step.retried) + (step.started_at is not None)
    seconds = (step.finished_at - start).total_seconds()
    return StepOutcome(has_failed=step.status is Status.FAILED, attempts=attempts, seconds=seconds)
