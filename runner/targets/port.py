"""The ports and variables of a container, the same on each target of containers."""

from collections.abc import Sequence

from domain.spec import ServiceType
from runner.targets.contract import StepRequest

FIRST_PORT = 8080
"""The first port that a service gets in its container where its specification asks for a free one."""


def ports(request: StepRequest) -> tuple[int, ...]:
    """Return the ports on which the service listens in its container: free ones are the next from `FIRST_PORT`."""
    fixed = set(request.spec.ports)
    free = (port for port in range(FIRST_PORT, 65_536) if port not in fixed)
    return tuple(port or next(free) for port in request.spec.ports)


def variables(request: StepRequest, listening: Sequence[int], output: str) -> dict[str, str]:
    """Return the environment variables that are added to the image's own; those of the specification override ours.

    *output* is the path of the file to which a JOB writes its outputs.
    """
    own = {"PORT": str(listening[0])} if listening else {}
    own |= {f"PORT_{index}": str(port) for index, port in enumerate(listening)}
    own |= {
        "STAGELINE_ENVIRONMENT": str(request.environment),
        "STAGELINE_DEPLOYMENT": str(request.deployment),
        "STAGELINE_DEPLOYMENT_NUMBER": str(request.number),
        "STAGELINE_SERVICE": request.name,
        "STAGELINE_SERVICE_ID": str(request.service),
        "STAGELINE_ATTEMPT": str(request.attempt),
    }
    own |= {variable.name: variable.value for variable in request.spec.env}
    return own | ({"STAGELINE_OUTPUT": output} if request.type is ServiceType.JOB else {})
