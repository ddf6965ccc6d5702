"""The instance of a service: what runs of it, as far as deployments know; of a JOB its last run that succeeded."""

from enum import StrEnum
from hashlib import sha256

import msgspec
from msgspec import Struct

from domain.deployment.plan import Output
from domain.deployment.queue import DeploymentId
from domain.deployment.value import Value
from domain.pipeline.ref import ServiceId
from domain.spec import ServiceSpec, ServiceType, Variable


class DeployedStatus(StrEnum):
    """The status of an instance, as far as deployments know; a LOST one was restarted, and did not become healthy."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    LOST = "LOST"


class Instance(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The instance that *deployment*, with *number*, brought; it listens on *ports*, and a JOB wrote *outputs*.

    *digest* is that of its specification with the values of references and variables; it is missing if no deployment
    compares it, since there is neither a *revision* nor a target that compares images. *built* is the deployment that
    built it, if that is another one. The deployment *stopped_by*, with *stopped_number*, stopped it. *image* is the
    digest of what it runs, if it is known.
    """

    service: ServiceId
    deployment: DeploymentId
    number: int
    ports: tuple[int, ...] = ()
    revision: str | None = None
    digest: str = ""
    outputs: tuple[Output, ...] = ()
    status: DeployedStatus = DeployedStatus.RUNNING
    built: DeploymentId | None = None
    stopped_by: DeploymentId | None = None
    stopped_number: int | None = None
    image: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether it runs, or was a JOB."""
        return self.status is DeployedStatus.RUNNING


class Need(Struct, frozen=True, kw_only=True, gc=False):
    """A service to which another one refers, with the key of its name of then."""

    key: str
    service: ServiceId
    type: ServiceType


class LastRun(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The specification with which *service* ran last, with the references as written.

    *values* are those of all references but those to services, whose addresses may have changed. *variables* are those
    of its environment and project at that time. *needs* are the services to which it refers.
    """

    service: ServiceId
    spec: ServiceSpec
    values: tuple[Value, ...] = ()
    variables: tuple[Variable, ...] = ()
    needs: tuple[Need, ...] = ()


def digest(spec: ServiceSpec) -> str:
    """Return a digest of *spec*; equal specifications have the same one."""
    return sha256(msgspec.json.encode(spec)).hexdigest()[:32]
