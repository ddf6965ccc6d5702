"""Mutations of deployments."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import strawberry
from msgspec.structs import replace
from strawberry import ID

from application import deployment as use_cases
from application import request as requests
from application.handler import Transaction
from domain import deployment as deployments
from domain.deployment.effect import Effect
from domain.deployment.hold import HoldCommand, HoldDeployment, ReleaseDeployment
from domain.deployment.plan import MAX_REVISION
from domain.deployment.queue import Action, DeploymentId, DeploymentMerged
from domain.deployment.selection import Selection
from domain.errors import DeploymentNotFound, InvalidArgument
from domain.role import role_at
from gql.contract.argument import check_list
from gql.mutation import Payload, Write, mutation
from gql.types.deployment import Deployment, deployment_id, from_view
from gql.types.deployment_snapshot import DeploymentSnapshot, snapshot_of
from gql.types.environment import known_environment
from gql.types.ref import DeploymentArgument, EnvironmentArgument, StageArgument, to_service, to_stage
from gql.types.refusal import Refusal
from projections.deployment import projection
from store import ids


@strawberry.type(description="The answer to a mutation of a deployment.")
class DeploymentPayload(Payload):
    merged: bool = strawberry.field(
        description="Whether the request was merged into a waiting deployment that does the same, which is the answer."
    )
    deployment: Deployment | None = strawberry.field(
        description="The live deployment after the change; null after a dry run, and after a repeat of a request if the"
        " deployment went on since."
    )
    snapshot: DeploymentSnapshot | None = strawberry.field(
        description="If deployment is null, the deployment as a dry run would make it, or as it was after the first"
        " request."
    )


DeploymentResult = Annotated[
    DeploymentPayload | Refusal,
    strawberry.union("DeploymentResult", description="The deployment after the change, or a refusal."),
]


Revision = Annotated[
    str | None,
    strawberry.argument(
        description="Revision of the services' sources, such as a Git commit. Services with the same revision and"
        f" specification are left as they are. At most {MAX_REVISION} characters."
    ),
]


IgnoreFreeze = Annotated[
    bool,
    strawberry.argument(
        description="Deploy even if the environment is frozen. A reason is required, and an event says so."
    ),
]

ChosenServices = Annotated[
    list[ID] | None,
    strawberry.argument(
        description="Ids or names of the chosen services, also skipped ones. Without services and stages, the whole"
        " environment is chosen."
    ),
]

ChosenStages = Annotated[
    list[ID] | None,
    strawberry.argument(description="Ids or names of stages; their services that are not skipped are chosen."),
]

WithDependencies = Annotated[
    bool,
    strawberry.argument(
        description="Choose the services that the chosen ones need, too, and those that these need. Otherwise they must"
        " run."
    ),
]


@mutation(
    "Deploy an environment: pin its current pipeline, and queue the deployment. It leaves services as they are that are"
    " unchanged and healthy; without a revision, none is known to be unchanged.",
    of="pipeline",
)
async def deploy(
    write: Write,
    environment: EnvironmentArgument,
    revision: Revision = None,
    services: ChosenServices = None,
    stages: ChosenStages = None,
    with_dependencies: WithDependencies = False,
    ignore_freeze: IgnoreFreeze = False,
) -> DeploymentResult:
    chosen = _selection(services, stages, with_dependencies)
    return await _deploy(write, environment, Action.DEPLOY, revision, chosen, ignore_freeze)


@mutation("Deploy an environment, and renew its chosen services, also unchanged ones.", of="pipeline")
async def redeploy(
    write: Write,
    environment: EnvironmentArgument,
    revision: Revision = None,
    services: ChosenServices = None,
    stages: ChosenStages = None,
    with_dependencies: WithDependencies = False,
    ignore_freeze: IgnoreFreeze = False,
) -> DeploymentResult:
    chosen = _selection(services, stages, with_dependencies)
    return await _deploy(write, environment, Action.REDEPLOY, revision, chosen, ignore_freeze)


def _selection(services: list[ID] | None, stages: list[ID] | None, with_dependencies: bool = False) -> Selection:
    check_list("services", services or ())
    check_list("stages", stages or ())
    return Selection(
        services=tuple(map(to_service, services or ())),
        stages=tuple(map(to_stage, stages or ())),
        with_dependencies=with_dependencies,
    )


async def _deploy(
    write: Write, environment: str, action: Action, revision: str | None, selection: Selection, ignore_freeze: bool
) -> DeploymentPayload:
    use_case = partial(
        requests.request,
        environment=await known_environment(write.context, environment),
        deployment=DeploymentId(ids.new()),
        actor=write.context.author(write.reason).actor,
        expected=write.expected_version,
        action=action,
        revision=revision,
        targets=write.context.application.targets,
        selection=selection,
        ignores_freeze=_ignores(write, ignore_freeze),
    )
    return await _transact(write, use_case)


def _action(name: str, effect: Effect, description: str) -> Any:
    """Return the mutation *name*, which has *effect* on what runs."""

    async def act(
        write: Write,
        environment: EnvironmentArgument,
        services: ChosenServices = None,
        stages: ChosenStages = None,
    ) -> DeploymentResult:
        return await _act(write, environment, effect, _selection(services, stages))

    act.__name__ = name
    return mutation(description, of="pipeline")(act)


async def _act(
    write: Write, environment: str, effect: Effect, selection: Selection, with_volumes: bool = False
) -> DeploymentPayload:
    use_case = partial(
        requests.act,
        environment=await known_environment(write.context, environment),
        deployment=DeploymentId(ids.new()),
        actor=write.context.author(write.reason).actor,
        effect=effect,
        expected=write.expected_version,
        targets=write.context.application.targets,
        selection=selection,
        with_volumes=with_volumes,
    )
    return await _transact(write, use_case)


restart_services = _action(
    "restart_services",
    Effect.RESTART,
    "Restart services: replace what runs of them, with the same specifications and without a build. Jobs and stopped"
    " services are left out.",
)
start_services = _action(
    "start_services",
    Effect.START,
    "Start services that are stopped or have ended, as they ran last, without a build. Those that run and are healthy"
    " are left out.",
)
stop_services = _action(
    "stop_services",
    Effect.STOP,
    "Stop services, in the reverse order of the stages. They stay stopped until they are started or deployed.",
)


@mutation(
    "Stop services, in the reverse order of the stages, and forget what ran of them. The services stay in the pipeline,"
    " and their data is kept, unless its deletion is requested.",
    of="pipeline",
)
async def delete_instances(
    write: Write,
    environment: EnvironmentArgument,
    services: ChosenServices = None,
    stages: ChosenStages = None,
    volumes: Annotated[
        bool,
        strawberry.argument(
            description="Delete the volumes of the services, too, with all their data. Services that use the same"
            " volume must all be chosen."
        ),
    ] = False,
) -> DeploymentResult:
    return await _act(write, environment, Effect.DELETE, _selection(services, stages), volumes)


@mutation(
    "Retry the newest deployment after its end: queue one of the same specifications, for the services that failed,"
    " were cancelled or never began.",
    of="deployment",
)
async def retry_deployment(
    write: Write, deployment: DeploymentArgument, ignore_freeze: IgnoreFreeze = False
) -> DeploymentResult:
    return await _repeat(write, deployment, Action.RETRY, ignore_freeze)


@mutation(
    "Roll back to a deployment that has ended: queue one of the specifications that it pinned. The pipeline stays as it"
    " is; services that were removed from it are left out.",
    of="deployment",
)
async def roll_back_to(
    write: Write, deployment: DeploymentArgument, ignore_freeze: IgnoreFreeze = False
) -> DeploymentResult:
    return await _repeat(write, deployment, Action.ROLLBACK, ignore_freeze)


async def _repeat(write: Write, source: str, action: Action, ignore_freeze: bool) -> DeploymentPayload:
    use_case = partial(
        requests.repeat,
        source=await _existing(write, source),
        deployment=DeploymentId(ids.new()),
        actor=write.context.author(write.reason).actor,
        action=action,
        expected=write.expected_version,
        targets=write.context.application.targets,
        ignores_freeze=_ignores(write, ignore_freeze),
    )
    return await _transact(write, use_case)


def _ignores(write: Write, ignore_freeze: bool) -> bool:
    """Return whether a freeze is ignored; raises `InvalidArgument` if nobody says why."""
    if ignore_freeze and not write.reason:
        raise InvalidArgument(argument="ignoreFreeze", why="it needs a reason (--reason)")
    return ignore_freeze


async def _existing(write: Write, text: str) -> DeploymentId:
    """Return the deployment with that id; raises `DeploymentNotFound`, also for an id of another kind of object."""
    own = deployment_id(text)
    if await write.context.application.deployments.read(own) is None:
        raise DeploymentNotFound(deployment=text)
    return own


@mutation(
    "Approve a stage that waits for its approval. The reason is the comment. A second approval by the same actor"
    " changes nothing.",
    of="deployment",
)
async def approve_stage(write: Write, deployment: DeploymentArgument, stage: StageArgument) -> DeploymentResult:
    return await _review(write, deployment, stage, approves=True)


@mutation(
    "Reject a stage that waits for its approval. The reason is the comment. The stage fails, and with it the"
    " deployment.",
    of="deployment",
)
async def reject_stage(write: Write, deployment: DeploymentArgument, stage: StageArgument) -> DeploymentResult:
    return await _review(write, deployment, stage, approves=False)


async def _review(write: Write, deployment: str, stage: str, *, approves: bool) -> DeploymentPayload:
    found = await _existing(write, deployment)
    place = await write.context.application.places.find(found)
    role = None if place is None else role_at(write.context.roles, place)
    assert role is not None, "its rule wants a role in the environment of the deployment, which exists"
    use_case = partial(
        use_cases.review,
        deployment=found,
        stage=to_stage(stage),
        actor=write.context.author(write.reason).actor,
        role=role,
        at=datetime.now(UTC),
        expected=write.expected_version,
        approves=approves,
        comment=write.reason,
    )
    return await _transact(write, use_case)


@mutation(
    "Hold a deployment: no stage and no step starts any more, and running steps are finished, until it is released.",
    of="deployment",
)
async def hold_deployment(write: Write, deployment: DeploymentArgument) -> DeploymentResult:
    return await _hold(write, deployment, HoldDeployment())


@mutation("Release a deployment that is held.", of="deployment")
async def release_deployment(write: Write, deployment: DeploymentArgument) -> DeploymentResult:
    return await _hold(write, deployment, ReleaseDeployment())


async def _hold(write: Write, deployment: str, command: HoldCommand) -> DeploymentPayload:
    own = await _existing(write, deployment)
    use_case = partial(use_cases.hold, deployment=own, command=command, expected=write.expected_version)
    return await _transact(write, use_case)


@mutation("Cancel a deployment, or some of its services.", of="deployment")
async def cancel_deployment(
    write: Write,
    deployment: DeploymentArgument,
    force: Annotated[
        bool, strawberry.argument(description="Stop running steps, too; otherwise they are finished.")
    ] = False,
    services: Annotated[
        list[ID] | None,
        strawberry.argument(
            description="Ids or names of services in the plan: only these are cancelled, and the others go on. Null for"
            " the whole deployment."
        ),
    ] = None,
) -> DeploymentResult:
    check_list("services", services or ())
    chosen = tuple(map(to_service, services or ()))
    own = await _existing(write, deployment)
    use_case = partial(use_cases.cancel, deployment=own, forced=force, expected=write.expected_version, services=chosen)
    return await _transact(write, use_case)


@mutation("Give a deployment that waits another place among those that wait.", of="deployment")
async def move_deployment(
    write: Write,
    deployment: DeploymentArgument,
    position: Annotated[int, strawberry.argument(description="The place among those that wait; 1 is the next one.")],
) -> DeploymentResult:
    own = await _existing(write, deployment)
    use_case = partial(use_cases.move, deployment=own, position=position, expected=write.expected_version)
    return await _transact(write, use_case)


async def _transact(write: Write, use_case: Callable[[Transaction], Awaitable[UUID]]) -> DeploymentPayload:
    """Carry out *use_case*; return the deployment after it, or a snapshot of one that is not the live deployment.

    That is the deployment after a dry run, and the first answer to a repeated request if the deployment went on.
    """
    outcome = await write.transact(use_case, deployments.decider)
    own, version = DeploymentId(outcome.subject.stream), outcome.subject.version
    runs = write.context.application.deployments
    payload = partial(DeploymentPayload, changed=outcome.has_changed, merged=isinstance(outcome.last, DeploymentMerged))
    if write.dry_run and outcome.events:
        before = await runs.read(own, version - len(outcome.events))
        view = projection.replay(outcome.preview(write.context.author(write.reason)), before)
        assert view is not None, "a deployment exists after a command"
        view = replace(view, position=outcome.receipt.position)  # which exists
        return payload(deployment=None, snapshot=await snapshot_of(write.context, view, outcome.state))
    view = await runs.read(own, version)
    assert view is not None, "a deployment exists after a command"
    now = None if outcome.receipt.recorded else await runs.read(own)
    if not write.dry_run and (now is None or now.version == version):
        return payload(deployment=await from_view(write.context, view), snapshot=None)
    return payload(deployment=None, snapshot=await snapshot_of(write.context, view))
