"""The instances of an environment and the latest runs of its services, as far as its deployments know."""

from collections.abc import Iterable

import msgspec

from application.handler import States, Transaction
from domain import deployment as deployments
from domain.deployment import action as actions
from domain.deployment import converge
from domain.deployment.instance import Instance, LastRun
from domain.deployment.queue import DeploymentId, Queue
from domain.spec import ServiceType

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Instance, ...]).decode


async def present_instances(transaction: Transaction, queue: Queue) -> tuple[Instance, ...]:
    """Return the instances after the last deployment of *queue* that has run.

    It has ended, so its stream never changes, and the append need not check that.
    """
    if queue.last is None:
        return ()
    known = transaction.states.results.get(queue.last)
    if known is not None:
        return _decode(known)
    ended = await transaction.states.load(deployments.decider, queue.last)
    return keep_instances(transaction.states, queue.last, ended.state)


def keep_instances(states: States, id_: DeploymentId, ended: deployments.Deployment) -> tuple[Instance, ...]:
    """Cache the instances after a deployment that has *ended*, and return them.

    They take a tenth of the state of the deployment. Without them the next deployment of its environment reads all its
    events, which takes a tenth of the worker's CPU time for that deployment (`bench.worker`).
    """
    found = converge.instances(ended, id_)
    encoded = _encode(found)
    states.results.put(id_, encoded, len(encoded))
    return found


async def latest_runs(transaction: Transaction, instances: Iterable[Instance]) -> tuple[LastRun, ...]:
    """Return how the services of *instances* ran last, except for jobs, which do not stay up."""
    found = []
    for each in instances:
        source = (await transaction.load(deployments.decider, each.deployment)).state
        run = source.run_of(each.service)
        if run is not None and run.service.type is not ServiceType.JOB:
            found.append(actions.last_run(source, each))
    return tuple([each for each in found if each is not None])
