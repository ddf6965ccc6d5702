"""The faces of a policy and a specification: GraphQL types, inputs and pipeline documents have every field."""

import dataclasses

import pytest
from msgspec import Struct
from msgspec.structs import fields, replace
from strawberry.utils.str_converters import to_camel_case

from domain.container import Bind, BuildArgument, Container, Label, Publication, Pull, Volume
from domain.pipeline.environment import EnvironmentPolicy, OnRequest
from domain.pipeline.freeze import Freeze, OnFreeze
from domain.pipeline.gate import Approval, OnTimeout, StageCheck
from domain.pipeline.ref import StageId
from domain.pipeline.stage import OnFailure, Stage, StagePolicy
from domain.role import Role
from domain.spec import (
    NAMES,
    Backoff,
    CommandCheck,
    Health,
    HttpCheck,
    Restart,
    ServiceSpec,
    StopSignal,
    TcpCheck,
    Variable,
)
from gql.document import pipeline as documents
from gql.document import spec as spec_documents
from gql.types import container as containers
from gql.types import environment as environments
from gql.types import freeze as freezes
from gql.types import health as healths
from gql.types import spec as specs
from gql.types import stage as stages
from gql.types import variable as variables
from store import ids

CHECK = StageCheck(url="https://example.org", interval=2.0, timeout=3.0)
APPROVAL = Approval(count=2, timeout=60.0, on_timeout=OnTimeout.APPROVE, self_approval=False, role=Role.ADMIN)
POLICY = StagePolicy(
    concurrency=7, on_failure=OnFailure.CONTINUE, always=True, approval=APPROVAL, wait=5.0, check=CHECK
)
ALSO = (CommandCheck(command="test -e up"), TcpCheck(port=1), HttpCheck(port=1))
BACKOFF = Backoff(initial=2.5, factor=3.0, max=9.0, jitter=0.5)
HEALTH = Health(
    check=HttpCheck(path="/up", port=1), also=ALSO, interval=2.0, timeout=3.0, start_period=4.0, watch=5.0, failures=6
)
CONTAINER = Container(
    entrypoint=("/bin/sh",),
    command=("serve",),
    directory="/srv",
    user="app",
    pull=Pull.NEVER,
    publish=(Publication(port=1, host_port=8080, address="127.0.0.1"),),
    volumes=(Volume(name="data", path="/data", read_only=True),),
    binds=(Bind(source="/etc/app", path="/etc/app", read_only=True),),
    labels=(Label(name="team", value="shop"),),
    memory=64,
    memory_request=32,
    cpus=0.5,
    cpus_request=0.25,
    shared_memory=16,
    replicas=2,
    build_args=(BuildArgument(name="VERSION", value="1"),),
    build_target="release",
    platform="linux/amd64",
)
SPEC = ServiceSpec(
    image="image",
    context="context",
    dockerfile="dockerfile",
    directory="directory",
    build=("build",),
    run="run",
    env=(Variable(name="KEY", value="value"),),
    ports=(1, 2),
    health=HEALTH,
    build_timeout=5.0,
    deploy_timeout=6.0,
    stop_grace=7.0,
    stop_signal=StopSignal.QUIT,
    stop_first=True,
    restart=Restart.ON_FAILURE,
    restart_backoff=Backoff(initial=4.5),
    restart_limit=9,
    restart_window=10.5,
    retries=8,
    backoff=BACKOFF,
    allow_failure=True,
    once=True,
    container=CONTAINER,
)
CHECKS = {HttpCheck: "http", TcpCheck: "tcp", CommandCheck: "command"}

FREEZE = Freeze(cron="0 9 * * *", duration=90.0, time_zone="Europe/Rome", action=OnFreeze.HOLD)

ENVIRONMENT = EnvironmentPolicy(
    on_failure=OnFailure.CONTINUE,
    build_barrier=True,
    deployment_timeout=9.0,
    on_request=OnRequest.WAIT,
    freezes=(FREEZE,),
)

FACES: list[tuple[type[Struct], list[type]]] = [
    (
        EnvironmentPolicy,
        [environments.EnvironmentPolicy, environments.EnvironmentPolicyInput, documents.EnvironmentPolicyDocument],
    ),
    (Freeze, [freezes.Freeze, freezes.FreezeInput, documents.FreezeDocument]),
    (StagePolicy, [stages.StagePolicy, stages.StagePolicyInput, documents.StageDocument]),
    (Approval, [stages.Approval, stages.ApprovalInput, documents.ApprovalDocument]),
    (StageCheck, [stages.StageCheck, stages.StageCheckInput, documents.StageCheckDocument]),
    (ServiceSpec, [specs.ServiceSpec, specs.ServiceSpecInput, spec_documents.SpecDocument]),
    (Health, [healths.HealthCheck, healths.HealthCheckInput, spec_documents.HealthCheckDocument]),
    (Backoff, [specs.Backoff, specs.BackoffInput, spec_documents.BackoffDocument]),
    (Container, [containers.ContainerSpec, containers.ContainerSpecInput, spec_documents.ContainerDocument]),
    (Publication, [containers.PublishedPort, containers.PublishedPortInput, spec_documents.PublishedPortDocument]),
    (Volume, [containers.VolumeMount, containers.VolumeMountInput, spec_documents.VolumeMountDocument]),
    (Bind, [containers.BindMount, containers.BindMountInput, spec_documents.BindMountDocument]),
    (Label, [containers.ContainerLabel, containers.ContainerLabelInput]),
    (BuildArgument, [containers.BuildArgument, containers.BuildArgumentInput]),
    (HttpCheck, [healths.HttpCheck, healths.HttpCheckInput, spec_documents.HttpCheckDocument]),
    (TcpCheck, [healths.TcpCheck, healths.TcpCheckInput, spec_documents.TcpCheckDocument]),
    (
        Variable,
        [
            variables.EnvironmentVariable,
            variables.EnvironmentVariableInput,
            spec_documents.EnvironmentVariableDocument,
        ],
    ),
]


def _names(face: type) -> set[str]:
    if issubclass(face, Struct):
        return {field.encode_name for field in fields(face)}
    names = face.__dataclass_fields__  # type: ignore[attr-defined]  # strawberry makes them dataclasses
    return {to_camel_case(name) for name in names}


@pytest.mark.parametrize(("struct", "faces"), FACES, ids=[struct.__name__ for struct, _ in FACES])
def test_every_face_has_every_field(struct: type[Struct], faces: list[type]) -> None:
    wanted = {NAMES.get(field.name, to_camel_case(field.name)) for field in fields(struct)}
    if struct is Health:
        wanted = wanted - {"check"} | set(CHECKS.values())
    missing = {f"{face.__module__}.{face.__name__}": sorted(wanted - _names(face)) for face in faces}
    assert {face: names for face, names in missing.items() if names} == {}


@pytest.mark.parametrize("struct", [ServiceSpec, Container, Bind, Health, Backoff, HttpCheck, TcpCheck, Variable])
def test_every_field_of_a_specification_has_a_name_for_users(struct: type[Struct]) -> None:
    """Messages and the history say it, and mypy does not miss it."""
    assert [field.name for field in fields(struct) if "_" in NAMES.get(field.name, field.name)] == []


@pytest.mark.parametrize(
    "sample",
    [ENVIRONMENT, POLICY, APPROVAL, CHECK, BACKOFF, HEALTH, CONTAINER, SPEC],
    ids=lambda sample: type(sample).__name__,
)
def test_the_samples_set_every_field(sample: Struct) -> None:
    """A new field keeps its default here until the sample, and with it the round trips below, cover it."""
    unset = [field.name for field in fields(sample) if getattr(sample, field.name) == field.default]
    assert unset == []


def _input(spec: ServiceSpec) -> specs.ServiceSpecInput:
    """Return the input with the values of the GraphQL type."""
    shown = specs.from_domain(spec)
    health = shown.health_check
    assert health is not None
    return specs.ServiceSpecInput(
        **{
            field.name: getattr(shown, field.name)
            for field in dataclasses.fields(shown)
            if field.name not in ("health_check", "backoff", "restart_backoff")
        },
        backoff=specs.BackoffInput(**dataclasses.asdict(shown.backoff)),
        restart_backoff=specs.BackoffInput(**dataclasses.asdict(shown.restart_backoff)),
        health_check=healths.HealthCheckInput(
            **{field.name: getattr(health, field.name) for field in dataclasses.fields(health)}
        ),
    )


@pytest.mark.parametrize(
    "check",
    [HttpCheck(path="/up", port=1), TcpCheck(port=1), CommandCheck(command="true")],
    ids=lambda c: type(c).__name__,
)
def test_a_specification_survives_the_way_through_each_face(check: HttpCheck | TcpCheck | CommandCheck) -> None:
    spec = ServiceSpec(
        **{field.name: getattr(SPEC, field.name) for field in fields(SPEC) if field.name != "health"},
        health=replace(HEALTH, check=check),
    )
    assert specs.to_domain(_input(spec)) == spec
    assert spec_documents.to_domain(spec_documents.from_domain(spec)) == spec


def test_a_policy_survives_the_way_through_each_face() -> None:
    shown = stages.policy_from_domain(POLICY)
    assert shown.approval is not None
    approval = stages.ApprovalInput(**dataclasses.asdict(shown.approval))
    assert shown.check is not None
    check = stages.StageCheckInput(**dataclasses.asdict(shown.check))
    given = stages.StagePolicyInput(**{**vars(shown), "approval": approval, "check": check})
    assert stages.policy_to_domain(given) == POLICY
    stage = Stage(id=StageId(ids.new()), name="Checks", description="", policy=POLICY)
    assert documents.policy_to_domain(documents.stage_from_domain(stage)) == POLICY


def test_the_policy_of_an_environment_survives_the_way_through_each_face() -> None:
    shown = environments.policy_from_domain(ENVIRONMENT)
    inputs = [freezes.FreezeInput(**dataclasses.asdict(each)) for each in shown.freezes]
    given = environments.EnvironmentPolicyInput(**dataclasses.asdict(shown) | {"freezes": inputs})
    assert environments.policy_to_domain(given) == ENVIRONMENT
    document = documents.environment_policy_from_domain(ENVIRONMENT)
    assert documents.environment_policy_to_domain(document) == ENVIRONMENT
