"""The palette, single keys and their sheet, and light and dark."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import FIRST, SECOND, OpenPage, World, account, card

pytestmark = pytest.mark.long


def palette(page: Page, text: str) -> None:
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Find anything").fill(text)


def test_the_palette_leads_to_any_environment_and_service(board: Page, world: World) -> None:
    other = world.server.execute(
        'mutation ($name: String!) { createEnvironment(project: "Shop", name: $name) '
        "{ ... on PipelinePayload { pipeline { environment { id } } } } }",
        name="The <b>other</b> one",
    )["createEnvironment"]["pipeline"]["environment"]["id"]
    palette(board, "rabbit")
    expect(board.get_by_role("option", name="Rabbitmq Services")).to_have_attribute("aria-selected", "true")
    board.keyboard.press("Enter")
    expect(board.locator("[data-service]:focus")).to_contain_text("Rabbitmq")
    palette(board, "shop other one")
    expect(board.get_by_role("listbox").get_by_role("option")).to_have_text(["Shop / The <b>other</b> oneEnvironments"])
    board.keyboard.press("Enter")
    expect(board).to_have_url(re.compile(f"/environments/{other}$"))
    palette(board, "nothing like this")
    expect(board.get_by_text("Nothing fits.")).to_be_visible()
    board.keyboard.press("Escape")
    expect(board.get_by_role("dialog")).to_have_count(0)


def test_the_palette_does_what_the_page_can_do(board: Page) -> None:
    palette(board, "new st")
    board.get_by_role("option", name="New stage").click()
    board.get_by_label("Name").fill("Checks")
    board.get_by_role("button", name="Create").click()
    expect(board.get_by_role("heading", name="Checks")).to_be_visible()
    palette(board, "undo")
    board.keyboard.press("ArrowDown")
    board.keyboard.press("ArrowUp")
    board.keyboard.press("Enter")
    expect(board.get_by_role("heading", name="Checks")).to_have_count(0)
    palette(board, "history")
    board.keyboard.press("Enter")
    expect(board).to_have_url(re.compile("/history$"))


def test_single_keys_work_and_the_sheet_lists_them(board: Page, world: World) -> None:
    board.keyboard.press("?")
    sheet = board.get_by_role("dialog", name="Keys")
    for text in ("Find anything", "Walk", "New stage …", "Deploy …", "History", "F2"):
        expect(sheet).to_contain_text(text)
    board.keyboard.press("Escape")
    for key, name in [("d", "Deploy"), ("n", "New stage"), ("a", "New service")]:
        board.keyboard.press(key)
        expect(board.get_by_role("dialog", name=name)).to_be_visible()
        board.keyboard.press("Escape")
        expect(board.get_by_role("dialog")).to_have_count(0)
    for key, address in [("3", "/history"), ("2", "/deployments"), ("1", world.id), ("0", "/")]:
        board.keyboard.press(key)
        expect(board).to_have_url(re.compile(re.escape(address) + "$"))
    board.go_back()
    expect(card(board, "DB")).to_be_visible()
    board.keyboard.press("3")
    expect(board.get_by_label("Search the history")).to_be_visible()
    board.keyboard.press("/")
    expect(board.get_by_label("Search the history")).to_be_focused()
    board.keyboard.type("n2?")
    expect(board.get_by_label("Search the history")).to_have_value("n2?")
    expect(board.get_by_role("dialog")).to_have_count(0)


def test_keys_undo_and_walk(board: Page, world: World) -> None:
    card(board, "DB").drag_to(board.locator(".column").nth(1))
    expect(board.get_by_role("button", name="Undo", exact=True)).to_be_visible()
    board.keyboard.press("u")
    expect(board.get_by_role("button", name="Undo", exact=True)).to_have_count(0)
    assert world.order()[FIRST] == ["DB"]
    assert world.order()[SECOND] == []


def test_single_keys_can_be_turned_off(board: Page) -> None:
    account(board, "Keys")
    board.get_by_label("Single keys do something").uncheck()
    board.get_by_role("button", name="Close").click()
    board.reload()
    expect(card(board, "DB")).to_be_visible()
    board.keyboard.press("n")
    board.keyboard.press("Control+k")
    expect(board.get_by_role("dialog", name="Find anything")).to_be_visible()
    expect(board.get_by_role("dialog")).to_have_count(1)


def test_light_and_dark_follow_the_system_unless_one_chooses(open_page: OpenPage) -> None:
    page = open_page("/", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert light != dark
    page.keyboard.press("t")
    assert page.evaluate(ground) == dark
    page.reload()
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    assert page.evaluate(ground) == dark
    account(page, "As the system")
    assert page.evaluate(ground) == light
    account(page, "Dark")
    assert page.evaluate(ground) == dark
