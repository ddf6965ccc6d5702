"""The page of a deployment after reloads, crashes of the server and restarts of a proxy: each event once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import OpenPage, World
from tests.forwarding import Forwarding, forwarding
from tests.serving import Serving

pytestmark = pytest.mark.long

DEPLOY = "mutation ($id: ID!) { deploy(environment: $id) { ... on DeploymentPayload { deployment { id } } } }"
EVENTS = "query ($id: ID!) { deploymentEvents(deployment: $id, first: 500) { nodes { version } } }"

STEPS = 12
"""Number of jobs, of which each gives several events."""


@pytest.fixture
def proxy(server: Serving) -> Iterator[Forwarding]:
    with forwarding(server.url) as running:
        yield running


def deployed(world: World, gate: Path) -> str:
    """Deploy jobs, of which the last ones wait for *gate*."""
    for number in range(STEPS):
        wait = f"until [ -e {gate} ]; do sleep 0.05; done; " if number >= STEPS // 2 else ""
        world.add(f"Job {number}", "JOB", f"{wait}sleep 0.{number}")
    made: str = world.server.execute(DEPLOY, id=world.id)["deploy"]["deployment"]["id"]
    return made


def check(page: Page, world: World, deployment: str) -> None:
    """Check that the page has each event once, in order."""
    expect(page.locator(".deployment > header .status")).to_have_text("succeeded")
    stored = world.server.execute(EVENTS, id=deployment)["deploymentEvents"]["nodes"]
    expect(page.locator("[data-event]").last).to_have_attribute("data-event", str(stored[-1]["version"]))
    drawn = page.locator("[data-event]").evaluate_all("all => all.map((each) => Number(each.dataset.event))")
    assert drawn == [event["version"] for event in stored]
    page.get_by_role("link", name="Stages").click()
    expect(page.locator(".lane.succeeded")).to_have_count(4)
    expect(page.locator(".lane .status.succeeded")).to_have_count(4 + 4 + STEPS)


TALL = {"width": 1000, "height": 2600}
"""Size of a window in which all events are drawn."""


@pytest.mark.parametrize("jobs", [0, 3, 6])
def test_a_killed_server_loses_and_doubles_no_event(open_page: OpenPage, world: World, jobs: int) -> None:
    gate = world.server.folder / f"killed-{jobs}"
    deployment = deployed(world, gate)
    page = open_page(f"/deployments/{deployment}/events", viewport=TALL)
    if jobs:
        expect(page.get_by_text(f"Job {jobs - 1}: deployed")).to_be_visible()
    world.server.kill()
    gate.touch()
    world.server.start()
    check(page, world, deployment)


def test_a_reload_loses_and_doubles_no_event(open_page: OpenPage, world: World) -> None:
    gate = world.server.folder / "reloaded"
    deployment = deployed(world, gate)
    page = open_page(f"/deployments/{deployment}/events", viewport=TALL)
    page.reload()
    expect(page.get_by_text("Job 1: deployed")).to_be_visible()
    page.reload()
    gate.touch()
    page.reload()
    check(page, world, deployment)


def test_a_restarted_proxy_loses_and_doubles_no_event(open_page: OpenPage, world: World, proxy: Forwarding) -> None:
    gate = world.server.folder / "proxied"
    deployment = deployed(world, gate)
    page = open_page(f"/deployments/{deployment}/events", proxy.origin, viewport=TALL)
    for job in (1, 4):
        expect(page.get_by_text(f"Job {job}: deployed")).to_be_visible()
        proxy.is_away = True
        proxy.cut()
        expect(page.get_by_text("Connection lost")).to_be_visible()
        gate.touch()
        proxy.is_away = False
        expect(page.get_by_text("Connection lost")).to_have_count(0)
    check(page, world, deployment)
