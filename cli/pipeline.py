"""An environment's pipeline: its JSON shape, its listing, and its changes."""

from collections.abc import Callable, Iterator

import typer
from msgspec import UNSET, Struct, UnsetType, convert
from msgspec.structs import replace

from cli import change as changes
from cli import complete, spec
from cli.change import VERSIONED, AnswerJson, VersionedChangeOptions
from cli.client import Client, Data, Document, document
from cli.errors import Failed, MutationRefused
from cli.policy import ENVIRONMENT_POLICY, EnvironmentPolicyJson, StagePolicyJson
from cli.ref import RefJson, ServiceRefJson
from cli.scope import Scope, named_environment
from cli.spec import EnvironmentVariableJson, FieldChangeJson, SpecJson
from cli.text import key, plain

ATTEMPTS = 5
"""Maximum number of attempts at an edit while other changes come in between."""


class EnvironmentJson(Struct, rename="camel"):
    id: str
    name: str
    project: RefJson
    target: str
    concurrency: int
    policy: EnvironmentPolicyJson


class PipelineEnvironmentJson(EnvironmentJson, rename="camel"):
    """The environment of a pipeline, with its own variables."""

    variables: list[EnvironmentVariableJson]


class ServiceJson(Struct, rename="camel"):
    id: str
    name: str
    type: str
    is_skipped: bool
    spec: SpecJson


class StageJson(Struct, rename="camel"):
    id: str
    position: int
    name: str
    description: str
    default_for_type: str | None
    policy: StagePolicyJson
    services: list[ServiceJson]


class SpecChangeJson(Struct, rename="camel"):
    """The fields of a service's specification that a dry run would change."""

    service: ServiceRefJson
    fields: list[FieldChangeJson]


class VariableChangeJson(Struct):
    """A variable that a dry run would set or delete."""

    name: str
    before: str | None
    after: str | None


class PipelineJson(AnswerJson, rename="camel"):
    """A pipeline; `spec_changes` and `variable_changes` are those of a dry run."""

    environment: PipelineEnvironmentJson
    version: int
    cursor: str
    stages: list[StageJson]
    spec_changes: list[SpecChangeJson] | UnsetType = UNSET
    variable_changes: list[VariableChangeJson] | UnsetType = UNSET

    def stage(self, ref: str) -> StageJson:
        """Return the stage with that id or name. Raise `Failed` if there is none."""
        for stage in self.stages:
            if ref == stage.id or key(ref) == key(stage.name):
                return stage
        raise Failed(f"The pipeline has no stage {ref!r}.", code="STAGE_NOT_FOUND")

    def placed(self, ref: str) -> tuple[StageJson, ServiceJson]:
        """Return the service with that id or name, and its stage. Raise `Failed` if there is none."""
        for stage in self.stages:
            for service in stage.services:
                if ref == service.id or key(ref) == key(service.name):
                    return stage, service
        raise Failed(f"The environment has no service {ref!r}.", code="SERVICE_NOT_FOUND")

    def listing(self) -> str:
        """Return the pipeline as `stageline environment stage list` prints it, and what a dry run would change."""
        changes = () if self.spec_changes is UNSET else self.spec_changes
        fields = [
            plain(f"~ {change.service.name}: {line}")
            for change in changes
            for field in change.fields
            for line in field.lines()
        ]
        variables = [
            plain(f"~ variable {each.name}: {_shown(each.before)} → {_shown(each.after)}")
            for each in (() if self.variable_changes is UNSET else self.variable_changes)
        ]
        return "\n".join([*(line for stage in self.stages for line in _lines(stage)), *fields, *variables])

    def after(self, before: "PipelineJson") -> "PipelineJson":
        """Return this pipeline with what changes in the specifications and variables from *before* to it."""
        known = {service.id: service.spec for stage in before.stages for service in stage.services}
        old, new = ({each.name: each.value for each in one.environment.variables} for one in (before, self))
        return replace(
            self,
            spec_changes=[
                SpecChangeJson(ServiceRefJson(service.id, service.name, service.type), fields)
                for stage in self.stages
                for service in stage.services
                if (fields := spec.changes(known.get(service.id, SpecJson()), service.spec))
            ],
            variable_changes=[
                VariableChangeJson(name, old.get(name), new.get(name))
                for name in sorted(old | new)
                if old.get(name) != new.get(name)
            ],
        )


def _shown(value: str | None) -> str:
    return "–" if value is None else value


def _lines(stage: StageJson) -> Iterator[str]:
    yield plain(f'# deployment stage {stage.position}: "{stage.name}"')
    if stage.description:
        yield plain(stage.description)
    if stage.policy.words:
        yield f"Policy: {stage.policy.words}"
    if stage.services:
        yield "Type | Name"
    else:
        yield "<no service>"
    for service in stage.services:
        yield plain(f"{service.type} | {service.name}{' (skipped)' if service.is_skipped else ''}")


SPEC = """
fragment SpecFields on ServiceSpec {
  image buildContext dockerfile workingDirectory buildCommands runCommand env { name value } ports
  healthCheck {
    http { path portIndex } tcp { portIndex } command also { http { path portIndex } tcp { portIndex } command }
    intervalSeconds timeoutSeconds startPeriodSeconds watchIntervalSeconds failureThreshold
  }
  buildTimeoutSeconds deployTimeoutSeconds stopGraceSeconds stopSignal stopFirst
  restart restartBackoff { initialSeconds factor maxSeconds jitter } restartLimit restartWindowSeconds
  retries backoff { initialSeconds factor maxSeconds jitter } allowFailure once
  container {
    entrypoint command workingDirectory user pull publish { portIndex hostPort address }
    volumes { name path readOnly } binds { source path readOnly } labels { name value }
    memoryMib memoryRequestMib cpus cpusRequest sharedMemoryMib replicas
    buildArgs { name value } buildTarget platform
  }
}
"""

PIPELINE = """
fragment PipelineFields on Pipeline {
  environment {
    id name target concurrency policy { ...EnvironmentPolicyFields } project { id name } variables { name value }
  }
  version
  cursor
  stages {
    id position name description defaultForType
    policy { ...StagePolicyFields }
    services { id name type isSkipped spec { ...SpecFields } }
  }
}
"""

SNAPSHOT = """
fragment SnapshotFields on PipelineSnapshot {
  environment {
    id: environmentId name target concurrency policy { ...EnvironmentPolicyFields } project { id name }
    variables { name value }
  }
  version
  cursor
  stages {
    id: stageId position name description defaultForType
    policy { ...StagePolicyFields }
    services { id: serviceId name type isSkipped spec { ...SpecFields } }
  }
}
"""

POLICY = """
fragment StagePolicyFields on StagePolicy {
  concurrency onFailure always approval { count timeoutSeconds onTimeout selfApproval role }
  waitSeconds check { url intervalSeconds timeoutSeconds }
}
"""

SUBJECT = "subject: pipeline { ...PipelineFields } snapshot { ...SnapshotFields }"
"""Selection of the pipeline in the payload of a mutation: a dry run answers a snapshot."""

FRAGMENTS = PIPELINE + SNAPSHOT + SPEC + ENVIRONMENT_POLICY + POLICY
"""The fragments of `SUBJECT`."""

GET = document(
    """
query Pipeline($environment: ID!) {
  pipeline(environment: $environment) { ...PipelineFields }
}
""",
    PIPELINE,
    SPEC,
    ENVIRONMENT_POLICY,
    POLICY,
)

GET_SNAPSHOT = document(
    """
query PipelineSnapshot($environment: ID!, $at: PipelineMoment!) {
  pipelineSnapshot(environment: $environment, at: $at) { ...SnapshotFields }
}
""",
    SNAPSHOT,
    SPEC,
    ENVIRONMENT_POLICY,
    POLICY,
)


def get(client: Client, environment: str, *, version: int | None = None, as_of: str | None = None) -> PipelineJson:
    """Return the pipeline of the environment with that id, now or at a past moment."""
    moment = {"version": version} if version is not None else {"asOf": as_of} if as_of is not None else None
    if moment is None:
        found = client.execute(GET, {"environment": environment})["pipeline"]
    else:
        found = client.execute(GET_SNAPSHOT, {"environment": environment, "at": moment})["pipelineSnapshot"]
    if found is None and version is not None:
        raise Failed(f"The pipeline has no version {version}.", code="VERSION_NOT_FOUND")
    if found is None and as_of is not None:
        raise Failed(f"The environment did not exist at {as_of}.", code="VERSION_NOT_FOUND")
    if found is None:
        raise Failed(f"There is no environment {environment!r}.", code="ENVIRONMENT_NOT_FOUND")
    return read(found)


def stage_names(client: Client, context: typer.Context) -> Iterator[str]:
    """Yield the names of the stages, for completion."""
    return (stage.name for stage in get(client, named_environment(client, context).id).stages)


def service_names(client: Client, context: typer.Context) -> Iterator[str]:
    """Yield the names of the services, for completion."""
    stages = get(client, named_environment(client, context).id).stages
    return (service.name for stage in stages for service in stage.services)


complete_stage = complete.names(stage_names)
complete_service = complete.names(service_names)


def stage_option(*names: str, help: str) -> object:
    """Return an option that names a stage, or several."""
    return typer.Option(*names, metavar="STAGE", autocompletion=complete_stage, help=help, show_default=False)


def service_option(*names: str, help: str) -> object:
    """Return an option that names a service, or several."""
    return typer.Option(*names, metavar="SERVICE", autocompletion=complete_service, help=help, show_default=False)


def read(data: Data) -> PipelineJson:
    return convert(data, PipelineJson)


def mutation(field: str, **arguments: str) -> Document:
    """Return the document of a mutation of an environment's pipeline, for `change`."""
    return changes.mutation(field, "PipelinePayload", SUBJECT, FRAGMENTS, environment="ID!", **VERSIONED, **arguments)


def change(document: Document, scope: Scope, how: VersionedChangeOptions, **arguments: object) -> PipelineJson:
    """Send the mutation *document*, and return the changed pipeline. Raise `MutationRefused`."""
    with Client.known() as client:
        environment = scope.find(client)
        before = get(client, environment.id) if how.dry_run else None
        variables = {"environment": environment.id, **arguments, **how.variables}
        changed = read(client.change(document, variables))
        return changed.after(before) if before else changed


def edit(
    document: Document,
    scope: Scope,
    how: VersionedChangeOptions,
    arguments: Callable[[PipelineJson], dict[str, object]],
) -> PipelineJson:
    """Return the pipeline after *document* changed it, with what *arguments* makes of the present pipeline.

    The arguments may replace a whole specification or policy, so the change expects the version that was read. If
    another change came in between, read again and retry.
    """
    with Client.known() as client:
        environment = scope.find(client).id
        for attempt in range(1, ATTEMPTS + 1):
            before = get(client, environment)
            variables = {"environment": environment, **how.variables, **arguments(before)}
            if how.expected_version is None:
                variables["expectedVersion"] = before.version
            try:
                changed = read(client.change(document, variables))
                return changed.after(before) if how.dry_run else changed
            except MutationRefused as refusal:
                if refusal.code != "VERSION_MISMATCH" or how.expected_version is not None or attempt == ATTEMPTS:
                    raise
    raise AssertionError("unreachable")
