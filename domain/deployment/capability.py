"""The specifications that each target can carry out."""

from collections.abc import Collection, Iterator

from domain.errors import NotRunnable
from domain.pipeline.environment import Target
from domain.pipeline.service import Service
from domain.spec import DEFAULT, Restart, ServiceSpec, StopSignal

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
    return next(_needs_of_kubernetes(spec), None) if target is Target.KUBERNETES else None


def _needs_of_kubernetes(spec: ServiceSpec) -> Iterator[str]:
    """Yield what a cluster needs and *spec* lacks, in words."""
    container = spec.container
    if container.binds:
        yield "container.volumes in place of container.binds, since a pod may run on any machine"
    if container.replicas > 1 and any(not volume.read_only for volume in container.volumes):
        yield "container.replicas 1 with container.volumes, since one instance writes to a volume"
    if container.user is not None and not all(part.isdecimal() for part in container.user.split(":")):
        yield "numbers in container.user, since it knows users by number only"
    if spec.health is not None and spec.health.also:
        yield "one health check, since a container has one probe of a kind"
    if spec.restart is not Restart.ALWAYS:
        yield "restart ALWAYS, since it restarts the containers of a service always"
    fields = ("restart_backoff", "restart_limit", "restart_window")
    if any(getattr(spec, field) != getattr(DEFAULT, field) for field in fields):
        yield "no restartBackoff, restartLimit and restartWindowSeconds, since it decides itself when it restarts"
    if spec.stop_signal is not StopSignal.TERM:
        yield "stopSignal TERM, since it sends the stop signal of the image: set STOPSIGNAL there"
