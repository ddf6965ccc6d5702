"""
Fields that all log lines of a task have, and those of the tasks that it starts.

They lead from a request to its deployment and to the steps, also on another machine: the events of the request have a
correlation id, and so has each line.
"""

from collections.abc import Mapping
from contextvars import ContextVar

from application.handler import States
from domain.deployment.queue import DeploymentId
from domain.deployment.state import DeploymentPlanned
from runner.retry import retry

fields: ContextVar[Mapping[str, object]] = ContextVar("fields", default={})  # noqa: B039 - nothing changes the mapping


def bind(**more: object) -> None:
    """Add fields to the log lines of the present task."""
    fields.set({**fields.get(), **more})


async def bind_deployment(states: States, deployment: DeploymentId) -> str | None:
    """Add the id of *deployment*, and the correlation id of its request; return the `traceparent` of the request."""
    bind(deployment=deployment)
    requested = await retry(lambda: states.first(deployment))
    if requested is None:
        return None
    if requested.by.correlation is not None:
        bind(correlation=requested.by.correlation.hex)
    return requested.event.trace if isinstance(requested.event, DeploymentPlanned) else None
