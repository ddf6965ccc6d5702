"""
The plans of a retry and of a rollback: the plan that an earlier deployment pinned.

Both keep the specifications and policies of then. Services that were removed from the pipeline since are left out.
"""

from collections.abc import Callable

from msgspec.structs import replace

from domain.deployment.plan import Plan, PlannedService, check
from domain.deployment.state import Deployment
from domain.deployment.step import DEPLOYED
from domain.errors import EnvironmentBusy, NothingToDeploy, NothingToRetry, RetryOutdated
from domain.pipeline.state import Pipeline


def retry(deployment: Deployment, pipeline: Pipeline, newest: int) -> Plan:
    """Return the plan of the services of *deployment* that failed, were cancelled or never began.

    *newest* is the number of the newest deployment. Raises `EnvironmentBusy`, `RetryOutdated`, `NothingToRetry`,
    or `UnmetReference`.
    """

    def rest(service: PlannedService) -> PlannedService:
        run = deployment.run_of(service.id)
        is_done = service.is_done or (run is not None and run.status in DEPLOYED)
        endpoint = deployment.endpoint_of(run) if run is not None and is_done else None
        return replace(service, is_done=is_done, endpoint=endpoint)

    plan = _repeated(deployment, pipeline, rest)
    if newest != deployment.number:
        raise RetryOutdated(number=deployment.number, newest=newest)
    if all(stage.is_skipped for stage in plan.stages):
        raise NothingToRetry(number=deployment.number)
    check(plan)
    return plan


def roll_back(deployment: Deployment, pipeline: Pipeline) -> Plan:
    """Return the plan that deploys what *deployment* pinned.

    It has no revision: nobody says that the directories of the services were brought back to that one. Raises
    `EnvironmentBusy`, `NothingToDeploy` or `UnmetReference`.
    """
    plan = _repeated(deployment, pipeline, lambda service: replace(service, is_done=False, endpoint=None))
    plan = replace(plan, revision=None)
    if all(stage.is_skipped for stage in plan.stages):
        raise NothingToDeploy()
    check(plan)
    return plan


def _repeated(deployment: Deployment, pipeline: Pipeline, again: Callable[[PlannedService], PlannedService]) -> Plan:
    assert deployment.plan is not None, "the deployment was planned"
    if not deployment.status.is_final:
        raise EnvironmentBusy(number=deployment.number)
    known = {service.id.int for service in pipeline.services}
    stages = tuple(
        replace(stage, services=tuple(again(each) for each in stage.services if each.id.int in known))
        for stage in deployment.plan.stages
    )
    return replace(deployment.plan, stages=stages, source=deployment.number)
