"""The instances of an environment and the latest runs of its services, as far as its deployments know."""

from collections.abc import Iterable

from application.handler import Transaction
from domain import deployment as deployments
from domain.deployment import action as actions
from domain.deployment import converge
from domain.deployment.instance import Instance, LastRun
from domain.deployment.queue import Queue
from domain.spec import ServiceType


async def present_instances(transaction: Transaction, queue: Queue) -> tuple[Instance, ...]:
    """Return the instances after the last deployment of *queue* that has run."""
    if queue.last is None:
        return ()
    return converge.instances((await transaction.load(deployments.decider, queue.last)).state, queue.last)


async def latest_runs(transaction: Transaction, instances: Iterable[Instance]) -> tuple[LastRun, ...]:
    """Return how the services of *instances* ran last, except for jobs, which do not stay up."""
    found = []
    for each in instances:
        source = (await transaction.load(deployments.decider, each.deployment)).state
        run = source.run_of(each.service)
        if run is not None and run.service.type is not ServiceType.JOB:
            found.append(actions.last_run(source, each))
    return tuple([each for each in found if each is not None])
