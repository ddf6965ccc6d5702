"""
The names, labels and paths of what the target creates in a cluster.

Labels say whose a thing is. A service's Deployment, StatefulSet and Service have its host name. What belongs to one
attempt (a Job, a Secret, a verdict) has a name that follows from the attempt, so that it is created once.
"""

from hashlib import sha256
from uuid import UUID

from domain import name as names
from runner.targets.contract import StepRequest

MANAGED = "app.kubernetes.io/managed-by"
NAME = "app.kubernetes.io/name"

OWNER = "stageline/owner"
"""Label with the id of the data folder whose server or worker created the thing."""

ENVIRONMENT = "stageline/environment"
SERVICE = "stageline/service"
NUMBER = "stageline/deployment-number"

ATTEMPT = "stageline/attempt"
"""Label with the digest of the attempt's identity."""

RECORD = "stageline/record"
"""Annotation of a workload with what it was made of, and what it replaces, as JSON without secrets."""

SETTLED = "stageline/settled"
"""Annotation of a workload with the digest of the attempt that was found healthy."""

VERDICT = "stageline/verdict"
"""Label of a verdict."""

VOLUME = "stageline/volume"
"""Label of a claim for a volume of an environment."""


def of(request: StepRequest, owner: UUID) -> dict[str, str]:
    """Return the labels of each thing of a service."""
    return {
        MANAGED: "stageline",
        NAME: names.host(request.name),
        OWNER: str(owner),
        ENVIRONMENT: str(request.environment),
        SERVICE: str(request.service),
    }


def of_attempt(request: StepRequest, owner: UUID) -> dict[str, str]:
    return of(request, owner) | {NUMBER: str(request.number), ATTEMPT: digest(request)}


def selector(**labels: object) -> str:
    """Return the selector of things with these *labels*, which are written without their prefix."""
    return ",".join(f"stageline/{label}={value}" for label, value in labels.items())


def digest(request: StepRequest) -> str:
    """Return the digest of the attempt's identity."""
    identity = f"{request.environment} {request.service} {request.deployment} {request.phase} {request.attempt}"
    return sha256(identity.encode()).hexdigest()[:12]


def attempt(request: StepRequest) -> str:
    """Return the name of what belongs to the attempt: readable, and unique by the end."""
    return f"{names.host(request.name)[:40].rstrip('-')}-{request.number}-{digest(request)}"


def login(request: StepRequest) -> str:
    """Return the name of the Secret with the attempt's credentials for the registry of its image."""
    return f"{attempt(request)}-registry"


def container(attempt: str) -> str:
    """Return the name of the container of an *attempt*, a digest.

    Each attempt has its own. A server-side apply that removes a probe or a reference from a container of the same name
    would leave an empty one, which the cluster refuses.
    """
    return f"service-{attempt}"


def namespace(environment: UUID) -> str:
    """Return the namespace of an environment that has one of its own."""
    return f"stageline-{environment}"


def claim(volume: str) -> str:
    """Return the name of the claim for the volume of that name."""
    return names.host(volume)
