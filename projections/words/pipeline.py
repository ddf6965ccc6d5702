"""Words and subject of the events of a pipeline."""

from typing import assert_never

from domain.errors import ServiceNotFound
from domain.pipeline.environment import (
    ConcurrencyChanged,
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentEvent,
    EnvironmentKeyRotated,
    EnvironmentPolicy,
    EnvironmentPolicyChanged,
    EnvironmentRenamed,
    EnvironmentSecretDeleted,
    EnvironmentSecretSet,
    EnvironmentVariableDeleted,
    EnvironmentVariableSet,
    OnRequest,
    TargetChanged,
)
from domain.pipeline.gate import Approval, OnTimeout
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import (
    Service,
    ServiceAdded,
    ServiceConfigured,
    ServiceEvent,
    ServiceMoved,
    ServiceRemoved,
    ServiceRenamed,
    ServiceSkipped,
    ServiceUnskipped,
)
from domain.pipeline.stage import (
    Stage,
    StageCreated,
    StageDeleted,
    StageDescribed,
    StageEvent,
    StageHomeChanged,
    StageMoved,
    StagePolicy,
    StagePolicyChanged,
    StageRenamed,
)
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.role import Role
from domain.spec import Variable
from projections.words.spec import set_words, spec_words
from projections.words.subject import EventSubject, EventWords, NamedService, NamedStage


def pipeline_event_words(before: Pipeline, event: PipelineEvent) -> EventWords:
    """Describe *event* of the pipeline *before* it: "Backend moved from APPLICATION DEFAULT to third stage"."""
    match event:  # frequent events first, because every case before the right one takes time
        case ServiceConfigured() | ServiceMoved() | ServiceSkipped() | ServiceUnskipped():
            return _service_event_words(before, event)
        case ServiceRenamed() | ServiceAdded() | ServiceRemoved():
            return _service_event_words(before, event)
        case StageCreated() | StageRenamed() | StageDescribed() | StageMoved() | StagePolicyChanged():
            return _stage_event_words(before, event)
        case StageHomeChanged() | StageDeleted():
            return _stage_event_words(before, event)
        case _:
            return EventWords(_environment_event_message(before, event))


def _environment_event_message(before: Pipeline, event: EnvironmentEvent) -> str:
    match event:
        case EnvironmentCreated(name=name):
            return f"{name} created"
        case EnvironmentRenamed(name=name):
            return f"{before.name} renamed to {name}"
        case TargetChanged(target=target):
            return f"{before.name}: target changed from {before.target} to {target}"
        case ConcurrencyChanged(concurrency=concurrency):
            return f"{before.name}: {concurrency} at once instead of {before.concurrency}"
        case EnvironmentPolicyChanged(policy=policy):
            return f"{before.name}: {_environment_policy_words(policy)}"
        case EnvironmentVariableSet(name=variable, value=value):
            return f"{before.name}: {set_words(before.variables, Variable(name=variable, value=value))}"
        case EnvironmentVariableDeleted(name=variable):
            return f"{before.name}: variable {variable} deleted"
        case EnvironmentSecretSet(secret=secret):
            is_new = before.secrets.find(secret.name) is None
            return f"{before.name}: secret {secret.name} {'set' if is_new else 'changed'}"
        case EnvironmentSecretDeleted(name=secret):
            return f"{before.name}: secret {secret} deleted"
        case EnvironmentKeyRotated(key=key):
            return f"{before.name}: key of the secrets rotated; key {key} is in use"
        case EnvironmentDeleted():
            return f"{before.name} deleted"
        case _:
            assert_never(event)


def _stage_event_words(before: Pipeline, event: StageEvent) -> EventWords:
    match event:
        case StageCreated(stage=id_, name=name, position=position):
            subject = EventSubject(stage=NamedStage(id=id_, name=name))
            return EventWords(f"{name} created at position {position}", subject)
        case StageRenamed(name=name):
            subject = EventSubject(stage=NamedStage(id=event.stage, name=name))
            return EventWords(f"{before.stage(event.stage).name} renamed to {name}", subject)
        case StageDescribed(description=""):
            text = ": description removed"
        case StageDescribed(description=description):
            text = f" described: {description}"
        case StageMoved(source=source, target=target):
            text = f" moved from position {source} to {target}"
        case StagePolicyChanged(policy=policy):
            text = f": {_policy_words(policy)}"
        case StageHomeChanged(home_of=None):
            text = ": no longer the default for a type of services"
        case StageHomeChanged(home_of=home_of):
            text = f": default for new services of type {home_of}"
        case StageDeleted():
            text = " deleted"
        case _:
            assert_never(event)
    stage = before.stage(event.stage)
    return EventWords(stage.name + text, EventSubject(stage=_named_stage(stage)))


def _environment_policy_words(policy: EnvironmentPolicy) -> str:
    words = [f"on failure {policy.on_failure}"]
    words.append("all builds of a stage before its deploys" if policy.build_barrier else "no build barrier")
    words += [f"on a further request {policy.on_request}"] if policy.on_request is not OnRequest.MERGE else []
    for each in policy.freezes:
        words.append(f"freeze of {each.duration / 3600:g} h at {each.cron} {each.time_zone} ({each.action})")
    if policy.deployment_timeout is not None:
        words.append(f"deployments of at most {policy.deployment_timeout:g} s")
    return ", ".join(words)


def _policy_words(policy: StagePolicy) -> str:
    limit = policy.concurrency
    words = ["as many at once as the environment" if limit is None else f"{limit} at once"]
    if policy.on_failure is not None:
        words.append(f"on failure {policy.on_failure}")
    if policy.always:
        words.append("always runs")
    if policy.approval is not None:
        words.append(_approval_words(policy.approval))
    if policy.wait is not None:
        words.append(f"waits {policy.wait:g} s")
    if policy.check is not None:
        words.append(f"checks {policy.check.url} every {policy.check.interval:g} s for {policy.check.timeout:g} s")
    return ", ".join(words)


def _approval_words(approval: Approval) -> str:
    text = "an approval" if approval.count == 1 else f"{approval.count} approvals"
    if approval.role is not Role.DEPLOYER:
        text += f" by {approval.role.lower()}s"
    if not approval.self_approval:
        text += ", not by the requester of the deployment"
    if approval.timeout is not None:
        end = "approved" if approval.on_timeout is OnTimeout.APPROVE else "rejected"
        text += f", and is {end} after {approval.timeout:g} s without"
    return f"needs {text}"


def _service_event_words(before: Pipeline, event: ServiceEvent) -> EventWords:
    match event:
        case ServiceAdded(service=id_, name=name, type=type_):
            return EventWords(f"{name} added", EventSubject(service=NamedService(id=id_, name=name, type=type_)))
        case ServiceMoved():
            return _service_moved_words(before, event)
        case ServiceRenamed(name=name):
            stage, service = _located(before, event.service)
            named = NamedService(id=service.id, name=name, type=service.type)
            subject = EventSubject(stage=_named_stage(stage), service=named)
            return EventWords(f"{service.name} renamed to {name}", subject)
        case ServiceConfigured(service=id_, spec=spec):
            text = f": specification changed: {spec_words(before.service(id_).spec, spec)}"
        case ServiceSkipped():
            text = " skipped from now on"
        case ServiceUnskipped():
            text = " no longer skipped"
        case ServiceRemoved():
            text = " removed"
        case _:
            assert_never(event)
    stage, service = _located(before, event.service)
    subject = EventSubject(stage=_named_stage(stage), service=_named_service(service))
    return EventWords(service.name + text, subject)


def _service_moved_words(before: Pipeline, event: ServiceMoved) -> EventWords:
    """Describe a move; the subject is the service in its new stage."""
    is_new = event.source is None and before.incoming is not None
    service = before.incoming if is_new and before.incoming else before.service(event.service)
    goal = before.stage(event.target)
    if event.source is None:
        message = f"{service.name} placed in {goal.name}"
    elif event.source == event.target:
        place = "the end" if event.position is None else f"position {event.position}"
        message = f"{service.name} moved to {place} of {goal.name}"
    else:
        place = goal.name if event.position is None else f"position {event.position} of {goal.name}"
        message = f"{service.name} moved from {before.stage(event.source).name} to {place}"
    return EventWords(message, EventSubject(stage=_named_stage(goal), service=_named_service(service)))


def _located(pipeline: Pipeline, id_: ServiceId) -> tuple[Stage, Service]:
    """Return a service with its stage; raise `ServiceNotFound`."""
    wanted = id_.int
    for stage in pipeline.stages:
        for service in stage.services:
            if service.id.int == wanted:
                return stage, service
    raise ServiceNotFound(service=str(id_))


def _named_stage(stage: Stage) -> NamedStage:
    return NamedStage(id=stage.id, name=stage.name)


def _named_service(service: Service) -> NamedService:
    return NamedService(id=service.id, name=service.name, type=service.type)
