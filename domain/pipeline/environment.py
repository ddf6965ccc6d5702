"""Environments: events and commands that concern the environment as a whole."""

from enum import StrEnum

from msgspec import Struct

from domain.errors import InvalidPolicy
from domain.pipeline import freeze as freezes
from domain.pipeline.freeze import Freeze
from domain.pipeline.ref import StageId
from domain.pipeline.stage import OnFailure
from domain.project import ProjectId
from domain.secret import Secret, SecretCommand
from domain.spec import Variable

DEFAULT_CONCURRENCY = 8
"""Default number of services that are built or deployed at once."""

MAX_CONCURRENCY = 100
"""Maximum number of services that are built or deployed at once."""

MIN_TIMEOUT, MAX_TIMEOUT = 1.0, 7 * 86_400.0
"""Minimum and maximum timeout of a deployment, in seconds."""


class Target(StrEnum):
    """The target: what carries out the steps of an environment."""

    PROCESS = "PROCESS"
    DOCKER = "DOCKER"
    KUBERNETES = "KUBERNETES"


class OnRequest(StrEnum):
    """The effect of a further request while a deployment runs."""

    WAIT = "WAIT"
    MERGE = "MERGE"
    SUPERSEDE = "SUPERSEDE"


class EnvironmentPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The policy of an environment.

    *on_failure* is the reaction of each stage that has none of its own. With *build_barrier* no service of a stage is
    deployed before all builds of the stage have ended. *deployment_timeout* is the maximum duration of a deployment
    from its start, with all of its waits, in seconds; None for no limit. *on_request* is what a further request does.
    During *freezes* no deployment starts.
    """

    on_failure: OnFailure = OnFailure.STOP
    build_barrier: bool = False
    deployment_timeout: float | None = None
    on_request: OnRequest = OnRequest.MERGE
    freezes: tuple[Freeze, ...] = ()


def checked_policy(policy: EnvironmentPolicy) -> EnvironmentPolicy:
    """Return *policy*; raises `InvalidPolicy`."""
    timeout = policy.deployment_timeout
    if timeout is not None and not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        why = f"{timeout:g} is not between {MIN_TIMEOUT:g} and {MAX_TIMEOUT:,.0f} seconds"
        raise InvalidPolicy(field="deploymentTimeoutSeconds", why=why)
    freezes.check(policy.freezes)
    return policy


class EnvironmentCreated(Struct, frozen=True, kw_only=True):
    project: ProjectId
    name: str
    target: Target
    concurrency: int


class EnvironmentRenamed(Struct, frozen=True, kw_only=True):
    name: str


class TargetChanged(Struct, frozen=True, kw_only=True):
    target: Target


class ConcurrencyChanged(Struct, frozen=True, kw_only=True):
    """At most *concurrency* services are built or deployed at once."""

    concurrency: int


class EnvironmentPolicyChanged(Struct, frozen=True, kw_only=True):
    policy: EnvironmentPolicy


class EnvironmentVariableSet(Struct, frozen=True, kw_only=True):
    """The environment has the variable *name* with *value* from now on."""

    name: str
    value: str


class EnvironmentVariableDeleted(Struct, frozen=True, kw_only=True):
    name: str


class EnvironmentSecretSet(Struct, frozen=True, kw_only=True):
    """The environment has *secret* from now on, or it has a new value."""

    secret: Secret


class EnvironmentSecretDeleted(Struct, frozen=True, kw_only=True):
    name: str


class EnvironmentKeyRotated(Struct, frozen=True, kw_only=True):
    """The secrets of the environment are sealed with the key of that number from now on; *secrets* are all of them."""

    key: int
    secrets: tuple[Secret, ...]


class EnvironmentDeleted(Struct, frozen=True, kw_only=True): ...


EnvironmentEvent = (
    EnvironmentCreated
    | EnvironmentRenamed
    | TargetChanged
    | ConcurrencyChanged
    | EnvironmentPolicyChanged
    | EnvironmentVariableSet
    | EnvironmentVariableDeleted
    | EnvironmentSecretSet
    | EnvironmentSecretDeleted
    | EnvironmentKeyRotated
    | EnvironmentDeleted
)


class CreateEnvironment(Struct, frozen=True, kw_only=True):
    """Create an environment; *stages* are the ids of its four default stages."""

    project: ProjectId
    name: str
    stages: tuple[StageId, StageId, StageId, StageId]
    target: Target = Target.PROCESS
    concurrency: int = DEFAULT_CONCURRENCY


class EditEnvironment(Struct, frozen=True, kw_only=True):
    """Change the fields that are not None."""

    name: str | None = None
    target: Target | None = None
    concurrency: int | None = None
    policy: EnvironmentPolicy | None = None


class SetEnvironmentVariables(Struct, frozen=True, kw_only=True):
    """Set *variables*; the others stay."""

    variables: tuple[Variable, ...]


class DeleteEnvironmentVariables(Struct, frozen=True, kw_only=True):
    names: tuple[str, ...]


class DeleteEnvironment(Struct, frozen=True, kw_only=True): ...


EnvironmentCommand = (
    CreateEnvironment
    | EditEnvironment
    | SetEnvironmentVariables
    | DeleteEnvironmentVariables
    | SecretCommand
    | DeleteEnvironment
)
