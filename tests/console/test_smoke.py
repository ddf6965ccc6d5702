"""The announcement's story, from the sign-in to the finished deployment, with two browsers at the same environment."""

from playwright.sync_api import expect

from tests.console.conftest import FIRST, SECOND, OpenPage, World, card, column


def test_a_person_changes_the_order_and_another_one_watches_it_run(open_page: OpenPage, world: World) -> None:
    one, other = (open_page() for _ in range(2))
    for page in (one, other):
        page.evaluate("delete Crypto.prototype.randomUUID")  # as where a page came over http
        page.get_by_role("link", name=world.name).click()
        expect(card(page, "Backend")).to_be_visible()
    column(one, FIRST).locator(".head").dblclick()
    one.get_by_label("Name of the stage").fill("first stage")
    one.keyboard.press("Enter")
    expect(column(other, "first stage")).to_be_visible()
    card(one, "Backend").drag_to(column(one, SECOND))
    expect(card(column(other, SECOND), "Backend")).to_be_visible()
    assert world.order()[SECOND] == ["Backend"]
    one.get_by_role("button", name="Deploy …").click()
    one.get_by_role("dialog").get_by_role("button", name="Deploy", exact=True).click()
    other.get_by_role("link", name="Deployment #1").click()
    for page in (one, other):
        expect(page.locator(".lane.succeeded")).to_have_count(4)
        expect(page.locator(".deployment > header .status")).to_have_text("succeeded")
    one.get_by_role("link", name="History").click()
    expect(one.locator(".list > ul > li").first).to_contain_text("Backend moved")
    expect(one.locator(".list > ul > li").first).to_contain_text("with the console")
