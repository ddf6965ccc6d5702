"""The durations of an environment's deployments and of each service, as charts."""

import re

import pytest
from playwright.sync_api import expect

from tests.console.conftest import OpenPage, World
from tests.waiting import wait_until

pytestmark = pytest.mark.long

DEPLOY = "mutation ($id: ID!) { deploy(environment: $id) { ... on DeploymentPayload { deployment { id } } } }"
DURATION = "query ($id: ID!) { deployment(id: $id) { durationSeconds } }"


def deployed(world: World) -> float:
    """Deploy *world*, and return how long that took, in seconds."""
    made = world.server.execute(DEPLOY, id=world.id)["deploy"]["deployment"]["id"]

    def took() -> float | None:
        found: float | None = world.server.execute(DURATION, id=made)["deployment"]["durationSeconds"]
        return found

    wait_until(took, "the deployment ends")
    return took() or 0.0


def test_trends_show_how_long_each_deployment_and_service_took(open_page: OpenPage, world: World) -> None:
    flag = world.server.folder / "slow"
    world.add("Migrations", "JOB", f"if [ -e {flag} ]; then sleep 2; exit 3; fi")
    durations = [deployed(world)]
    page = open_page(f"/environments/{world.id}/trends")
    whole = page.get_by_role("img", name=re.compile("^Deployments: 1 deployments"))
    expect(whole.locator("rect.succeeded")).to_have_count(1)
    flag.touch()
    durations.append(deployed(world))
    whole = page.get_by_role("img", name=re.compile("^Deployments: 2 deployments"))
    expect(whole.locator("rect.failed")).to_have_count(1)
    expect(page.locator(".whole .numbers")).to_contain_text(f"last {durations[1]:.1f} s")
    heights = whole.locator("rect:not(.hit)").evaluate_all("all => all.map((each) => each.height.baseVal.value)")
    assert heights[1] / heights[0] == pytest.approx(durations[1] / durations[0], rel=0.01)
    services = page.locator(".trends li")
    expect(services).to_have_count(5)
    expect(services.first).to_contain_text("Migrations")
    expect(services.first.locator("rect:not(.hit)")).to_have_count(2)
    expect(services.filter(has_text="Backend").locator("rect:not(.hit)")).to_have_count(1)
    whole.locator("g").last.click()
    expect(page.get_by_role("heading", name="Deployment #2")).to_be_visible()


def test_an_environment_without_deployments_has_no_trends(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/environments/{world.id}/trends")
    expect(page.get_by_text("No deployment has ended yet.")).to_be_visible()
