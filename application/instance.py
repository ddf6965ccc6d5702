"""The instances of an environment, as far as its deployments know."""

from application.handler import Transaction
from domain import deployment as deployments
from domain.deployment import converge
from domain.deployment.instance import Instance
from domain.deployment.queue import Queue


async def present_instances(transaction: Transaction, queue: Queue) -> tuple[Instance, ...]:
    """Return the instances after the last deployment of *queue* that has run."""
    if queue.last is None:
        return ()
    return converge.instances((await transaction.load(deployments.decider, queue.last)).state, queue.last)
