"""References between services on the board, and the moves that would break them."""

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import FIRST, LAST, SECOND, THIRD, OpenPage, World, card, column

pytestmark = pytest.mark.long

ADD = """
mutation ($environment: ID!, $name: String!, $type: ServiceType!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: $name, type: $type, spec: $spec) { __typename }
}
"""
WHY = "Service 'API' refers to services['Store'].url in env STORE, but 'Store' stands in the same stage"


@pytest.fixture
def needing(open_page: OpenPage, world: World) -> Page:
    """The board of an environment in which API needs Store."""
    for name, type_, spec in [
        ("Store", "DATABASE", {"runCommand": "exec sleep 3600", "ports": [0]}),
        (
            "API",
            "APPLICATION",
            {"runCommand": "exec sleep 3600", "env": [{"name": "STORE", "value": "${{ services['Store'].url }}"}]},
        ),
    ]:
        world.server.execute(ADD, environment=world.id, name=name, type=type_, spec=spec)
    page = open_page(f"/environments/{world.id}")
    expect(card(page, "API")).to_contain_text("Needs Store")
    return page


def test_a_card_shows_whom_it_needs_and_who_needs_it(needing: Page) -> None:
    card(needing, "API").hover()
    expect(card(needing, "Store")).to_have_attribute("data-relation", "API needs it")
    card(needing, "Store").hover()
    expect(card(needing, "API")).to_have_attribute("data-relation", "needs Store")
    card(needing, "Backend").hover()
    expect(needing.locator("[data-relation]")).to_have_count(0)
    needing.mouse.move(0, 0)
    needing.locator("[data-service]").filter(has_text="API").focus()
    expect(card(needing, "Store")).to_have_attribute("data-relation", "API needs it")
    needing.keyboard.press("Enter")
    expect(needing.get_by_role("dialog")).to_contain_text("Needs Store.")
    needing.keyboard.press("Escape")
    needing.locator("[data-service]").filter(has_text="Store").first.focus()
    needing.keyboard.press("Delete")
    expect(needing.get_by_role("dialog", name="Remove Store?")).to_contain_text("Needed by API.")


def test_a_name_follows_a_service_that_is_renamed(needing: Page, world: World) -> None:
    world.do("editService", service="Store", name="Shelf")
    expect(card(needing, "API")).to_contain_text("Needs Shelf")


def test_a_drop_that_would_break_a_need_says_how_to_mend_it(needing: Page, world: World) -> None:
    needing.locator("[data-service]").filter(has_text="API").focus()
    needing.keyboard.press("Space")
    for _ in range(2):
        needing.keyboard.press("ArrowLeft")
    expect(column(needing, SECOND).locator(".hint")).to_have_text("API will deploy after DB and Store.")
    needing.keyboard.press("ArrowLeft")
    hint = column(needing, FIRST).locator(".hint")
    expect(hint).to_contain_text("This move would be refused.")
    expect(hint).to_contain_text(WHY)
    expect(hint).to_contain_text("move 'API' to stage 'JOB DEFAULT'")
    expect(needing.locator("[data-said]")).to_contain_text(WHY)
    needing.keyboard.press("Enter")
    expect(needing.get_by_role("list", name="Notices")).to_contain_text(WHY)
    expect(card(column(needing, LAST), "API")).to_be_visible()
    assert "API" in world.order()[LAST]


def test_a_stage_that_would_break_a_need_says_so_too(needing: Page, world: World) -> None:
    column(needing, FIRST).locator(".head").focus()
    needing.keyboard.press("Space")
    for _ in range(2):
        needing.keyboard.press("ArrowRight")
    expect(column(needing, THIRD).locator(".hint")).to_have_text("It becomes stage 3.")
    needing.keyboard.press("ArrowRight")
    expect(column(needing, LAST).locator(".hint")).to_contain_text("'Store' stands in the later stage")
    needing.keyboard.press("Escape")
    assert next(iter(world.order())) == FIRST


def test_a_card_over_a_stage_that_it_can_not_go_to_says_so(needing: Page) -> None:
    card(needing, "Store").hover()
    needing.mouse.down()
    place = column(needing, LAST).bounding_box()
    assert place is not None
    for step in (50, 60):
        needing.mouse.move(place["x"] + step, place["y"] + step, steps=3)
    expect(column(needing, LAST).locator(".hint")).to_contain_text(WHY)
    needing.mouse.up()
    expect(needing.get_by_role("list", name="Notices")).to_contain_text(WHY)
    expect(card(column(needing, FIRST), "Store")).to_be_visible()
