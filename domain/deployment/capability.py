"""The specifications that each target can carry out."""

from collections.abc import Collection

from domain.errors import NotRunnable
from domain.pipeline.environment import Target
from domain.pipeline.service import Service
from domain.spec import ServiceSpec

SOURCES = {
    Target.PROCESS: "a run command",
    Target.DOCKER: "an image, or a context with a Dockerfile",
    Target.KUBERNETES: "an image, or a context with a Dockerfile",
}
"""The source that each target needs, in words."""


def check(services: Collection[Service], target: Target) -> None:
    """Raise `NotRunnable` if *target* can't run one of *services*; it names all with the same need."""
    needs = {service.name: _need(service.spec, target) for service in services}
    if need := next(filter(None, needs.values()), None):
        bare = [name for name, each in needs.items() if each == need]
        raise NotRunnable(services=", ".join(bare), target=target.value, needs=need)


def _need(spec: ServiceSpec, target: Target) -> str | None:
    """Return what *target* needs and *spec* lacks, in words; None if it can run it."""
    has_source = spec.run is not None if target is Target.PROCESS else (spec.image or spec.context) is not None
    if not has_source:
        return SOURCES[target]
    if target is Target.DOCKER and spec.container.replicas > 1:
        return "container.replicas 1, since an engine runs one instance of a service"
    if target is Target.KUBERNETES and spec.container.binds:
        return "container.volumes in place of container.binds, since a pod may run on any machine"
    return None
