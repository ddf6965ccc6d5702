"""Pages fit into windows from 360 to 2560 pixels: they scroll down, and never sideways."""

import pytest
from playwright.sync_api import expect

from tests.console.conftest import CREATE_ENVIRONMENT, FIRST, OpenPage, World
from tests.serving import Serving

pytestmark = pytest.mark.long

OVERFLOW = """() => [document.documentElement, document.querySelector("main")]
  .map((each) => each.scrollWidth - each.clientWidth)"""

LACK = """(list) => {
  const whole = document.body.appendChild(list.cloneNode(true));
  const lack = whole.getBoundingClientRect().width - list.getBoundingClientRect().width;
  whole.remove();
  return lack;
}"""
"""How much wider a list would be with room for everything, in pixels."""


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
        ("/webhooks", "There are no webhooks yet."),
        ("/roles", "Grant a role"),
        (f"{board}/insights", "No deployment has ended"),
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
    page.goto(f"{board}/history?at=3")
    page.get_by_role("button", name="Restore …").click()
    expect(page.get_by_text("will change as follows")).to_be_visible()
    box = page.get_by_role("dialog").bounding_box()
    words = page.get_by_text("will change as follows").bounding_box()
    assert box is not None
    assert words is not None
    assert 0.8 * box["width"] < words["width"] < box["width"] < 600


@pytest.mark.parametrize("width", [660, 800, 1000, 1190])
def test_the_header_has_one_row(open_page: OpenPage, world: World, width: int) -> None:
    page = open_page(f"/environments/{world.id}/variables", viewport={"width": width, "height": 600})
    expect(page.get_by_role("heading", name="Variables")).to_be_visible()
    box = page.locator(".bar").bounding_box()
    assert box is not None
    assert box["height"] < 60
    expect(page.get_by_role("link", name="Variables")).to_be_in_viewport(ratio=0.95)


def test_the_lists_of_the_header_show_whole_names_where_there_is_room(open_page: OpenPage, server: Serving) -> None:
    server.execute('mutation { createProject(name: "Store") { __typename } }')
    create = CREATE_ENVIRONMENT.replace('"Shop"', '"Store"')
    made = server.execute(create, name="staging")["createEnvironment"]["pipeline"]["environment"]["id"]
    page = open_page(f"/environments/{made}", viewport={"width": 1280, "height": 600})
    for name in ("Project", "Environment"):
        found = page.get_by_role("combobox", name=name)
        expect(found).to_be_visible()
        assert found.evaluate(LACK) < 1, name


@pytest.mark.parametrize("width", [360, 1280])
def test_a_deployment_that_waits_has_its_buttons_and_its_words_in_place(
    open_page: OpenPage, world: World, width: int
) -> None:
    policy = "{approval: {count: 1}}"
    world.server.execute(
        f'mutation {{ editStage(environment: "{world.id}", stage: "{FIRST}", policy: {policy}) {{ __typename }} }}'
    )
    world.do("deploy")
    page = open_page(f"/environments/{world.id}/deployments", viewport={"width": width, "height": 800})
    page.get_by_role("link", name="#1").first.click()
    waits = page.get_by_text("needs an approval")
    expect(waits).to_be_visible()
    assert (
        waits.evaluate("(words) => words.getBoundingClientRect().x - words.closest('.lane').getBoundingClientRect().x")
        > 8
    )
    for name in ("Approve …", "Reject …", "Hold …", "Cancel …"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] < 40, f"{name} has one line"
        assert box["x"] + box["width"] <= width
