"""axe finds no serious issue on any page, in both colour schemes."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import OpenPage, World, card, sign_out
from tests.serving import ROOT

pytestmark = pytest.mark.long

AXE = ROOT / "console/node_modules/axe-core/axe.min.js"


def issues(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((found) => found.violations)")
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {node['html']}: {node['failureSummary']}" for each in serious for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_issue(open_page: OpenPage, world: World, scheme: str) -> None:
    world.add("Migrations", "JOB", "exit 3")
    world.set_variable("LEVEL", "debug")
    page = open_page("/", color_scheme=scheme, reduced_motion="reduce")
    assert issues(page) == []
    page.get_by_role("button", name="New project").click()
    assert issues(page) == []
    page.goto(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()
    assert issues(page) == []
    page.get_by_role("button", name="Actions for DB").click()
    assert issues(page) == []
    page.keyboard.press("Escape")
    for key, name in [("?", "Keys"), ("Control+k", "Find anything"), ("a", "New service")]:
        page.keyboard.press(key)
        dialog = page.get_by_role("dialog", name=name)
        expect(dialog).to_be_visible()
        for summary in dialog.locator("details:not([open]) > summary").all()[::-1]:
            summary.click()
        assert issues(page) == []
        page.keyboard.press("Escape")
    page.locator("[data-service]").first.focus()
    page.keyboard.press("F2")
    assert issues(page) == []
    page.keyboard.press("Escape")
    for of, item, heading in [("DB", "Edit …", "Edit DB"), ("stage JOB DEFAULT", "Policy …", "Policy of JOB DEFAULT")]:
        page.get_by_role("button", name=f"Actions for {of}").click()
        page.get_by_role("menuitem", name=item).click()
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        page.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true })")
        assert issues(page) == []
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Deploy …").click()
    expect(page.get_by_role("list", name="Order")).to_be_visible()
    assert issues(page) == []
    page.get_by_role("dialog").get_by_role("button", name="Deploy", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Migrations failed")
    assert issues(page) == []
    for part, text in [("Logs", "First error"), ("Events", "JOB DEFAULT started")]:
        page.get_by_role("link", name=part).click()
        expect(page.get_by_text(text)).to_be_visible()
        assert issues(page) == []
    page.get_by_role("button", name="Retry …").click()
    expect(page.get_by_role("list", name="Order")).to_be_visible()
    assert issues(page) == []
    for tab, text in [
        ("deployments", "#1"),
        ("history", "DB added"),
        ("trends", "median"),
        ("variables", "LEVEL"),
        ("insights", "Flaky"),
    ]:
        page.goto(f"/environments/{world.id}/{tab}")
        expect(page.get_by_text(text).first).to_be_visible()
        assert issues(page) == []
    page.goto(f"/environments/{world.id}/history?at=3&with=newest")
    expect(page.get_by_text("From version")).to_be_visible()
    assert issues(page) == []
    page.get_by_role("button", name="Restore …").click()
    expect(page.get_by_role("list", name="Changes")).to_be_visible()
    assert issues(page) == []
    page.goto("/environments/none")
    expect(page.get_by_text("There is no such environment.")).to_be_visible()
    assert issues(page) == []
    page.goto("/tokens")
    expect(page.get_by_role("list", name="Tokens").get_by_role("listitem").first).to_be_visible()
    assert issues(page) == []
    page.get_by_role("button", name="New token").click()
    assert issues(page) == []
    page.get_by_label("Name").fill("x")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    assert issues(page) == []
    page.get_by_role("button", name="Done").click()
    page.locator(".own").get_by_role("button").last.click()
    assert issues(page) == []
    page.keyboard.press("Escape")
    for address, button in [("webhooks", "New webhook"), ("roles", "Grant a role")]:
        page.goto(f"/{address}")
        expect(page.get_by_role("button", name=button)).to_be_enabled()
        assert issues(page) == []
        page.get_by_role("button", name=button).click()
        page.get_by_role("combobox", name="Project").select_option(label="Shop")
        expect(page.get_by_role("combobox", name="Environment")).to_be_visible()
        assert issues(page) == []
        page.keyboard.press("Escape")
    sign_out(page)
    expect(page.get_by_label("Access token")).to_be_visible()
    assert issues(page) == []
