"""Roles: the page offers what the person may do, and says of the rest which role it needs."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import FIRST, ORDER, SECOND, OpenPage, World, card, column, token_of
from tests.console.test_deployment import deploy, status

pytestmark = pytest.mark.long

NEEDS_DEPLOYER = "This needs the role deployer here, and you are viewer."
NEEDS_EDITOR = "This needs the role editor here, and you are"


def place(world: World) -> tuple[str, ...]:
    return ("--project", "Shop", "--environment", world.name)


@pytest.fixture
def viewer(open_page: OpenPage, world: World) -> Page:
    """The board, for somebody who may only look at its environment."""
    page = open_page(f"/environments/{world.id}", token=token_of(world.server, "vera", "viewer", *place(world)))
    expect(card(page, "DB")).to_be_visible()
    return page


def refused(control: Locator, why: str) -> None:
    expect(control).to_be_disabled()
    expect(control).to_have_attribute("title", re.compile(f"^{re.escape(why)}"))


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def version(world: World) -> int:
    found: int = world.server.execute(ORDER, id=world.id)["pipeline"]["version"]
    return found


def test_a_viewer_sees_the_board_and_can_change_nothing(viewer: Page, world: World) -> None:
    before = version(world)
    for name in ("Deploy …", "Act …"):
        refused(button(viewer, name), NEEDS_DEPLOYER)
    for name in ("New stage", "Policy …", f"Actions for stage {FIRST}"):
        refused(button(viewer, name), NEEDS_EDITOR)
    button(viewer, "Actions for Backend").click()
    for item in viewer.get_by_role("menuitem").all():
        refused(item, NEEDS_EDITOR)
    viewer.keyboard.press("Escape")
    expect(viewer.get_by_role("menu")).to_have_count(0)

    card(viewer, "Backend").drag_to(column(viewer, SECOND))
    card(viewer, "Backend").locator(".name").dblclick()
    column(viewer, FIRST).locator(".head").dblclick()
    expect(viewer.get_by_label("Name of the")).to_have_count(0)
    viewer.locator('[data-service]:has([title="Backend"])').focus()
    for key in ("Space", "F2", "Enter", "Delete"):
        viewer.keyboard.press(key)
    expect(viewer.locator("[aria-live]").filter(has_text=NEEDS_EDITOR)).to_have_count(1)
    for key in ("a", "n", "d", "u"):
        viewer.keyboard.press(key)
    expect(viewer.get_by_role("dialog")).to_have_count(0)
    expect(viewer.locator(".lifted")).to_have_count(0)

    viewer.keyboard.press("Control+k")
    expect(viewer.get_by_role("option").filter(has_text="Backend")).to_be_visible()
    for name in ("Deploy …", "New stage …", "Policy of the environment …", "Restart what runs …"):
        expect(viewer.get_by_role("option").filter(has_text=name)).to_have_count(0)
    viewer.keyboard.press("Escape")
    viewer.keyboard.press("?")
    expect(viewer.get_by_role("dialog")).to_contain_text("Walk")
    expect(viewer.get_by_role("dialog")).not_to_contain_text("Lift")
    viewer.keyboard.press("Escape")
    assert (version(world), world.order()[SECOND]) == (before, [])


def test_a_viewer_reads_variables_secrets_and_the_history_and_can_change_none(viewer: Page, world: World) -> None:
    world.set_variable("LEVEL", "debug")
    viewer.get_by_role("link", name="Variables").click()
    for name in ("Edit LEVEL", "Delete LEVEL"):
        refused(button(viewer, name), NEEDS_EDITOR)
    for name in ("New variable", "New secret"):
        for each in button(viewer, name).all():
            refused(each, "This needs the role editor here, and you")
    viewer.get_by_role("link", name="History").click()
    viewer.get_by_role("slider").press("ArrowLeft")
    newest = version(world)
    expect(viewer.get_by_role("heading", name=f"Version {newest - 1} of {newest}")).to_be_visible()
    refused(button(viewer, "Restore …"), NEEDS_EDITOR)
    expect(viewer.get_by_label("Stage or service").get_by_role("option", name="Backend")).to_have_count(1)
    viewer.get_by_role("link", name="Stageline: all environments").click()
    refused(button(viewer, "New project"), "This needs the role editor here, and you have none.")
    refused(button(viewer, "New environment in Shop"), "This needs the role editor here, and you have none.")


def test_a_deployer_deploys_and_can_not_edit(open_page: OpenPage, world: World) -> None:
    token = token_of(world.server, "dora", "deployer", *place(world))
    page = open_page(f"/environments/{world.id}", token=token)
    before = version(world)
    expect(card(page, "DB")).to_be_visible()
    refused(button(page, "New stage"), NEEDS_EDITOR)
    card(page, "Backend").drag_to(column(page, SECOND))
    deploy(page)
    status(page, "succeeded")
    expect(button(page, "Roll back to this …")).to_be_enabled()
    page.get_by_role("link", name="Board").click()
    button(page, "Actions for DB").click()
    expect(page.get_by_role("menuitem", name="Restart …")).not_to_have_attribute("aria-disabled", "true")
    refused(page.get_by_role("menuitem", name="Remove …"), NEEDS_EDITOR)
    assert version(world) == before


def test_a_viewer_of_a_deployment_can_not_decide_about_it(open_page: OpenPage, viewer: Page, world: World) -> None:
    world.add("Wait", "JOB", "sleep 600")
    page = open_page(f"/environments/{world.id}")
    deploy(page)
    viewer.get_by_role("link", name="Deployment #1").click()
    for name in ("Hold …", "Cancel …"):
        refused(button(viewer, name), NEEDS_DEPLOYER)
    button(page, "Cancel …").click()
    page.get_by_role("menuitem", name="Stop running steps now").click()
    button(page, "Stop it now").click()
    status(viewer, "cancelled")
    for name in ("Retry …", "Roll back to this …"):
        refused(button(viewer, name), NEEDS_DEPLOYER)


def test_an_editor_of_an_environment_edits_it_and_not_its_project(open_page: OpenPage, world: World) -> None:
    token = token_of(world.server, "emil", "editor", *place(world))
    page = open_page(f"/environments/{world.id}", token=token)
    expect(card(page, "Backend")).to_be_visible()
    card(page, "Backend").drag_to(column(page, SECOND))
    expect(card(column(page, SECOND), "Backend")).to_be_visible()
    page.get_by_role("link", name="Variables").click()
    own, shared = (page.get_by_role("region", name=name) for name in ("This environment", "All environments of Shop"))
    expect(own.get_by_role("button", name="New variable")).to_be_enabled()
    refused(shared.get_by_role("button", name="New variable"), "This needs the role editor here, and you have none.")
    page.keyboard.press("n")
    page.get_by_label("Name").fill("LEVEL")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(button(page, "Edit LEVEL")).to_be_enabled()
    assert world.order()[SECOND] == ["Backend"]


def test_a_role_that_changes_changes_the_open_page(open_page: OpenPage, world: World) -> None:
    world.server.stageline("role", "grant", "rosa", "editor", *place(world))
    page = open_page(f"/environments/{world.id}", token=token_of(world.server, "rosa", None))
    expect(card(page, "DB")).to_be_visible()
    button(page, "New stage").click()
    page.get_by_label("Name").fill("more")
    world.server.stageline("role", "grant", "rosa", "viewer", *place(world))
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    said = f"This needs the role editor on environment 'Shop/{world.name}', and you are viewer."
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(said)
    page.keyboard.press("Escape")
    expect(button(page, "New stage")).to_be_disabled()
    refused(button(page, "New stage"), NEEDS_EDITOR)
    world.server.stageline("role", "grant", "rosa", "deployer", *place(world))
    expect(button(page, "Deploy …")).to_be_enabled()
