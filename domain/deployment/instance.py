"""The instance of a service: what runs of it, as far as deployments know; of a JOB its last run that succeeded."""

from hashlib import sha256

import msgspec
from msgspec import Struct

from domain.deployment.plan import Output
from domain.deployment.queue import DeploymentId
from domain.pipeline.ref import ServiceId
from domain.spec import ServiceSpec


class Instance(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The instance that *deployment*, with *number*, brought; it listens on *ports*, and a JOB wrote *outputs*.

    *digest* is that of its specification with the values of references and variables; without a *revision* it is
    missing, since no deployment compares it.
    """

    service: ServiceId
    deployment: DeploymentId
    number: int
    ports: tuple[int, ...] = ()
    revision: str | None = None
    digest: str = ""
    outputs: tuple[Output, ...] = ()


def digest(spec: ServiceSpec) -> str:
    """Return a digest of *spec*; equal specifications have the same one."""
    return sha256(msgspec.json.encode(spec)).hexdigest()[:32]
