"""Projects, environments and deployments: one of them, or a page of a list."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from application import deployment as requests
from application.handler import Handler, Transaction
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment.queue import DeploymentId
from domain.pipeline.environment import CreateEnvironment, DeleteEnvironment, EditEnvironment
from domain.pipeline.ref import StageId
from domain.project import CreateProject, EnvironmentId, ProjectId
from projections.deployment import Deployments
from projections.engine.projector import Projector
from projections.engine.views import Page, Slice
from projections.environment import Environments
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
