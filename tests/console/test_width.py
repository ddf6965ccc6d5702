"""Pages fit into windows from 360 to 2560 pixels: they scroll down, and never sideways."""

import pytest
from playwright.sync_api import expect

from tests.console.conftest import OpenPage, World

pytestmark = pytest.mark.long

OVERFLOW = """() => [document.documentElement, document.querySelector("main")]
  .map((each) => each.scrollWidth - each.clientWidth)"""


@pytest.mark.parametrize("width", [360, 800, 1280, 2560])
def test_no_page_is_wider_than_the_window(open_page: OpenPage, world: World, width: int) -> None:
    long = "a-service-with-a-name-that-is-very-long-and-has-no-space-anywhere-" * 2
    world.add(long[:100], "JOB", "true")
    world.do("skipService", service="DB", reason=long)
    world.set_variable("LEVEL", long)
    page = open_page("/", viewport={"width": width, "height": 800})
    board = f"/environments/{world.id}"
    for address, text in [
        ("/", world.name),
        (board, "Frontend"),
        (f"{board}/deployments", "Nothing was deployed yet."),
        (f"{board}/history", "Frontend added"),
        (f"{board}/history?at=7&with=newest", "From version"),
        (f"{board}/variables", "LEVEL"),
        ("/tokens", "until it is revoked"),
        ("/environments/none", "There is no such environment."),
    ]:
        page.goto(address)
        expect(page.get_by_text(text).first).to_be_visible()
        assert page.evaluate(OVERFLOW) == [0, 0], address
    page.goto(board)
    expect(page.get_by_text("Frontend")).to_be_visible()
    for key, name in [("?", "Keys"), ("Control+k", "Find anything"), ("a", "New service"), ("d", "Deploy")]:
        page.keyboard.press(key)
        dialog = page.get_by_role("dialog", name=name)
        expect(dialog).to_be_visible()
        box = dialog.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width, name
        assert dialog.evaluate("(dialog) => dialog.scrollWidth - dialog.clientWidth") == 0, name
        page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [660, 800, 1000, 1190])
def test_the_header_has_one_row(open_page: OpenPage, world: World, width: int) -> None:
    page = open_page(f"/environments/{world.id}/variables", viewport={"width": width, "height": 600})
    expect(page.get_by_role("heading", name="Variables")).to_be_visible()
    box = page.locator(".bar").bounding_box()
    assert box is not None
    assert box["height"] < 60
    expect(page.get_by_role("link", name="Variables")).to_be_in_viewport(ratio=0.95)
