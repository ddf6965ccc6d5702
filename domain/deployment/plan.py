"""The plan of a deployment: the pipeline as it stood when the deployment was requested."""

from collections.abc import Collection

from msgspec import Struct

from domain import name as names
from domain.deployment import capability
from domain.deployment.effect import Effect
from domain.deployment.selection import WHOLE, Selection
from domain.errors import InvalidArgument, InvalidReference, NothingToDeploy
from domain.pipeline import need as needs
from domain.pipeline.environment import Target
from domain.pipeline.gate import Approval, GateKind, StageCheck
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import Service
from domain.pipeline.stage import OnFailure
from domain.pipeline.state import Pipeline
from domain.project import Project
from domain.reference import (
    HostReference,
    PortReference,
    Reference,
    SecretReference,
    ServiceReference,
    UrlReference,
    VariableReference,
)
from domain.spec import UNSTORABLE, ServiceSpec, ServiceType, Variable, refers
from domain.variable import merged

MAX_REVISION = 200
"""Maximum length of a revision, in characters."""


class Output(Struct, frozen=True, kw_only=True, gc=False):
    """A value that a JOB wrote for later stages."""

    key: str
    value: str


class Endpoint(Struct, frozen=True, kw_only=True, gc=False):
    """The ports on which a deployed service listens, and the outputs of a JOB."""

    ports: tuple[int, ...] = ()
    outputs: tuple[Output, ...] = ()


class PlannedService(Struct, frozen=True, kw_only=True, gc=False):
    """A service with its specification.

    With *is_done* an earlier deployment, which this one retries or undoes, left it as it is, and *endpoint* is what it
    offers. *source* is the number of the deployment whose specification it has, if this one undoes another. *volumes*
    are the names of those that go with its instance, if it is deleted.
    """

    id: ServiceId
    name: str
    type: ServiceType
    spec: ServiceSpec
    is_skipped: bool = False
    is_done: bool = False
    endpoint: Endpoint | None = None
    source: int | None = None
    volumes: tuple[str, ...] = ()

    @property
    def is_due(self) -> bool:
        return not (self.is_skipped or self.is_done)


class PlannedStage(Struct, frozen=True, kw_only=True, gc=False):
    """A stage with its services in order and its policy; at most *concurrency* of them run at once."""

    id: StageId
    name: str
    concurrency: int
    services: tuple[PlannedService, ...] = ()
    on_failure: OnFailure = OnFailure.STOP
    always: bool = False
    approval: Approval | None = None
    wait: float | None = None
    check: StageCheck | None = None

    @property
    def gates(self) -> tuple[GateKind, ...]:
        """The gates before the stage, in order."""
        wanted = {GateKind.APPROVAL: self.approval, GateKind.TIME: self.wait, GateKind.CHECK: self.check}
        return tuple([kind for kind, policy in wanted.items() if policy is not None])

    @property
    def is_skipped(self) -> bool:
        """Whether the stage has nothing to do."""
        return not any(service.is_due for service in self.services)


class Plan(Struct, frozen=True, kw_only=True, gc=False):
    """The pinned stages; with *build_barrier* all builds of a stage end before a service of it is deployed.

    *source* is the number of the deployment that is retried or rolled back to, None for a plan of its own. A plan that
    *undoes* a failed deployment, by its number, brings back what it renewed. *on_failure* is the reaction to a timeout.
    *revision*
    is that of the sources, if it is known. With *renew* no service is left out because it is unchanged. *variables*
    are those of the environment over those of its project; *environment* and *project* are their names. A plan of a
    time without references has no names, and its texts are used as they are. *timeout* is the maximum duration of the
    deployment, in seconds. A *partial* plan has the chosen services, and as skipped ones those to which they refer.
    The stages of a plan that ends services are in reverse order.
    """

    pipeline_version: int
    target: Target
    stages: tuple[PlannedStage, ...] = ()
    build_barrier: bool = False
    source: int | None = None
    revision: str | None = None
    renew: bool = False
    environment: str = ""
    project: str = ""
    variables: tuple[Variable, ...] = ()
    timeout: float | None = None
    is_partial: bool = False
    effect: Effect = Effect.DEPLOY

    @property
    def services(self) -> tuple[PlannedService, ...]:
        return tuple([service for stage in self.stages for service in stage.services])

    on_failure: OnFailure = OnFailure.STOP
    undoes: int | None = None

    @property
    def is_repeat(self) -> bool:
        """Whether it has specifications of earlier plans."""
        return self.source is not None or self.undoes is not None


def make(
    pipeline: Pipeline,
    version: int,
    project: Project,
    revision: str | None = None,
    *,
    renew: bool = False,
    selection: Selection = WHOLE,
    running: Collection[int] | None = None,
) -> Plan:
    """Return the plan of the *selection* of *pipeline*, which is of *project*, at *version*.

    *running* are the ids of the services that run, as integers; None if that is not known. Raises `NothingToDeploy`,
    `NotRunnable`, `InvalidArgument`, `ServiceNotFound`, `StageNotFound`, and the refusals of `check`.
    """
    if revision is not None:
        check_revision(revision)
    due = selection.of(pipeline)
    if not due:
        raise NothingToDeploy()
    capability.check(due, pipeline.target)
    plan = Plan(
        pipeline_version=version,
        target=pipeline.target,
        stages=make_stages(pipeline, due, whole=selection.is_whole),
        build_barrier=pipeline.policy.build_barrier,
        revision=revision,
        renew=renew,
        environment=pipeline.name,
        project=project.name or "",
        variables=merged(project.variables, pipeline.variables),
        timeout=pipeline.policy.deployment_timeout,
        is_partial=not selection.is_whole,
        on_failure=pipeline.policy.on_failure,
    )
    check(plan)
    if plan.is_partial and running is not None:
        _check_running(plan, running)
    return plan


def make_stages(pipeline: Pipeline, due: Collection[Service], *, whole: bool) -> tuple[PlannedStage, ...]:
    """Return the stages with the services that are *due*, and as skipped ones the others, or those that these need."""
    own = {service.id.int for service in due}
    keys = {key for service in due for key in needs.named_by(service)}
    return tuple(
        PlannedStage(
            id=stage.id,
            name=stage.name,
            concurrency=min(stage.policy.concurrency or pipeline.concurrency, pipeline.concurrency),
            on_failure=stage.policy.on_failure or pipeline.policy.on_failure,
            always=stage.policy.always,
            approval=stage.policy.approval,
            wait=stage.policy.wait,
            check=stage.policy.check,
            services=tuple(
                PlannedService(id=s.id, name=s.name, type=s.type, spec=s.spec, is_skipped=s.id.int not in own)
                for s in stage.services
                if whole or s.id.int in own or names.key(s.name) in keys
            ),
        )
        for stage in pipeline.stages
    )


def check_revision(revision: str) -> None:
    """Raise `InvalidArgument` if *revision* is not a line of 1 to `MAX_REVISION` characters."""
    if not revision.strip() or UNSTORABLE.search(revision) or names.has_control(revision):
        raise InvalidArgument(argument="revision", why="a line of text without control characters is required")
    if len(revision) > MAX_REVISION:
        why = f"{len(revision):,} characters; at most {MAX_REVISION} are allowed"
        raise InvalidArgument(argument="revision", why=why)


def check(plan: Plan) -> None:
    """Raise `InvalidReference` or `UnmetReference` unless each reference of a due service has a value in time.

    It is known now, or when the deployment has come to the service's stage.
    """
    services = [service for stage in plan.stages for service in stage.services if service.is_due]
    asking = [service for service in services if refers(service.spec)]
    if not plan.environment or not asking:
        return
    known = needs.by_name(service for stage in plan.stages for service in stage.services)
    having = [variable.name for variable in plan.variables]
    needs.check(plan.stages, asking)
    for service in asking:
        references = _references(service)
        found = [(service, field, each) for field, each in references if isinstance(each, VariableReference)]
        needs.check_variables(found, having)
        for field, each in references:
            if isinstance(each, ServiceReference) and not plan.is_partial:  # then the others run
                _check_skipped(service, field, each, known[names.key(each.service)])


def secrets_of(plan: Plan) -> list[tuple[PlannedService, str, SecretReference]]:
    """Return the references to secrets of the due services, each with its field."""
    if not plan.environment:
        return []
    services = [service for stage in plan.stages for service in stage.services if service.is_due]
    return [
        (service, field, reference)
        for service in services
        if refers(service.spec)
        for field, reference in needs.readable(service.spec)
        if isinstance(reference, SecretReference)
    ]


def _references(service: PlannedService) -> list[tuple[str, Reference]]:
    """Return the references of *service* with their fields; raises `InvalidReference` with its name."""
    try:
        return list(needs.references_in(service.spec))
    except InvalidReference as invalid:
        field = f"{invalid.details['field']} of service {service.name!r}"
        raise InvalidReference(**invalid.details | {"field": field}) from None


def _check_skipped(service: PlannedService, field: str, reference: ServiceReference, needed: PlannedService) -> None:
    """Raise `UnmetReference` if *needed* is skipped and the value is known only when it is deployed."""
    if not needed.is_skipped or isinstance(reference, HostReference):
        return
    remedy = f"deploy {needed.name!r}, too"
    match reference:
        case PortReference(index=index) if needed.spec.ports[index]:
            return
        case UrlReference() if needed.spec.ports[0]:
            return
        case PortReference() | UrlReference():
            remedy += ", or give it a fixed port"
    raise needs.unmet(service, field, reference, f"{needed.name!r} is skipped", remedy)


def _check_running(plan: Plan, running: Collection[int]) -> None:
    """Raise `UnmetReference` if a due service refers to one that neither runs nor is due; of a JOB, never ran."""
    known = needs.by_name(plan.services)
    for service in plan.services:
        for field, each in _references(service) if service.is_due and refers(service.spec) else ():
            if not isinstance(each, ServiceReference):
                continue
            needed = known[names.key(each.service)]
            if not needed.is_due and needed.id.int not in running:
                why = f"{needed.name!r} " + ("has not run" if needed.type is ServiceType.JOB else "does not run")
                raise needs.unmet(service, field, each, why, f"deploy {needed.name!r}, too, or all dependencies")
