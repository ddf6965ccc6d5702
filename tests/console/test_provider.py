"""Signing in with an identity provider: a real browser, a real server and a real provider."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.console.conftest import account, sign_out
from tests.console.test_accessible import issues
from tests.identity.provider import CONSOLE, SECRET, IdentityProvider, identity_provider
from tests.serving import Serving

pytestmark = pytest.mark.long

PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {"name": "Ann Lee", "groups": ["sre"]},
    "vera": {"name": "Vera", "groups": ["dev"]},
    "eve": {"name": "Eve", "groups": ["sales"]},
}
RULES = [{"claim": "groups", "value": "sre", "role": "admin"}, {"claim": "groups", "value": "dev", "role": "viewer"}]


@dataclass
class World:
    server: Serving
    provider: IdentityProvider

    @property
    def sign_in(self) -> str:
        return "Sign in with Acme <SSO>"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("server")
    server = Serving(folder)
    (folder / "secret").write_text(SECRET)
    with identity_provider(folder) as provider:
        provider.people, provider.console = PEOPLE, server.url
        provider.start()
        settings = {
            "issuer": provider.issuer,
            "name": "Acme <SSO>",
            "client-id": CONSOLE,
            "client-secret-file": str(folder / "secret"),
            "provider-sign-out": True,
            "rules": RULES,
        }
        away = {"issuer": "http://127.0.0.1:1", "name": "Elsewhere", "client-id": "x"}
        options = [part for each in (settings, away) for part in ("--oidc", json.dumps(each))]
        try:
            server.start("--public-url", f"{server.url}/", "--log-level", "debug", *options)
            server.execute('mutation { createProject(name: "Shop") { __typename } }')
            yield World(server, provider)
        finally:
            server.close()


@pytest.fixture
def context(browser: Browser, world: World) -> Iterator[BrowserContext]:
    """A browser of somebody, to which the provider's fonts are not served."""
    with_fonts = browser.new_context(base_url=world.server.url)
    with_fonts.route("https://fonts.googleapis.com/**", lambda route: route.abort())
    yield with_fonts
    with_fonts.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that keeps to its policy."""
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield page
    assert complaints == []


def log_in(page: Page, person: str) -> None:
    """Answer the form of the provider."""
    page.get_by_placeholder("Enter any login").fill(person)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()


def home(page: Page) -> None:
    expect(page.get_by_role("heading", name="Environments")).to_be_visible()


def is_signed_in(page: Page, name: str) -> None:
    expect(page.locator(".own").get_by_role("button").last).to_have_text(name)


def callback_of(page: Page, world: World, person: str) -> str:
    """Sign in up to the callback, whose page does not run there; return its address."""
    page.goto("/")
    page.get_by_role("button", name=world.sign_in).click()
    expect(page.get_by_placeholder("Enter any login")).to_be_visible()
    page.context.route("**/assets/**", lambda route: route.abort())
    log_in(page, person)
    page.wait_for_url("**/sign-in?**")
    page.context.unroute("**/assets/**")
    return page.url


def test_a_person_signs_in_comes_back_to_the_place_and_signs_out_at_both(page: Page, world: World) -> None:
    page.goto("/roles?x=1#y")
    expect(page.get_by_role("button", name=world.sign_in)).to_be_focused()
    page.keyboard.press("Enter")
    log_in(page, "ann")
    expect(page.get_by_role("heading", name="Roles")).to_be_visible()
    assert page.url == f"{world.server.url}/roles?x=1#y"
    is_signed_in(page, "Ann Lee")
    expect(page.get_by_role("button", name="Grant a role")).to_be_enabled()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state])")
    assert json.loads(kept)[1].keys() == {"stageline-session"}
    names = {each["name"] for each in page.context.cookies(f"{world.server.url}/graphql")}
    assert "stageline_sign_in" not in names
    assert "stageline_session" in names
    sign_out(page)
    page.get_by_role("button", name="Yes, sign me out").click()  # the provider asks
    expect(page.get_by_role("button", name=world.sign_in)).to_be_visible()
    assert page.url == f"{world.server.url}/"
    page.get_by_role("button", name=world.sign_in).click()
    expect(page.get_by_placeholder("Enter any login")).to_be_visible()  # it has no session any more


def test_the_roles_are_those_of_the_claims(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_role("button", name=world.sign_in).click()
    log_in(page, "vera")
    home(page)
    is_signed_in(page, "Vera")
    account(page, "Roles")
    expect(page.get_by_text("You are viewer.")).to_be_visible()
    page.reload()
    expect(page.get_by_text("You are viewer.")).to_be_visible()


def test_a_person_makes_a_token_that_lasts_as_long_as_the_session(page: Page, world: World) -> None:
    page.goto("/tokens")
    page.get_by_role("button", name=world.sign_in).click()
    log_in(page, "ann")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("for today")
    expect(page.get_by_role("combobox", name="Valid for").locator("option")).to_have_text(["as long as your session"])
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Done").click()
    made = page.get_by_role("list", name="Tokens").get_by_role("listitem").filter(has_text="for today")
    expect(made).to_contain_text("Ann Lee")
    expect(made).to_contain_text("expires in 12 hours")


def test_somebody_without_a_role_is_told_why(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_role("button", name=world.sign_in).click()
    log_in(page, "eve")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Acme <SSO> knows you, but you have no role here")
    expect(alert).to_contain_text('groups = ["sales"]')
    assert page.url == f"{world.server.url}/"


def test_a_person_who_cancels_is_told_so_and_may_use_a_token(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_role("button", name=world.sign_in).click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("alert")).to_have_text("Acme <SSO> did not let you in, or you cancelled there.")
    page.get_by_label("Access token").fill(world.server.token)
    page.get_by_role("button", name="Sign in with the token").click()
    home(page)


def test_a_provider_that_is_away_is_named(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_role("button", name="Sign in with Elsewhere").click()
    expect(page.get_by_role("alert")).to_contain_text("The identity provider Elsewhere can't be used at the moment.")
    expect(page.get_by_role("button", name=world.sign_in)).to_be_enabled()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert issues(page) == []


NOT_HERE = "This sign-in was not begun in this tab, or is over. Sign in again."


def test_a_callback_counts_in_its_own_tab_and_once(page: Page, browser: Browser, world: World) -> None:
    address = callback_of(page, world, "ann")
    stranger = browser.new_context(base_url=world.server.url)
    other = stranger.new_page()  # a link that somebody was sent signs in as nobody else
    other.goto(address)
    expect(other.get_by_role("alert")).to_have_text(NOT_HERE)
    assert other.url == f"{world.server.url}/"
    stranger.close()
    tab = page.context.new_page()
    tab.goto(address)
    expect(tab.get_by_role("alert")).to_have_text(NOT_HERE)
    page.goto(address)
    home(page)
    page.goto(address)
    home(page)  # the session stays
    expect(page.get_by_role("list", name="Notices")).to_contain_text(NOT_HERE)


def test_a_wrong_state_or_an_error_of_somebody_else_shows_nothing_of_theirs(page: Page, world: World) -> None:
    address = callback_of(page, world, "ann")
    for query in (
        "state=x&error=call_555_now",
        "error=call_555_now",
        address.partition("?")[2].replace("state=", "state=x"),
    ):
        page.goto(f"/sign-in?{query}")
        expect(page.get_by_role("button", name=world.sign_in)).to_be_visible()
        assert "555" not in page.content()
        assert page.url == f"{world.server.url}/"
    page.goto(address)  # the state is gone with the first wrong answer
    expect(page.get_by_role("alert")).to_have_text(NOT_HERE)


def test_a_cookie_of_another_browser_opens_nothing(page: Page, browser: Browser, world: World) -> None:
    """Another server of this host could plant the state, too; the cookie is what the server checks."""
    address = callback_of(page, world, "ann")
    state = page.evaluate("sessionStorage['stageline-sign-in']")
    stranger = browser.new_context(base_url=world.server.url)
    other = stranger.new_page()
    other.goto("/")
    other.evaluate("(kept) => { sessionStorage['stageline-sign-in'] = kept }", state)
    other.goto(address)
    expect(other.get_by_role("alert")).to_have_text(
        "Unknown sign-in: it was begun in another browser, or is over. Sign in again."
    )
    stranger.close()


def test_a_code_that_was_used_is_told(page: Page, world: World) -> None:
    address = callback_of(page, world, "ann")
    kept = page.evaluate("sessionStorage['stageline-sign-in']")
    cookies = page.context.cookies(f"{world.server.url}/graphql")
    page.goto(address)
    home(page)
    page.evaluate("(kept) => { sessionStorage['stageline-sign-in'] = kept }", kept)
    page.context.add_cookies([each for each in cookies if each["name"] == "stageline_sign_in"])  # type: ignore[misc]
    page.goto(address)
    expect(page.get_by_role("list", name="Notices")).to_contain_text("Invalid code")


def test_the_keys_of_the_provider_may_change_meanwhile(page: Page, world: World) -> None:
    world.provider.rotate()
    page.goto("/")
    page.get_by_role("button", name=world.sign_in).click()
    log_in(page, "ann")
    home(page)
    is_signed_in(page, "Ann Lee")


def test_the_address_of_the_provider_comes_from_the_server_and_not_from_the_request(world: World) -> None:
    """Nothing in a request says where a browser is sent."""
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    begun = httpx.post(
        f"{world.server.url}/graphql/session/oidc",
        json={"issuer": world.provider.issuer},
        headers=headers,
        params={"redirect_uri": "https://evil.example"},
    ).json()
    assert begun["address"].startswith(f"{world.provider.issuer}/auth?")
    assert "evil" not in begun["address"]
    assert urlsplit(world.server.url).port is not None


def test_the_log_of_the_server_has_no_code_and_no_token(page: Page, world: World) -> None:
    address = callback_of(page, world, "ann")
    page.goto(address)
    home(page)
    secret = page.evaluate("JSON.parse(sessionStorage['stageline-session']).secret")
    written = world.server.log.read_text()
    given = dict(part.split("=", 1) for part in address.partition("?")[2].split("&"))
    assert "Stageline serves" in written
    for each in (given["code"], given["state"], secret, SECRET, "eyJ"):
        assert each not in written
