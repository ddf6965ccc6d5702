"""Stages of a pipeline."""

from functools import cached_property

import strawberry
from strawberry import ID, Private

from domain.errors import InvalidArgument
from domain.pipeline.gate import MAX_APPROVALS, MAX_URL, MAX_WAIT, OnTimeout
from domain.pipeline.gate import Approval as DomainApproval
from domain.pipeline.gate import StageCheck as DomainStageCheck
from domain.pipeline.stage import After, At, Before, Place
from domain.pipeline.stage import Stage as DomainStage
from domain.pipeline.stage import StagePolicy as DomainStagePolicy
from domain.project import EnvironmentId
from domain.spec import ServiceType
from gql.contract import enum
from gql.contract.node import Node, global_id
from gql.types import service as services
from gql.types.failure import OnFailure
from gql.types.ref import to_stage
from gql.types.role import Role
from gql.types.service import Service, ServiceSnapshot

_CONCURRENCY = "Number of services that are built or deployed at once; null for the number of the environment."
_ON_FAILURE = "The reaction when a service of the stage fails; null for the reaction of the environment."
_COUNT = f"Number of different actors who must approve, 1 to {MAX_APPROVALS}."
_TIMEOUT = f"Time after which onTimeout decides, in seconds, up to {MAX_WAIT:,}; null for none."
_ON_TIMEOUT = "The decision if too few actors approve in time."
_SELF_APPROVAL = "Whether the actor who requested the deployment may approve, too."
_ROLE = "The role that those who approve need in the environment: DEPLOYER, EDITOR or ADMIN."
_APPROVAL = "The approval that the stage waits for before it starts; null for none."
_WAIT = f"Time to wait before the stage starts, in seconds, up to {MAX_WAIT:,}; null for none."
_CHECK = "The check that must pass before the stage starts; null for none."
_URL = f"An http or https address of up to {MAX_URL:,} characters; redirects are not followed."
_INTERVAL = "Time between two tries, in seconds."
_CHECK_TIMEOUT = "Time after which the stage fails if the check has not passed, in seconds."
_ALWAYS = "Whether the stage runs also after a failure stopped the deployment; it doesn't after a cancellation."


enum.describe(
    OnTimeout,
    "The decision on a stage that has too few approvals in time.",
    REJECT="The stage is rejected.",
    APPROVE="The stage starts.",
)


@strawberry.type(description="The approval that a stage needs before it starts.")
class Approval:
    count: int = strawberry.field(description=_COUNT)
    timeout_seconds: float | None = strawberry.field(description=_TIMEOUT)
    on_timeout: OnTimeout = strawberry.field(description=_ON_TIMEOUT)
    self_approval: bool = strawberry.field(description=_SELF_APPROVAL)
    role: Role = strawberry.field(description=_ROLE)


@strawberry.input(description="The approval that a stage needs before it starts.")
class ApprovalInput:
    count: int = strawberry.field(default=1, description=_COUNT)
    timeout_seconds: float | None = strawberry.field(default=None, description=_TIMEOUT)
    on_timeout: OnTimeout = strawberry.field(default=OnTimeout.REJECT, description=_ON_TIMEOUT)
    self_approval: bool = strawberry.field(default=True, description=_SELF_APPROVAL)
    role: Role = strawberry.field(default=Role.DEPLOYER, description=_ROLE)


@strawberry.type(description="A check before a stage: it passes when GET answers 200 to 299.")
class StageCheck:
    url: str = strawberry.field(description=_URL)
    interval_seconds: float = strawberry.field(description=_INTERVAL)
    timeout_seconds: float = strawberry.field(description=_CHECK_TIMEOUT)


@strawberry.input(description="A check before a stage: it passes when GET answers 200 to 299.")
class StageCheckInput:
    url: str = strawberry.field(description=_URL)
    interval_seconds: float = strawberry.field(default=10.0, description=_INTERVAL)
    timeout_seconds: float = strawberry.field(default=600.0, description=_CHECK_TIMEOUT)


@strawberry.type(description="How a stage is carried out.")
class StagePolicy:
    concurrency: int | None = strawberry.field(description=_CONCURRENCY)
    on_failure: OnFailure | None = strawberry.field(description=_ON_FAILURE)
    always: bool = strawberry.field(description=_ALWAYS)
    approval: Approval | None = strawberry.field(description=_APPROVAL)
    wait_seconds: float | None = strawberry.field(description=_WAIT)
    check: StageCheck | None = strawberry.field(description=_CHECK)


@strawberry.input(description="How a stage is carried out.")
class StagePolicyInput:
    concurrency: int | None = strawberry.field(default=None, description=_CONCURRENCY)
    on_failure: OnFailure | None = strawberry.field(default=None, description=_ON_FAILURE)
    always: bool = strawberry.field(default=False, description=_ALWAYS)
    approval: ApprovalInput | None = strawberry.field(default=None, description=_APPROVAL)
    wait_seconds: float | None = strawberry.field(default=None, description=_WAIT)
    check: StageCheckInput | None = strawberry.field(default=None, description=_CHECK)


def policy_from_domain(policy: DomainStagePolicy) -> StagePolicy:
    return StagePolicy(
        concurrency=policy.concurrency,
        on_failure=policy.on_failure,
        always=policy.always,
        approval=None if policy.approval is None else _approval_from_domain(policy.approval),
        wait_seconds=policy.wait,
        check=None if policy.check is None else _check_from_domain(policy.check),
    )


def _check_from_domain(check: DomainStageCheck) -> StageCheck:
    return StageCheck(url=check.url, interval_seconds=check.interval, timeout_seconds=check.timeout)


def _approval_from_domain(approval: DomainApproval) -> Approval:
    return Approval(
        count=approval.count,
        timeout_seconds=approval.timeout,
        on_timeout=approval.on_timeout,
        self_approval=approval.self_approval,
        role=approval.role,
    )


def policy_to_domain(given: StagePolicyInput) -> DomainStagePolicy:
    return DomainStagePolicy(
        concurrency=given.concurrency,
        on_failure=given.on_failure,
        always=given.always,
        approval=None if given.approval is None else _approval_to_domain(given.approval),
        wait=given.wait_seconds,
        check=None if given.check is None else _check_to_domain(given.check),
    )


def _check_to_domain(given: StageCheckInput) -> DomainStageCheck:
    return DomainStageCheck(url=given.url, interval=given.interval_seconds, timeout=given.timeout_seconds)


def _approval_to_domain(given: ApprovalInput) -> DomainApproval:
    return DomainApproval(
        count=given.count,
        timeout=given.timeout_seconds,
        on_timeout=given.on_timeout,
        self_approval=given.self_approval,
        role=given.role,
    )


_SERVICES = strawberry.field(description="The services of the stage.")
_SERVICES.init = False


@strawberry.type(description="A step of the order of deployment. The services of a stage are deployed side by side.")
class Stage(Node):
    position: int = strawberry.field(description="Position in the pipeline, from 1.")
    name: str = strawberry.field(description="Name of the stage, unique in its pipeline.")
    description: str = strawberry.field(description="A text for people; it may be empty.")
    default_for_type: ServiceType | None = strawberry.field(
        description="New services of this type are added to the stage."
    )
    policy: StagePolicy = strawberry.field(description="How the stage is carried out.")
    services: list[Service] = _SERVICES  # see `_services`
    domain: Private[DomainStage]
    environment: Private[EnvironmentId]


def from_domain(position: int, stage: DomainStage, environment: EnvironmentId) -> Stage:
    return Stage(
        id=global_id("stage", stage.id),
        position=position,
        name=stage.name,
        description=stage.description,
        default_for_type=stage.home_of,
        policy=policy_from_domain(stage.policy),
        domain=stage,
        environment=environment,
    )


def _services(stage: Stage) -> list[Service]:
    """Return the services of a stage, which refer to another object of the same stage.

    They are converted when they are first needed: objects that refer to each other would be freed by a garbage
    collection only.
    """
    own = from_domain(stage.position, stage.domain, stage.environment)
    return [services.from_domain(each, own, stage.environment) for each in stage.domain.services]


Stage.services = cached_property(_services)  # type: ignore[assignment]  # strawberry needs the annotation of a field
Stage.services.__set_name__(Stage, "services")  # type: ignore[attr-defined]


@strawberry.type(description="A stage as it was at a version of a pipeline. It is not the live stage.")
class StageSnapshot:
    stage_id: ID = strawberry.field(description="Id of the stage, which may be deleted.")
    position: int = strawberry.field(description="Position in the pipeline, from 1.")
    name: str = strawberry.field(description="Name of the stage at this version.")
    description: str = strawberry.field(description="A text for people; it may be empty.")
    default_for_type: ServiceType | None = strawberry.field(
        description="New services of this type were added to the stage."
    )
    policy: StagePolicy = strawberry.field(description="How the stage was carried out.")
    services: list[ServiceSnapshot] = strawberry.field(description="The services of the stage.")


def snapshot(position: int, stage: DomainStage) -> StageSnapshot:
    own = global_id("stage", stage.id)
    return StageSnapshot(
        stage_id=own,
        position=position,
        name=stage.name,
        description=stage.description,
        default_for_type=stage.home_of,
        policy=policy_from_domain(stage.policy),
        services=[services.snapshot(each, own) for each in stage.services],
    )


@strawberry.input(description="A position in the order of stages: exactly one of the fields.", one_of=True)
class PlaceInput:
    position: int | None = strawberry.field(default=strawberry.UNSET, description="The position, from 1.")
    before: ID | None = strawberry.field(
        default=strawberry.UNSET, description="The position before this stage, given by its id or name."
    )
    after: ID | None = strawberry.field(
        default=strawberry.UNSET, description="The position after this stage, given by its id or name."
    )


def place_to_domain(given: PlaceInput) -> Place:
    match given:
        case PlaceInput(position=int(position)):
            return At(position=position)
        case PlaceInput(before=str(stage)):
            return Before(stage=to_stage(stage))
        case PlaceInput(after=str(stage)):
            return After(stage=to_stage(stage))
        case _:
            raise InvalidArgument(argument="to", why="a position, or a stage to stand before or after, is required")
