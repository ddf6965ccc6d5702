"""The history: every change, newest first, and filters in the address."""

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import SECOND, OpenPage, World

pytestmark = pytest.mark.long


@pytest.fixture
def page(open_page: OpenPage, world: World) -> Page:
    page = open_page(f"/environments/{world.id}/history")
    expect(page.get_by_text("Frontend added")).to_be_visible()
    return page


def test_a_change_appears_at_once_with_its_author_and_reason(page: Page, world: World) -> None:
    world.do("moveService", service="DB", stage=SECOND, reason="it <b>needs</b> them")
    newest = page.locator(".history > ul > li").first
    expect(newest).to_contain_text("DB moved")
    expect(newest).to_contain_text("it <b>needs</b> them")
    expect(newest).to_contain_text("admin with the API")


def test_the_filters_are_in_the_address(page: Page, world: World) -> None:
    page.get_by_label("Search the history").fill("Rabbitmq")
    rows = page.locator(".history > ul > li")
    expect(rows).to_have_count(2)
    page.get_by_label("Made with").select_option("CONSOLE")
    expect(page.get_by_text("No change fits.")).to_be_visible()
    assert page.url.endswith("/history?text=Rabbitmq&origin=CONSOLE")
    page.reload()
    expect(page.get_by_text("No change fits.")).to_be_visible()
    page.get_by_label("Made with").select_option("")
    expect(rows).to_have_count(2)
    world.do("moveService", service="Rabbitmq", stage=SECOND)
    expect(rows).to_have_count(3)


def test_older_changes_are_read_when_asked(open_page: OpenPage, world: World) -> None:
    for number in range(45):
        world.do("createStage", name=f"stage {number}")
    page = open_page(f"/environments/{world.id}/history")
    rows = page.locator(".history > ul > li")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Older changes").click()
    expect(page.get_by_text("stage 0 created")).to_be_visible()
    expect(page.locator(".version").last).to_have_text("v1")
    assert len(set(page.locator(".version").all_inner_texts())) == rows.count()
