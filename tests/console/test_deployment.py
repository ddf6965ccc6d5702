"""Deployments: the plan first, then the live view, until the end."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import FIRST, LAST, OpenPage, World, card

pytestmark = pytest.mark.long

UNTIL_IT_MAY = "until [ -e may-end ]; do sleep 0.1; done"


def deploy(page: Page) -> None:
    page.get_by_role("button", name="Deploy …").click()
    page.get_by_role("dialog").get_by_role("button", name="Deploy", exact=True).click()
    expect(page.get_by_role("heading", name="Deployment #1")).to_be_visible()


def lane(page: Page, stage: str) -> Locator:
    return page.locator(".lane").filter(has=page.get_by_role("heading", name=stage, exact=True))


def status(page: Page, text: str) -> None:
    expect(page.locator(".deployment > header .status")).to_have_text(text)


def test_the_plan_comes_before_the_deployment(board: Page, world: World) -> None:
    world.do("skipService", service="Frontend")
    expect(card(board, "Frontend")).to_contain_text("skipped")
    board.get_by_role("button", name="Deploy …").click()
    plan = board.get_by_role("list", name="Order")
    expect(plan).to_contain_text("Frontend (skipped)")
    names = plan.locator("> li > ul > li").all_inner_texts()
    assert names == ["DB", "nothing to deploy", "Rabbitmq", "Backend", "Frontend (skipped)"]
    board.get_by_role("button", name="Cancel").click()
    found = world.server.execute(
        "query ($id: ID!) { deployments(environment: $id) { edges { node { id } } } }", id=world.id
    )
    assert found["deployments"]["edges"] == []


def test_a_deployment_is_watched_to_its_end(board: Page, world: World) -> None:
    world.add("Wait", "JOB", UNTIL_IT_MAY.replace("may-end", str(world.server.folder / "may-end")))
    expect(card(board, "Wait")).to_be_visible()
    deploy(board)
    expect(lane(board, FIRST)).to_have_class("lane succeeded")
    expect(lane(board, "JOB DEFAULT")).to_contain_text("deploying")
    status(board, "running")
    expect(board).to_have_title(f"▶ #1 · {world.name} · Stageline")
    expect(board.locator("link[rel=icon]")).to_have_attribute("href", re.compile("running"))
    board.reload()
    status(board, "running")
    world.server.kill()
    world.server.start()
    (world.server.folder / "may-end").touch()
    status(board, "succeeded")
    expect(board).to_have_title(f"✓ #1 · {world.name} · Stageline")
    for stage in (FIRST, LAST):
        expect(lane(board, stage)).to_have_class("lane succeeded")
    expect(board.locator(".timeline li")).to_have_count(5)
    board.get_by_role("link", name="Board").click()
    expect(card(board, "Wait")).to_contain_text("succeeded")
    expect(board.get_by_role("link", name="Deployment #1 succeeded")).to_be_visible()


def test_a_failure_names_the_step_and_the_reason(board: Page, world: World) -> None:
    world.add("Migrations", "JOB", "exit 3")
    expect(card(board, "Migrations")).to_be_visible()
    deploy(board)
    status(board, "failed")
    expect(board.get_by_role("alert")).to_contain_text("Migrations failed to deploy in stage JOB DEFAULT")
    expect(board).to_have_title(f"✗ #1 · {world.name} · Stageline")
    expect(lane(board, LAST)).to_contain_text("Backend")


@pytest.mark.parametrize(
    ("choice", "ends"), [("Finish running steps, start no more", False), ("Stop running steps now", True)]
)
def test_a_deployment_is_cancelled(board: Page, world: World, choice: str, ends: bool) -> None:
    gate = world.server.folder / f"may-end-{ends}"
    world.add("Wait", "JOB", UNTIL_IT_MAY.replace("may-end", str(gate)))
    expect(card(board, "Wait")).to_be_visible()
    deploy(board)
    expect(lane(board, "JOB DEFAULT")).to_contain_text("deploying")
    board.get_by_role("button", name="Cancel …").click()
    board.get_by_role("menuitem", name=choice).click()
    expect(board.get_by_text("Cancelled by admin")).to_be_visible()
    if not ends:
        status(board, "running")
        gate.touch()
    status(board, "cancelled")
    expect(board.get_by_role("button", name="Cancel …")).to_have_count(0)


def test_the_list_shows_the_newest_deployments_at_once(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/environments/{world.id}/deployments")
    expect(page.get_by_text("Nothing was deployed yet.")).to_be_visible()
    world.do("deploy", reason="the first one")
    row = page.locator(".list > ul > li")
    expect(row).to_contain_text("the first one")
    expect(row).to_contain_text("admin")
    expect(row).to_contain_text("succeeded")
    row.get_by_role("link", name="#1").click()
    expect(page.get_by_role("heading", name="Deployment #1")).to_be_visible()


def test_a_refused_deployment_says_why(open_page: OpenPage, world: World) -> None:
    for name in ("DB", "Rabbitmq", "Backend", "Frontend"):
        world.do("skipService", service=name)
    page = open_page(f"/environments/{world.id}")
    page.get_by_role("button", name="Deploy …").click()
    expect(page.get_by_role("dialog").get_by_role("alert").first).to_contain_text("skipped")
