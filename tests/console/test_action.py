"""Restart, stop and start from the board, with the plan first."""

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import World, card
from tests.console.test_deployment import deploy, status

pytestmark = pytest.mark.long


def choose(page: Page, menu: str, item: str) -> None:
    page.get_by_role("button", name=menu).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def confirm(page: Page, button: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()
    status(page, "succeeded")
    page.get_by_role("link", name="Board").click()


def test_a_service_and_the_environment_are_stopped_restarted_and_started(board: Page, world: World) -> None:
    world.add("Migrate", "JOB", "true")
    expect(card(board, "Migrate")).to_be_visible()
    board.get_by_role("button", name="Actions for DB").click()
    expect(board.get_by_role("menuitem", name="Stop …")).to_have_count(0)  # nothing was deployed yet
    board.keyboard.press("Escape")
    deploy(board)
    status(board, "succeeded")
    board.get_by_role("link", name="Board").click()

    choose(board, "Actions for DB", "Stop …")
    dialog = board.get_by_role("dialog", name="Stop DB")
    expect(dialog.get_by_role("list", name="Order")).to_contain_text("DB")
    expect(dialog.get_by_role("list", name="Order")).not_to_contain_text("Backend")
    confirm(board, "Stop")
    expect(card(board, "DB")).to_contain_text("stopped #2")

    choose(board, "Act …", "Restart …")
    order = board.get_by_role("dialog", name="Restart the environment").get_by_role("list", name="Order")
    expect(order).to_contain_text("DB (left out: it is stopped, since deployment 2)")
    expect(order).to_contain_text("Migrate (left out: a job runs only when it is deployed)")
    confirm(board, "Restart")
    expect(card(board, "DB")).to_contain_text("stopped")

    choose(board, "Actions for DB", "Start …")
    confirm(board, "Start")
    expect(card(board, "DB")).to_contain_text("succeeded #4")
    choose(board, "Actions for DB", "Start …")
    expect(board.get_by_role("dialog")).to_contain_text("DB (left out: it runs already, since deployment 4)")
