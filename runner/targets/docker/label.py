"""
The names and labels of what the target creates on an engine.

Labels say whose a thing is. The names of containers are deterministic, so an attempt is begun once: an engine refuses a
second container of the same name.
"""

from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import name as names
from domain.deployment.step import Phase
from domain.spec import ServiceSpec, ServiceType
from runner.targets.contract import StepRequest

OWNER = "stageline.owner"
"""Label with the id of the data folder whose server or worker created the thing."""

ENVIRONMENT = "stageline.environment"
SERVICE = "stageline.service"
DEPLOYMENT = "stageline.deployment"
NUMBER = "stageline.deployment-number"
PHASE = "stageline.phase"
ATTEMPT = "stageline.attempt"
NAME = "stageline.service-name"
TYPE = "stageline.service-type"
SPEC = "stageline.spec"
"""Label with the specification, without environment variables and secrets, as JSON."""

SECRETS = "stageline.secrets"
"""Label of a container whose specification needs the values of secrets."""

VERDICT = "stageline.verdict"
"""Label with the reason for which an attempt failed; empty if its container was found healthy."""

DIGEST = "stageline.content"
"""Label with the digest of what an image was built from."""

OLD = ".old"
"""End of the name of a container that an attempt stops first."""

Labels = Mapping[str, str]


def of(request: StepRequest, owner: UUID) -> dict[str, str]:
    """Return the labels that each thing of an attempt has."""
    return {
        OWNER: str(owner),
        ENVIRONMENT: str(request.environment),
        SERVICE: str(request.service),
        DEPLOYMENT: str(request.deployment),
        NUMBER: str(request.number),
        PHASE: request.phase.lower(),
        ATTEMPT: str(request.attempt),
    }


def of_container(request: StepRequest, owner: UUID) -> dict[str, str]:
    kept = request.without_secrets()
    labels = {each.name: each.value for each in request.spec.container.labels}
    own = {
        NAME: request.name,
        TYPE: request.type,
        SPEC: msgspec.json.encode(replace(kept.spec, env=())).decode(),
    }
    return labels | of(request, owner) | own | ({SECRETS: "needed"} if kept.needs_secrets else {})


def request(labels: Labels) -> StepRequest:
    """Return the request of a container, without environment variables and secrets."""
    return StepRequest(
        environment=UUID(labels[ENVIRONMENT]),
        deployment=UUID(labels[DEPLOYMENT]),
        number=number(labels),
        service=UUID(labels[SERVICE]),
        name=labels.get(NAME, ""),
        type=ServiceType(labels.get(TYPE, ServiceType.CONTAINER)),
        spec=spec(labels),
        phase=Phase.DEPLOY,
        attempt=int(labels[ATTEMPT]),
        needs_secrets=SECRETS in labels,
    )


def spec(labels: Labels) -> ServiceSpec:
    """Return the specification of a container; the default one if it has none, as one of somebody else's."""
    try:
        return msgspec.json.decode(labels.get(SPEC, "{}"), type=ServiceSpec)
    except msgspec.DecodeError:
        return ServiceSpec()


def number(labels: Labels) -> int:
    return int(labels.get(NUMBER, 0))


def filters(**labels: object) -> dict[str, list[str]]:
    """Return the filter of things with these *labels*, which are written without their prefix."""
    return {"label": [f"stageline.{label}={value}" for label, value in labels.items()]}


def service(request: StepRequest) -> dict[str, list[str]]:
    """Return the filter of what belongs to the service of *request*."""
    return filters(environment=request.environment, service=request.service)


def instances(request: StepRequest) -> dict[str, list[str]]:
    """Return the filter of the service's containers."""
    return filters(environment=request.environment, service=request.service, phase=Phase.DEPLOY.lower())


def attempt(request: StepRequest) -> str:
    """Return the name of the attempt's container: readable, and unique by the end."""
    identity = f"{request.environment} {request.service} {request.deployment} {request.phase} {request.attempt}"
    digest = sha256(identity.encode()).hexdigest()[:12]
    return f"{names.host(request.name)[:40]}.{request.number}.{digest}"


def replaced(request: StepRequest) -> str:
    """Return the name that the old instance gets before the attempt stops it first."""
    return f"{attempt(request)}{OLD}"


def verdict(request: StepRequest) -> str:
    """Return the name of the volume that has the verdict on the attempt."""
    return f"stageline-verdict-{attempt(request)}"


def healthy(container: str) -> str:
    """Return the name of the volume that says of *container*, by its id, that it was found healthy."""
    return f"stageline-healthy-{container}"


def network(environment: UUID) -> str:
    return f"stageline-{environment}"


def volume(environment: UUID, name: str) -> str:
    return f"stageline-{environment}-{name}"


def repository(service: UUID) -> str:
    """Return the name of the images that are built for a service."""
    return f"stageline/{service}"
