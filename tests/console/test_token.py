"""Tokens: created, listed and revoked."""

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import OpenPage, account
from tests.serving import Serving

pytestmark = pytest.mark.long


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    page = open_page()
    account(page, "Tokens")
    expect(page.get_by_role("heading", name="Tokens")).to_be_visible()
    return page


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("list", name="Tokens").get_by_role("listitem").filter(has_text=name)


def status(server: Serving, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{server.url}/graphql", json={"query": "{ cursor }"}, headers=headers).status_code


def test_a_token_is_created_shown_once_and_revoked(page: Page, server: Serving) -> None:
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("ci <b>1</b>")
    page.get_by_label("Valid for").select_option("30 days")
    page.get_by_label("For the actor").fill("robot")
    with page.expect_request(lambda request: "IssueToken" in (request.post_data or "")) as sent:
        page.get_by_role("button", name="Create").click()
    token = page.get_by_label("Token", exact=True).input_value()
    assert token not in (sent.value.post_data or "")
    assert status(server, token) == 200
    page.get_by_role("button", name="Done").click()
    expect(row(page, "ci <b>1</b>")).to_contain_text("robot")
    expect(row(page, "ci <b>1</b>")).to_contain_text("in 30 days")
    assert token not in page.content()
    page.get_by_role("button", name="Revoke ci <b>1</b>").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row(page, "ci <b>1</b>")).to_have_count(0)
    assert status(server, token) == 401
    page.get_by_label("also revoked").check()
    expect(row(page, "ci <b>1</b>")).to_contain_text("revoked just now by admin")
    page.reload()
    expect(row(page, "ci <b>1</b>")).to_be_visible()


def test_a_token_that_others_create_or_revoke_appears_at_once(page: Page, server: Serving) -> None:
    server.stageline("token", "create", "laptop", "--json")
    expect(row(page, "laptop")).to_be_visible()
    server.stageline("token", "revoke", "laptop", "--yes")
    expect(row(page, "laptop")).to_have_count(0)


def test_a_refused_name_stays_with_the_reason(page: Page) -> None:
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("x" * 101)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("at most 100")


def test_a_new_token_is_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("copied")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("list", name="Notices")).to_contain_text("The token is copied.")
    token = page.get_by_label("Token", exact=True).input_value()
    assert page.evaluate("navigator.clipboard.readText()") == token
