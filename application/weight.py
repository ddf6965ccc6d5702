"""The size of states in the cache."""

from typing import Any

from cache.lru import weight
from domain.deployment.state import Deployment


def state_weight(state: Any) -> int:
    """Return the size of the state of a stream, in bytes.

    The stages of a deployment repeat its plan, which is most of it. So they are left out, but for what may be large.
    """
    if not isinstance(state, Deployment):
        return weight(state)
    runs = [run for stage in state.stages for run in stage.services]
    values = [(run.build.values, run.deploy.values, run.endpoint, run.last) for run in runs]
    gates = [stage.gate for stage in state.stages]
    return weight((state.plan, state.inherited, state.places, state.secrets, state.failure, state.wait, values, gates))
