"""The transactions that a deployment takes: with its pipeline, and with its environment's queue."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from msgspec.structs import replace

import application.environment
import application.pipeline
from application import deployment as writing
from application import request as requests
from application.handler import Handler, Outcome, Transaction
from application.instance import present_instances
from application.pipeline import ALL_TARGETS, Targets
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain.access import ENGINE
from domain.deployment import queue as queues
from domain.deployment import repeat as repeats
from domain.deployment.effect import Effect
from domain.deployment.queue import Action, DeploymentAdmitted, DeploymentClosed, DeploymentId, DeploymentRequested
from domain.deployment.state import DeploymentSuperseded
from domain.deployment.step import FailStep, StartStep, Status, SucceedStep
from domain.deployment.wait import WaitCause, WaitReason, WaitStarted
from domain.errors import (
    DeploymentNotAdmitted,
    DeploymentNotFound,
    DeploymentOver,
    EnvironmentBusy,
    EnvironmentNotFound,
    InvalidArgument,
    NothingToDeploy,
    Refused,
    TargetUnavailable,
    VersionMismatch,
)
from domain.pipeline.environment import (
    CreateEnvironment,
    DeleteEnvironment,
    EditEnvironment,
    EnvironmentPolicy,
    OnRequest,
    Target,
)
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import AddService, EditService, RemoveService
from domain.pipeline.stage import OnFailure
from domain.project import EnvironmentId, ProjectId
from domain.spec import ServiceSpec, ServiceType
from store.ids import new
from store.log import Author, EventLog, Origin

ANN = Author(actor="ann", origin=Origin.API)

Work = Callable[[Transaction], Awaitable[DeploymentId]]


@pytest.fixture
def handler(log: EventLog) -> Handler:
    return Handler(log)


@pytest.fixture
async def environment(handler: Handler) -> EnvironmentId:
    """An environment with one service."""
    id_ = EnvironmentId(new())
    stages = (StageId(new()), StageId(new()), StageId(new()), StageId(new()))
    create = CreateEnvironment(project=ProjectId(new()), name="production", stages=stages)
    await handler.handle(pipelines.decider, id_, create, ANN)
    add = AddService(service=ServiceId(new()), name="api", type=ServiceType.APPLICATION, spec=ServiceSpec(run="serve"))
    await handler.handle(pipelines.decider, id_, add, ANN)
    return id_


async def transact(handler: Handler, work: Work) -> Outcome[deployments.Deployment]:
    return await handler.transact(work, deployments.decider, ANN)


async def request(
    handler: Handler,
    environment: EnvironmentId,
    actor: str = "ann",
    expected: int | None = None,
    revision: str | None = None,
    action: Action = Action.DEPLOY,
) -> DeploymentId:
    async def work(transaction: Transaction) -> DeploymentId:
        id_ = DeploymentId(new())
        return await requests.request(
            transaction, environment, id_, actor, expected=expected, revision=revision, action=action
        )

    return DeploymentId((await transact(handler, work)).subject.stream)


async def take_up(handler: Handler, deployment: DeploymentId) -> Outcome[deployments.Deployment]:
    return await transact(handler, lambda transaction: writing.take_up(transaction, deployment, "worker"))


async def cancel(handler: Handler, deployment: DeploymentId) -> Outcome[deployments.Deployment]:
    return await transact(handler, lambda transaction: writing.cancel(transaction, deployment))


async def test_a_request_pins_the_pipeline_as_it_stands(handler: Handler, environment: EnvironmentId) -> None:
    id_ = await request(handler, environment)
    before = (await handler.states.load(pipelines.decider, environment)).version
    await handler.handle(pipelines.decider, environment, RemoveService(service="api"), ANN)
    deployment = (await handler.states.load(deployments.decider, id_)).state
    assert deployment.plan is not None
    assert before == deployment.plan.pipeline_version
    assert (environment, 1) == (deployment.environment, deployment.number)
    assert [service.name for stage in deployment.plan.stages for service in stage.services] == ["api"]


async def test_a_request_is_one_append_with_the_queue(handler: Handler, environment: EnvironmentId) -> None:
    before = await handler.log.position()
    id_ = await request(handler, environment)
    events = [recorded.event for recorded in await handler.log.read_all(before)]
    assert {DeploymentRequested, DeploymentAdmitted, deployments.DeploymentPlanned} == {type(each) for each in events}
    assert id_ == next(each.deployment for each in events if isinstance(each, DeploymentAdmitted))


async def test_a_request_that_waits_says_for_which_deployment(handler: Handler, environment: EnvironmentId) -> None:
    ids = [await request(handler, environment, actor) for actor in ("ann", "bob", "cid")]
    waits = [[each for each in await handler.log.events(id_) if isinstance(each, WaitStarted)] for id_ in ids]
    causes = [WaitCause(reason=WaitReason.DEPLOYMENT, number=1, more=more) for more in (0, 1)]
    assert [[], *([WaitStarted(cause=cause)] for cause in causes)] == waits


async def test_a_request_for_another_version_of_the_pipeline_is_refused(
    handler: Handler, environment: EnvironmentId
) -> None:
    version = (await handler.states.load(pipelines.decider, environment)).version
    with pytest.raises(Refused) as refused:
        await request(handler, environment, expected=version - 1)
    assert VersionMismatch(expected=version - 1, current=version) == refused.value
    await request(handler, environment, expected=version)


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_an_environment_that_is_not_there_is_not_deployed(
    handler: Handler, environment: EnvironmentId, is_deleted: bool
) -> None:
    if is_deleted:
        await handler.handle(pipelines.decider, environment, DeleteEnvironment(), ANN)
    with pytest.raises(EnvironmentNotFound):
        await request(handler, environment if is_deleted else EnvironmentId(new()))


async def test_an_environment_without_services_is_not_deployed(handler: Handler, environment: EnvironmentId) -> None:
    await handler.handle(pipelines.decider, environment, RemoveService(service="api"), ANN)
    with pytest.raises(NothingToDeploy):
        await request(handler, environment)


async def test_a_request_that_merges_is_answered_by_the_deployment_that_waits(
    handler: Handler, environment: EnvironmentId
) -> None:
    first, second = await request(handler, environment), await request(handler, environment)
    assert first != second == await request(handler, environment)
    assert {first, second} == {each.deployment for each in await open_(handler, environment)}


async def open_(handler: Handler, environment: EnvironmentId) -> tuple[queues.Request, ...]:
    return (await handler.states.load(queues.decider, queues.stream(environment))).state.open


async def test_only_the_deployment_whose_turn_it_is_is_taken_up(handler: Handler, environment: EnvironmentId) -> None:
    first, second = await request(handler, environment), await request(handler, environment)
    with pytest.raises(DeploymentNotAdmitted):
        await take_up(handler, second)
    assert (await take_up(handler, first)).state.status == Status.RUNNING


async def test_the_append_that_ends_a_deployment_passes_its_turn_on(
    handler: Handler, environment: EnvironmentId
) -> None:
    first, second = await request(handler, environment), await request(handler, environment)
    (step,) = (await take_up(handler, first)).state.due()
    before = await handler.log.position()

    async def fail(transaction: Transaction) -> DeploymentId:
        await writing.report(transaction, first, StartStep(worker="worker", step=step))
        return await writing.report(transaction, first, FailStep(worker="worker", step=step, reason="no"))

    assert (await transact(handler, fail)).state.status == Status.FAILED
    events = [recorded.event for recorded in await handler.log.read_all(before)]
    assert [DeploymentClosed(deployment=first), DeploymentAdmitted(deployment=second)] == events[-2:]
    assert isinstance(events[-3], deployments.DeploymentFailed)


async def test_a_request_supersedes_those_that_wait_in_one_append(handler: Handler, environment: EnvironmentId) -> None:
    policy = EnvironmentPolicy(on_request=OnRequest.SUPERSEDE)
    await handler.handle(pipelines.decider, environment, EditEnvironment(policy=policy), ANN)
    first, second = await request(handler, environment), await request(handler, environment)
    await handler.handle(pipelines.decider, environment, EditEnvironment(concurrency=2), ANN)
    third = await request(handler, environment)
    assert [each.deployment for each in await open_(handler, environment)] == [first, third]
    assert (await handler.states.load(deployments.decider, second)).state.status is Status.CANCELLED
    assert [each for each in await handler.log.events(second) if isinstance(each, DeploymentSuperseded)] == [
        DeploymentSuperseded(number=3)
    ]
    waits = [each for each in await handler.log.events(third) if isinstance(each, WaitStarted)]
    assert waits == [WaitStarted(cause=WaitCause(reason=WaitReason.DEPLOYMENT, number=1))]


async def test_the_append_that_fails_a_deployment_queues_its_rollback_before_those_that_wait(
    handler: Handler, environment: EnvironmentId
) -> None:
    """`web` fails after `api` was renewed; so `api` goes back to its specification of the first deployment."""
    policy = EnvironmentPolicy(on_failure=OnFailure.ROLL_BACK)
    await handler.handle(pipelines.decider, environment, EditEnvironment(policy=policy, concurrency=1), ANN)
    await succeed(handler, await request(handler, environment))
    version = (await handler.states.load(pipelines.decider, environment)).version
    edit = EditService(service="api", spec=ServiceSpec(run="worse"))
    await handler.handle(pipelines.decider, environment, edit, ANN)
    add = AddService(service=ServiceId(new()), name="web", type=ServiceType.APPLICATION, spec=ServiceSpec(run="serve"))
    await handler.handle(pipelines.decider, environment, add, ANN)
    failing, waiting = await request(handler, environment), await request(handler, environment)
    await succeed(handler, failing)
    position = await handler.log.position()
    over = await fail(handler, failing)
    assert (over.state.status, over.state.rolls_back) == (Status.FAILED, True)

    appended = await handler.log.read_all(position)
    undo = repeats.undo_id(failing)
    assert [each.event for each in appended if each.stream == queues.stream(environment)][-3:] == [
        DeploymentRequested(
            deployment=undo, number=4, action=Action.ROLLBACK, actor=ENGINE, pipeline_version=version, undoes=2
        ),
        DeploymentClosed(deployment=failing),
        DeploymentAdmitted(deployment=undo, oldest=3),
    ]
    assert [each.deployment for each in await open_(handler, environment)] == [undo, waiting]
    rollback = (await handler.states.load(deployments.decider, undo)).state
    assert rollback.plan is not None
    services = [each for stage in rollback.plan.stages for each in stage.services]
    assert [(each.name, each.spec.run, each.is_due, each.source) for each in services] == [("api", "serve", True, 1)]

    over = await fail(handler, undo)
    assert (over.state.status, over.state.rolls_back) == (Status.FAILED, False)
    assert [each.deployment for each in await open_(handler, environment)] == [waiting]


async def test_a_deployment_that_waits_is_cancelled_at_once(handler: Handler, environment: EnvironmentId) -> None:
    first, second = await request(handler, environment), await request(handler, environment)
    assert (await cancel(handler, second)).state.status == Status.CANCELLED
    assert [first] == [each.deployment for each in await open_(handler, environment)]
    with pytest.raises(DeploymentOver):
        await cancel(handler, second)
    with pytest.raises(DeploymentOver):
        await take_up(handler, second)


async def test_a_deployment_that_runs_keeps_its_turn_until_what_runs_has_ended(
    handler: Handler, environment: EnvironmentId
) -> None:
    id_ = await request(handler, environment)
    (step,) = (await take_up(handler, id_)).state.due()
    await transact(handler, lambda transaction: writing.report(transaction, id_, StartStep(worker="worker", step=step)))
    assert (await cancel(handler, id_)).state.status == Status.RUNNING
    assert [id_] == [each.deployment for each in await open_(handler, environment)]


async def fail(handler: Handler, id_: DeploymentId) -> Outcome[deployments.Deployment]:
    """The deployment is taken up, if it is not yet, and its next step fails."""
    step = (await take_up(handler, id_)).state.due()[0]

    async def work(transaction: Transaction) -> DeploymentId:
        await writing.report(transaction, id_, StartStep(worker="worker", step=step))
        return await writing.report(transaction, id_, FailStep(worker="worker", step=step, reason="no"))

    return await transact(handler, work)


async def succeed(handler: Handler, id_: DeploymentId) -> None:
    """The deployment is taken up, and its next step succeeds."""
    step = (await take_up(handler, id_)).state.due()[0]

    async def work(transaction: Transaction) -> DeploymentId:
        await writing.report(transaction, id_, StartStep(worker="worker", step=step))
        return await writing.report(transaction, id_, SucceedStep(worker="worker", step=step, ports=(8000,)))

    await transact(handler, work)


async def test_a_deployment_inherits_the_instances_of_the_last_one_that_ran(
    handler: Handler, environment: EnvironmentId
) -> None:
    first, cancelled, second = [await request(handler, environment, actor) for actor in ("ann", "bob", "eve")]
    await succeed(handler, first)
    await cancel(handler, cancelled)  # it has its turn, but nobody has taken it up
    state = (await take_up(handler, second)).state
    [instance] = state.inherited.values()
    assert (instance.deployment, instance.number, instance.ports) == (first, 1, (8000,))
    again = await take_up(handler, second)
    assert not again.events
    assert again.state.inherited == state.inherited


async def test_the_instances_are_the_same_with_and_without_a_cache(
    handler: Handler, environment: EnvironmentId
) -> None:
    first, second, third = [await request(handler, environment, actor) for actor in ("ann", "bob", "eve")]
    await succeed(handler, first)
    await succeed(handler, second)
    queue = (await handler.states.load(queues.decider, queues.stream(environment))).state
    assert (queue.last, queue.admitted is not None and queue.admitted.deployment) == (second, third)
    new_states, known_states = Handler(handler.log).states, handler.states
    read = await present_instances(Transaction(new_states), queue)
    assert [(second, (8000,))] == [(each.deployment, each.ports) for each in read]
    for states in (new_states, known_states, known_states):
        assert read == await present_instances(Transaction(states), queue)


async def test_requests_for_two_revisions_do_not_merge(handler: Handler, environment: EnvironmentId) -> None:
    await request(handler, environment)
    waiting = [await request(handler, environment, revision=revision) for revision in ("a", "b", "a", None, None)]
    assert len(set(waiting)) == 3
    redeploy = await request(handler, environment, revision="a", action=Action.REDEPLOY)
    assert redeploy not in waiting


@pytest.mark.parametrize("revision", ["", "  ", "a\nb", "x" * 201, "\ud800"])
async def test_a_revision_that_is_no_line_is_refused(
    handler: Handler, environment: EnvironmentId, revision: str
) -> None:
    with pytest.raises(InvalidArgument):
        await request(handler, environment, revision=revision)
    await request(handler, environment, revision="x" * 200)


async def test_a_deployment_that_is_not_there_is_not_found(handler: Handler) -> None:
    nowhere = DeploymentId(new())
    for work in (take_up, cancel):
        with pytest.raises(Refused) as refused:
            await work(handler, nowhere)
        assert DeploymentNotFound(deployment=str(nowhere)) == refused.value


async def test_a_request_for_a_target_that_the_server_lacks_is_refused(
    handler: Handler, environment: EnvironmentId
) -> None:
    over = await request(handler, environment)
    await take_up(handler, over)

    async def deploy(transaction: Transaction) -> DeploymentId:
        targets = frozenset({Target.DOCKER})
        return await requests.request(transaction, environment, DeploymentId(new()), "ann", targets=targets)

    async def roll_back(transaction: Transaction) -> DeploymentId:
        targets = frozenset({Target.DOCKER})
        new_id = DeploymentId(new())
        return await requests.repeat(transaction, over, new_id, "ann", Action.ROLLBACK, targets=targets)

    with pytest.raises(TargetUnavailable, match="does not offer target PROCESS; it offers DOCKER"):
        await transact(handler, deploy)
    for effect in (Effect.START, Effect.RESTART, Effect.STOP, Effect.DELETE):
        acting = partial(requests.act, environment=environment, deployment=DeploymentId(new()), actor="ann")
        with pytest.raises(TargetUnavailable):
            await transact(handler, partial(acting, effect=effect, targets=frozenset({Target.DOCKER})))
    await cancel(handler, over)
    with pytest.raises(TargetUnavailable):
        await transact(handler, roll_back)


@pytest.mark.parametrize("is_document", [False, True])
async def test_a_target_is_changed_only_when_nothing_is_left_on_the_old_one(
    handler: Handler, environment: EnvironmentId, is_document: bool
) -> None:
    async def change(transaction: Transaction, targets: Targets = ALL_TARGETS) -> EnvironmentId:
        if is_document:
            now = await application.pipeline.existing(transaction, environment)
            wanted = replace(now, target=Target.DOCKER)
            await application.pipeline.replace(transaction, environment, wanted, targets)
            return environment
        command = EditEnvironment(target=Target.DOCKER)
        return await application.environment.edit(transaction, environment, command, targets)

    async def rehearse(targets: Targets = ALL_TARGETS) -> Target:
        work = partial(change, targets=targets)
        return (await handler.transact(work, pipelines.decider, ANN, dry_run=True)).state.target

    assert await rehearse() is Target.DOCKER
    running = await request(handler, environment)
    with pytest.raises(EnvironmentBusy, match="Deployment 1 "):
        await rehearse()
    await succeed(handler, running)
    for effect in (Effect.STOP, Effect.DELETE):
        with pytest.raises(InvalidArgument, match=r"'api' would be left on PROCESS: delete .* delete-instances"):
            await rehearse()
        assert await rehearse(Targets({Target.DOCKER})) is Target.DOCKER
        acting = partial(requests.act, environment=environment, deployment=DeploymentId(new()), actor="ann")
        acted = await transact(handler, partial(acting, effect=effect))
        await succeed(handler, DeploymentId(acted.subject.stream))
    assert await rehearse() is Target.DOCKER
