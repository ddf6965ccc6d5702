"""The insights of an environment and of its project, as figures, a chart and tables."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import OpenPage, World, token_of
from tests.console.test_trend import deployed

pytestmark = pytest.mark.long

SECONDS = re.compile(r"^\d\.\d s$")


def figure(page: Page, name: str) -> str:
    return page.locator(".insights dl > div", has=page.get_by_text(name, exact=True)).inner_text()


def test_insights_show_figures_a_chart_and_flaky_steps_and_follow_deployments(
    open_page: OpenPage, world: World
) -> None:
    flag = world.server.folder / f"broken {world.name}"
    flag.touch()
    world.add("Migrations", "JOB", f"[ ! -e '{flag}' ]")
    deployed(world)
    page = open_page(f"/environments/{world.id}/insights")
    expect(page.get_by_role("img", name="Changes by day: 0 delivered, 1 failed or rolled back")).to_be_visible()
    assert "100.0 %" in figure(page, "Change failure rate")
    assert "1 still broken" in figure(page, "Time to restore")
    flag.unlink()
    deployed(world)
    chart = page.get_by_role("img", name="Changes by day: 1 delivered, 1 failed or rolled back")
    expect(chart.locator("rect.succeeded")).to_have_count(1)
    assert "50.0 %" in figure(page, "Change failure rate")
    assert "1 restored" in figure(page, "Time to restore")
    row = page.get_by_role("region", name="Services").get_by_role("row").filter(has_text="Migrations")
    expect(row.get_by_role("cell")).to_have_text(["deploy", "2", "1", "0", SECONDS, SECONDS])
    page.get_by_text("As a table").click()
    expect(page.get_by_role("table").first.get_by_role("row")).to_have_count(2)


def test_the_window_and_the_place_are_in_the_address(open_page: OpenPage, world: World) -> None:
    deployed(world)
    page = open_page(f"/environments/{world.id}/insights")
    page.get_by_label("Window").select_option("7")
    page.get_by_role("combobox", name="Of", exact=True).select_option("project")
    expect(page.locator(".insights dl")).to_be_visible()
    assert page.url.endswith("?days=7&of=project")
    page.reload()
    expect(page.get_by_label("Window")).to_have_value("7")
    expect(page.get_by_role("combobox", name="Of", exact=True)).to_have_value("project")


def test_an_environment_without_deployments_has_no_insights(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/environments/{world.id}/insights")
    expect(page.get_by_text("No deployment has ended in the last 30 days.")).to_be_visible()


def test_a_viewer_of_one_environment_cannot_choose_the_project(open_page: OpenPage, world: World) -> None:
    deployed(world)
    token = token_of(world.server, "vic", "viewer", "--project", "Shop", "--environment", world.name)
    page = open_page(f"/environments/{world.id}/insights", token=token)
    expect(page.locator(".insights dl")).to_be_visible()
    option = page.get_by_role("combobox", name="Of", exact=True).locator("option").nth(1)
    expect(option).to_be_disabled()
    expect(option).to_have_attribute("title", "This needs the role viewer here, and you have none.")
