"""Projects, environments and deployments: one of them, or a page of a list."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from application import request as requests
from application.handler import Handler, Transaction
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment.queue import Action, DeploymentId
from domain.deployment.step import Status
from domain.errors import InvalidArgument
from domain.pipeline.environment import CreateEnvironment, DeleteEnvironment, EditEnvironment
from domain.pipeline.ref import StageId
from domain.project import CreateProject, EnvironmentId, ProjectId
from projections.deployment import DeploymentQuery, Deployments, DeploymentSummary
from projections.engine.projector import Projector
from projections.engine.views import Page, Slice
from projections.environment import EnvironmentQuery, Environments
from projections.project import Projects
from projections.sqlite.views import SqliteViews
from store import ids
from store.memory import MemoryLog
from tests.projections.world import BY, PROJECTIONS, RandomWorld


class ReadModels:
    """A log whose read models are up to date after every change."""

    def __init__(self, views: SqliteViews) -> None:
        self.log = MemoryLog()
        self.views = views
        self.handler = Handler(self.log)
        self.projector = Projector(self.log, views, PROJECTIONS)

    async def settle(self) -> None:
        await self.projector.wait_for(await self.log.position(), timeout=60)

    async def project(self, name: str) -> ProjectId:
        id_ = ProjectId(ids.new())
        await self.handler.handle(projects.decider, id_, CreateProject(name=name), BY)
        await self.settle()
        return id_

    async def environment(self, project: ProjectId, name: str) -> EnvironmentId:
        id_ = EnvironmentId(ids.new())
        stages = (StageId(ids.new()), StageId(ids.new()), StageId(ids.new()), StageId(ids.new()))
        command = CreateEnvironment(project=project, name=name, stages=stages)
        await self.handler.handle(pipelines.decider, id_, command, BY)
        await self.settle()
        return id_

    async def deploy(self, environment: EnvironmentId, actor: str) -> DeploymentId:
        id_ = DeploymentId(ids.new())

        async def work(transaction: Transaction) -> UUID:
            return await requests.request(transaction, environment, id_, actor)

        await self.handler.transact(work, deployments.decider, BY)
        await self.settle()
        return id_


@pytest.fixture
async def models(views: SqliteViews) -> AsyncIterator[ReadModels]:
    models = ReadModels(views)
    await models.projector.start()
    yield models
    await models.projector.stop()


async def test_projects_are_found_and_listed_by_name_whatever_its_case(models: ReadModels) -> None:
    known = {name: await models.project(name) for name in ("beta", "Alpha", "ÄRGER", "Zeta", "alpine")}
    shown = Projects(models.views)
    page = await shown.list()
    assert [edge.node.name for edge in page.edges] == ["Alpha", "alpine", "beta", "Zeta", "ÄRGER"]
    assert [edge.node.id for edge in page.edges] == [known[edge.node.name] for edge in page.edges]
    assert await shown.get(known["beta"]) == page.edges[2].node
    assert await shown.get(ProjectId(UUID(int=1))) is None
    some = await shown.list(Slice(first=2, after=page.edges[1].cursor))
    assert some == Page(edges=page.edges[2:4], has_previous=True, has_next=True)


async def test_an_environment_that_was_deleted_leaves_the_list_and_can_still_be_found(models: ReadModels) -> None:
    shop, other = await models.project("shop"), await models.project("other")
    staging, live = await models.environment(shop, "Staging"), await models.environment(shop, "live")
    await models.environment(other, "live")
    shown = Environments(models.views)
    assert [edge.node.id for edge in (await shown.list(shop)).edges] == [live, staging]
    await models.handler.handle(pipelines.decider, staging, EditEnvironment(name="canary"), BY)
    await models.settle()
    assert [edge.node.name for edge in (await shown.list(shop)).edges] == ["canary", "live"]
    await models.handler.handle(pipelines.decider, staging, DeleteEnvironment(), BY)
    await models.settle()
    assert [edge.node.id for edge in (await shown.list(shop)).edges] == [live]
    gone = await shown.get(staging)
    assert gone is not None
    assert (gone.name, gone.is_deleted, gone.version) == ("canary", True, 7)
    with_deleted = await shown.list(shop, query=EnvironmentQuery(has_deleted=True))
    assert [edge.node.id for edge in with_deleted.edges] == [staging, live]


async def test_environments_of_all_projects_are_listed_by_the_beginning_of_their_name(models: ReadModels) -> None:
    known = []
    for name in ("shop", "other"):
        project = await models.project(name)
        known.append([await models.environment(project, each) for each in ("live", "Staging", "stage 2")])
    shown = Environments(models.views)
    page = await shown.list(None, query=EnvironmentQuery(prefix="STA"))
    assert [edge.node.id for edge in page.edges] == [known[0][2], known[1][2], known[0][1], known[1][1]]
    rest = await shown.list(None, Slice(first=2, after=page.edges[1].cursor), EnvironmentQuery(prefix="STA"))
    assert rest.edges == page.edges[2:]
    assert len((await shown.list(None)).edges) == 6


async def test_deployments_are_found_by_status_action_actor_and_time(models: ReadModels) -> None:
    world = RandomWorld(models.log)
    await world.begin()
    environment = world.environments[0]
    for number in range(6):
        await models.deploy(environment, f"actor {number}")
    shown = Deployments(models.views, models.log)
    whole = [edge.node for edge in (await shown.list(environment)).edges]

    async def found(**query: Any) -> list[DeploymentSummary]:
        (page,) = await shown.list_narrowed([environment], Slice(), DeploymentQuery(**query))
        return [edge.node for edge in page.edges]

    assert await found() == whole
    statuses = {each.status for each in whole}
    assert len(statuses) == 1
    assert await found(statuses=frozenset(statuses), actions=frozenset(Action)) == whole
    assert await found(statuses=frozenset(Status) - statuses) == []
    assert await found(statuses=frozenset()) == []
    assert await found(actors=frozenset({whole[0].actor})) == whole
    assert await found(actors=frozenset({"nobody"})) == []
    assert await found(since=whole[2].requested_at) == whole[:3]
    assert await found(until=whole[2].requested_at, actions=frozenset(Action)) == whole[2:]
    with pytest.raises(InvalidArgument, match="101 combinations; at most 100"):
        await found(actors=frozenset(map(str, range(101))))


async def test_deployments_are_listed_newest_first(models: ReadModels) -> None:
    world = RandomWorld(models.log)
    await world.begin()
    environment = world.environments[0]
    known = [await models.deploy(environment, f"actor {number}") for number in range(12)]
    shown = Deployments(models.views, models.log)
    page = await shown.list(environment)
    assert [edge.node.number for edge in page.edges] == list(range(12, 0, -1))
    assert [edge.node.id for edge in page.edges] == known[::-1]
    assert await shown.list(environment, Slice(last=2)) == Page(edges=page.edges[-2:], has_previous=True)
    assert await shown.get(known[3]) == await shown.read(known[3]) == page.edges[8].node
    assert await shown.get(DeploymentId(environment)) is await shown.read(DeploymentId(environment)) is None
