"""
The needs of services: the references of one service to another, which must stand in an earlier stage.

A text of an old log may have `${{` that is no reference. An edit passes over such a service; the plan refuses it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from domain import name as names
from domain.errors import InvalidReference, UnmetReference
from domain.pipeline.environment import EnvironmentCreated, EnvironmentVariableDeleted
from domain.pipeline.fold import evolve
from domain.pipeline.service import Service, ServiceAdded, ServiceConfigured, ServiceMoved, ServiceRemoved
from domain.pipeline.stage import StageMoved
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.reference import (
    OutputReference,
    PortReference,
    Reference,
    SecretReference,
    ServiceReference,
    UrlReference,
    VariableReference,
    references,
    renamed,
)
from domain.spec import ServiceSpec, ServiceType, referring, refers, rewritten
from domain.validation import checked


class AnyService(Protocol):
    """A service of a pipeline or of a plan."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> ServiceType: ...
    @property
    def spec(self) -> ServiceSpec: ...


class AnyStage(Protocol):
    """A stage of a pipeline or of a plan."""

    @property
    def name(self) -> str: ...
    @property
    def services(self) -> Sequence[AnyService]: ...


MAX_NAMED = 10
"""Maximum number of services that the message of a refusal names beside the first."""

Known = TypeVar("Known", bound=AnyService)


def references_in(spec: ServiceSpec) -> Iterator[tuple[str, Reference]]:
    """Yield each reference with its field; raises `InvalidReference`."""
    for field, text in referring(spec):
        for reference in references(text, field):
            yield field, reference


def readable(spec: ServiceSpec) -> list[tuple[str, Reference]]:
    """Return the references with their fields; none of a text of an old log that can't be read."""
    try:
        return list(references_in(spec))
    except InvalidReference:
        return []


def check_change(pipeline: Pipeline, events: Sequence[PipelineEvent]) -> None:
    """Raise `UnmetReference` if a service lacks something that it needs after *events*."""
    affecting = (ServiceAdded, ServiceConfigured, ServiceMoved, ServiceRemoved, StageMoved)
    if not any(isinstance(event, affecting) for event in events):
        return
    new = [event.spec for event in events if isinstance(event, ServiceAdded | ServiceConfigured)]
    if any(map(refers, new)) or any(refers(each.spec) for stage in pipeline.stages for each in stage.services):
        for event in events:
            pipeline = evolve(pipeline, event)
        check(pipeline.stages)


def check(stages: Sequence[AnyStage], services: Collection[AnyService] | None = None) -> None:
    """Raise `UnmetReference` unless each reference is to a service in an earlier stage that has the property.

    Only those of *services* are checked, if they are given.
    """
    asking = [
        (number, service, references)
        for number, stage in enumerate(stages)
        for service in stage.services
        if refers(service.spec) and (services is None or any(service is each for each in services))
        if (references := readable(service.spec))
    ]
    if asking:
        places = {names.key(each.name): (at, each) for at, stage in enumerate(stages) for each in stage.services}
        for number, service, found in asking:
            for field, reference in found:
                if isinstance(reference, ServiceReference):
                    why = _position_fault(stages, number, service, places.get(names.key(reference.service)), reference)
                    if why is not None:
                        raise unmet(service, field, reference, *why)


def unmet(service: AnyService, field: str, reference: Reference, why: str, remedy: str) -> UnmetReference:
    return UnmetReference(service=service.name, reference=str(reference), field=field, why=why, remedy=remedy)


def _position_fault(
    stages: Sequence[AnyStage],
    number: int,
    service: AnyService,
    found: tuple[int, AnyService] | None,
    reference: ServiceReference,
) -> tuple[str, str] | None:
    """Return why *service*, in the stage with the index *number*, can't have the reference, and the remedy."""
    if found is None:
        why = f"there is no service {reference.service!r}"
        return why, "add it to an earlier stage, or correct or remove the reference"
    at, needed = found
    if needed is service:
        return "it is the service itself", "its own ports are in the variables PORT, PORT_0, PORT_1 …"
    if at >= number:
        where = "the same stage" if at == number else "the later stage"
        return f"{needed.name!r} stands in {where} {stages[at].name!r}", _move(stages, number, service, at, needed)
    return _property_fault(needed, reference)


def _move(stages: Sequence[AnyStage], number: int, service: AnyService, at: int, needed: AnyService) -> str:
    """Return the moves that mend the order and break no other need."""
    stage_of = {names.key(each.name): index for index, stage in enumerate(stages) for each in stage.services}
    earliest = 1 + max((stage_of.get(key, -1) for key in named_by(needed)), default=-1)
    own = names.key(service.name)
    askers = [index for index, stage in enumerate(stages) for each in stage.services if own in named_by(each)]
    latest = min([len(stages), *askers]) - 1
    moves = []
    if earliest < number:
        moves.append(f"move {needed.name!r} to stage {stages[number - 1].name!r}")
    if at < latest:
        moves.append(f"move {service.name!r} to stage {stages[at + 1].name!r}")
    if not moves and earliest <= number:
        moves.append(f"create a stage before {stages[number].name!r}, and move {needed.name!r} to it")
    if own in named_by(needed):
        return "remove one of the references: they need each other"
    return ", or ".join(moves) or f"bring {needed.name!r}, and the services that it needs, before {service.name!r}"


def named_by(service: AnyService) -> set[str]:
    """Return the keys of the names of the services to which *service* refers."""
    if not refers(service.spec):
        return set()
    return {names.key(each.service) for _, each in readable(service.spec) if isinstance(each, ServiceReference)}


def _property_fault(needed: AnyService, reference: ServiceReference) -> tuple[str, str] | None:
    is_job = needed.type is ServiceType.JOB
    match reference:
        case OutputReference():
            if not is_job:
                why = f"{needed.name!r} is a service of type {needed.type}, and only a JOB has outputs"
                return why, "refer to its host, port or url"
            return None
        case _ if is_job:
            return f"{needed.name!r} is a JOB, which does not stay up", "refer to its outputs.KEY"
        case PortReference(index=index):
            return _port_fault(needed, index)
        case UrlReference():
            return _port_fault(needed, 0)
        case _:
            return None


def _port_fault(needed: AnyService, index: int) -> tuple[str, str] | None:
    count = len(needed.spec.ports)
    if index < count:
        return None
    ports = "port" if count == 1 else "ports"
    return f"{needed.name!r} has {count or 'no'} {ports}", "add the port to its specification"


def pairs(pipeline: Pipeline) -> Iterator[tuple[Service, Service]]:
    """Yield each service that needs another one, with that; a pair only once."""
    asking = [service for service in pipeline.services if refers(service.spec)]
    known = by_name(pipeline.services) if asking else {}
    for service in asking:
        yield from ((service, known[key]) for key in sorted(named_by(service)) if key in known)


def by_name(services: Iterable[Known]) -> Mapping[str, Known]:
    return {names.key(service.name): service for service in services}


def following(pipeline: Pipeline, service: Service, name: str) -> list[ServiceConfigured]:
    """Return the events by which references to *service* follow its new *name*; raises `InvalidSpec` if one is long."""
    asking = [asker for asker, needed in pairs(pipeline) if needed.id == service.id]
    specs = [(asker, rewritten(asker.spec, lambda text: renamed(text, service.name, name))) for asker in asking]
    return [ServiceConfigured(service=asker.id, spec=checked(spec, asker.type)) for asker, spec in specs]


def variables_of(pipeline: Pipeline, events: Sequence[PipelineEvent]) -> list[tuple[Service, str, VariableReference]]:
    """Return the references to variables, which the environment itself lacks, of the services that *events* concern.

    These are the services with a new specification, and those that refer to a deleted variable. Each comes with its
    field. The project may have the variables.
    """
    own = {variable.name for variable in pipeline.variables}
    deleted = {event.name for event in events if isinstance(event, EnvironmentVariableDeleted)}
    new = {event.service.int for event in events if isinstance(event, ServiceAdded | ServiceConfigured)}
    if not (new or deleted):
        return []
    return [
        (service, field, reference)
        for service in pipeline.services
        if (deleted or service.id.int in new) and refers(service.spec)
        for field, reference in readable(service.spec)
        if isinstance(reference, VariableReference) and reference.name not in own
        if service.id.int in new or reference.name in deleted
    ]


def needing(pipeline: Pipeline, variables: Collection[str]) -> list[tuple[Service, str, VariableReference]]:
    """Return the references to shared *variables*, by name, which the environment itself lacks, with their fields."""
    missing = set(variables) - {variable.name for variable in pipeline.variables}
    if not missing:
        return []
    return [
        (service, field, reference)
        for service in pipeline.services
        if refers(service.spec)
        for field, reference in readable(service.spec)
        if isinstance(reference, VariableReference) and reference.name in missing
    ]


def check_unneeded(pipelines: Iterable[Pipeline], variables: Collection[str]) -> None:
    """Raise `UnmetReference` if a service of *pipelines* refers to one of a project's *variables*, by name."""
    found = [(pipeline, *each) for pipeline in pipelines for each in needing(pipeline, variables)]
    if not found:
        return
    pipeline, service, field, reference = found[0]
    others = list(dict.fromkeys(f"{each.name!r} of {of.name!r}" for of, each, _, _ in found if each is not service))
    more = len(others) - MAX_NAMED
    also = ", ".join(others[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
    why = f"neither its environment {pipeline.name!r} nor the project would have a variable {reference.name!r}"
    remedy = "set it there first, or correct or remove the reference"
    raise unmet(service, field, reference, why, f"{remedy}; the same for {also}" if also else remedy)


def check_variables(wanted: Iterable[tuple[AnyService, str, VariableReference]], known: Iterable[str]) -> None:
    """Raise `UnmetReference` unless each variable is among the *known* ones, by name."""
    having = set(known)
    for service, field, reference in wanted:
        if reference.name not in having:
            why = f"neither the environment nor its project has a variable {reference.name!r}"
            raise unmet(service, field, reference, why, "set it first, or correct or remove the reference")


def secrets_in(pipeline: Pipeline) -> list[tuple[Service, str]]:
    """Return each service that refers to a secret, with the name of that; a pair only once."""
    asking = [service for service in pipeline.services if refers(service.spec)]
    pairs = [(each, ref.name) for each in asking for _, ref in readable(each.spec) if isinstance(ref, SecretReference)]
    return list(dict.fromkeys(pairs))


def secrets_of(pipeline: Pipeline, events: Sequence[PipelineEvent]) -> list[tuple[Service, str, SecretReference]]:
    """Return the references to secrets, which the environment itself lacks, of services with a new specification.

    Each comes with its field. The project may have the secrets. A new environment, a clone, has no secrets yet: its
    first plan checks the references.
    """
    new = {event.service.int for event in events if isinstance(event, ServiceAdded | ServiceConfigured)}
    if not new or any(isinstance(event, EnvironmentCreated) for event in events):
        return []
    return [
        (service, field, reference)
        for service in pipeline.services
        if service.id.int in new and refers(service.spec)
        for field, reference in readable(service.spec)
        if isinstance(reference, SecretReference) and pipeline.secrets.find(reference.name) is None
    ]


def check_secrets(wanted: Iterable[tuple[AnyService, str, SecretReference]], known: Iterable[str]) -> None:
    """Raise `UnmetReference` unless each secret is among the *known* ones, by name."""
    having = set(known)
    for service, field, reference in wanted:
        if reference.name not in having:
            why = f"neither the environment nor its project has a secret {reference.name!r}"
            raise unmet(service, field, reference, why, f"set it first (stageline secret set {reference.name})")
