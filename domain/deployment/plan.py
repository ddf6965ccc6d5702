"""The plan of a deployment: the pipeline as it stood when the deployment was requested."""

from msgspec import Struct

from domain import name as names
from domain.errors import InvalidArgument, NothingToDeploy, NotRunnable
from domain.pipeline.environment import Target
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import Service
from domain.pipeline.stage import OnFailure
from domain.pipeline.state import Pipeline
from domain.spec import UNSTORABLE, ServiceSpec, ServiceType

MAX_REVISION = 200
"""Maximum length of a revision, in characters."""

SOURCES = {
    Target.PROCESS: "a run command",
    Target.DOCKER: "an image, or a context with a Dockerfile",
    Target.KUBERNETES: "an image, or a context with a Dockerfile",
}
"""The source that each target needs, in words."""


class PlannedService(Struct, frozen=True, kw_only=True, gc=False):
    """A service with its specification; with *is_done* an earlier deployment, which this one retries, deployed it."""

    id: ServiceId
    name: str
    type: ServiceType
    spec: ServiceSpec
    is_skipped: bool = False
    is_done: bool = False


class PlannedStage(Struct, frozen=True, kw_only=True, gc=False):
    """A stage with its services in order and its policy; at most *concurrency* of them run at once."""

    id: StageId
    name: str
    concurrency: int
    services: tuple[PlannedService, ...] = ()
    on_failure: OnFailure = OnFailure.STOP
    always: bool = False

    @property
    def is_skipped(self) -> bool:
        """Whether the stage has nothing to do."""
        return all(service.is_skipped or service.is_done for service in self.services)


class Plan(Struct, frozen=True, kw_only=True, gc=False):
    """The pinned stages; with *build_barrier* all builds of a stage end before a service of it is deployed.

    *source* is the number of the deployment that is retried or rolled back to, None for a plan of its own. *revision*
    is that of the sources, if it is known. With *renew* no service is left out because it is unchanged.
    """

    pipeline_version: int
    target: Target
    stages: tuple[PlannedStage, ...] = ()
    build_barrier: bool = False
    source: int | None = None
    revision: str | None = None
    renew: bool = False


def make(pipeline: Pipeline, version: int, revision: str | None = None, *, renew: bool = False) -> Plan:
    """Return the plan of *pipeline* at *version*; raises `NothingToDeploy`, `NotRunnable` or `InvalidArgument`."""
    if revision is not None:
        check_revision(revision)
    due = [service for service in pipeline.services if not service.is_skipped]
    if not due:
        raise NothingToDeploy()
    bare = [service.name for service in due if not _is_runnable(service, pipeline.target)]
    if bare:
        raise NotRunnable(services=", ".join(bare), target=pipeline.target.value, needs=SOURCES[pipeline.target])
    stages = tuple(
        PlannedStage(
            id=stage.id,
            name=stage.name,
            concurrency=min(stage.policy.concurrency or pipeline.concurrency, pipeline.concurrency),
            on_failure=stage.policy.on_failure or pipeline.policy.on_failure,
            always=stage.policy.always,
            services=tuple(
                PlannedService(id=s.id, name=s.name, type=s.type, spec=s.spec, is_skipped=s.is_skipped)
                for s in stage.services
            ),
        )
        for stage in pipeline.stages
    )
    return Plan(
        pipeline_version=version,
        target=pipeline.target,
        stages=stages,
        build_barrier=pipeline.policy.build_barrier,
        revision=revision,
        renew=renew,
    )


def check_revision(revision: str) -> None:
    """Raise `InvalidArgument` if *revision* is not a line of 1 to `MAX_REVISION` characters."""
    if not revision.strip() or UNSTORABLE.search(revision) or names.has_control(revision):
        raise InvalidArgument(argument="revision", why="a line of text without control characters is required")
    if len(revision) > MAX_REVISION:
        why = f"{len(revision):,} characters; at most {MAX_REVISION} are allowed"
        raise InvalidArgument(argument="revision", why=why)


def _is_runnable(service: Service, target: Target) -> bool:
    spec = service.spec
    return spec.run is not None if target is Target.PROCESS else (spec.image or spec.context) is not None
