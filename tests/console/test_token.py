"""Tokens: created, listed and revoked."""

import hashlib
import json

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import OpenPage, World, account
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


def choose(page: Page, name: str, option: str) -> None:
    page.get_by_role("combobox", name=name, exact=True).select_option(label=option)


@pytest.mark.parametrize(
    ("project", "environment", "words"),
    [(None, None, "everything"), ("Shop", None, "Shop"), ("Shop", "HERE", "Shop / HERE")],
)
def test_a_token_has_the_chosen_role(
    page: Page, world: World, project: str | None, environment: str | None, words: str
) -> None:
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill(f"narrow {words}")
    choose(page, "Role", "deployer")
    if project:
        choose(page, "Project", project)
        choose(page, "Environment", world.name if environment else "all of the project")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Done").click()
    held = f"deployer of {words.replace('HERE', world.name)}"
    expect(row(page, f"narrow {words}made").get_by_text(held, exact=True)).to_be_visible()


def test_a_token_without_a_role_follows_its_actor(page: Page, server: Serving) -> None:
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("follower")
    role = page.get_by_role("combobox", name="Role", exact=True).locator("option").first
    expect(role).to_have_text("your own roles")
    page.get_by_label("For the actor").fill("zoe")
    expect(role).to_have_text("those that the actor holds")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Done").click()
    expect(row(page, "follower")).to_contain_text("at most those of zoe")


def test_nobody_is_offered_more_roles_or_time_than_they_have(open_page: OpenPage, world: World) -> None:
    where = ("--role", "deployer", "--project", "Shop", "--environment", world.name)
    made = world.server.stageline("token", "create", "dan", "--actor", "dan", "--expires-in", "7d", *where, "--json")
    page = open_page("/tokens", token=json.loads(made.stdout)["token"])
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("mine")
    lives = page.get_by_role("combobox", name="Valid for").locator("option")
    expect(lives).to_have_text(["a day", "as long as your token"])
    editor = page.get_by_role("option", name="editor")
    expect(editor).to_be_disabled()
    expect(editor).to_have_attribute("title", "This needs the role editor somewhere, and you are deployer.")
    choose(page, "Role", "viewer")
    expect(page.get_by_role("combobox", name="Project").locator("option").first).to_be_disabled()
    choose(page, "Project", "Shop")
    expect(page.get_by_role("combobox", name="Environment").locator("option").first).to_be_disabled()
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Done").click()
    expect(row(page, "mine")).to_contain_text(f"viewer of Shop / {world.name}")
    expect(row(page, "mine")).to_contain_text("in 7 days")


def issuing(server: Serving, token: str, name: str) -> str:
    """Return a token that the holder of *token* issues."""
    text = f"{name} {token}"
    issue = "mutation ($name: String!, $hash: String!) { issueToken(name: $name, hash: $hash) { __typename } }"
    variables = {"name": name, "hash": hashlib.sha256(text.encode()).hexdigest()}
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx.post(f"{server.url}/graphql", json={"query": issue, "variables": variables}, headers=headers).json()
    assert answer["data"]["issueToken"]["__typename"] == "TokenPayload"
    return text


def revoke(page: Page, name: str, *, with_issued: bool) -> None:
    page.get_by_role("button", name=name).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("child and grandchild")
    if with_issued:
        dialog.get_by_label("Revoke them, too").check()
    dialog.get_by_role("button", name="Revoke").click()


def test_a_token_is_revoked_with_those_that_it_issued(page: Page, server: Serving) -> None:
    stolen = json.loads(server.stageline("token", "create", "stolen", "--json").stdout)["token"]
    child = issuing(server, stolen, "child")
    grandchild = issuing(server, child, "grandchild")
    revoke(page, "Revoke stolen", with_issued=True)
    expect(row(page, "child")).to_have_count(0)
    assert [status(server, each) for each in (stolen, child, grandchild)] == [401] * 3


def test_tokens_that_a_revoked_one_issued_are_revoked_later(page: Page, server: Serving) -> None:
    lost = json.loads(server.stageline("token", "create", "lost", "--json").stdout)["token"]
    child = issuing(server, lost, "child")
    grandchild = issuing(server, child, "grandchild")
    revoke(page, "Revoke lost", with_issued=False)
    expect(row(page, "lost")).to_have_count(0)
    assert [status(server, each) for each in (lost, child, grandchild)] == [401, 200, 200]
    page.get_by_label("also revoked").check()
    revoke(page, "Revoke the tokens that lost issued", with_issued=False)
    expect(page.get_by_role("button", name="Revoke the tokens that lost issued")).to_have_count(0)
    assert [status(server, each) for each in (child, grandchild)] == [401] * 2


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
