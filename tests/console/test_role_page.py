"""The page of roles: who holds which, granted and revoked within what one has."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import OpenPage, World, account, token_of

pytestmark = pytest.mark.long


def row(page: Page, *texts: str) -> Locator:
    found = page.get_by_role("list", name="Roles").get_by_role("listitem")
    for text in texts:
        found = found.filter(has_text=text)
    return found


def test_a_role_is_granted_replaced_and_revoked(open_page: OpenPage, world: World) -> None:
    page = open_page()
    account(page, "Roles")
    for role in ("deployer", "editor"):
        page.get_by_role("button", name="Grant a role").click()
        page.get_by_label("Actor").fill("ann <b>")
        page.get_by_role("combobox", name="Role", exact=True).select_option(label=role)
        page.get_by_role("combobox", name="Project").select_option(label="Shop")
        page.get_by_role("combobox", name="Environment").select_option(label=world.name)
        page.get_by_role("button", name="Grant", exact=True).click()
        expect(row(page, "ann <b>", role, f"Shop / {world.name}")).to_have_count(1)
    expect(row(page, "ann <b>")).to_have_count(1)
    page.get_by_role("button", name=f"Revoke editor of Shop / {world.name} from ann <b>", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row(page, "ann <b>")).to_have_count(0)


def test_an_admin_of_an_environment_grants_no_more_than_that(open_page: OpenPage, world: World) -> None:
    token = token_of(world.server, "erik", "admin", "--project", "Shop", "--environment", world.name)
    page = open_page("/roles", token=token)
    page.get_by_role("button", name="Grant a role").click()
    everything = page.get_by_role("combobox", name="Project").locator("option").first
    expect(everything).to_be_disabled()
    expect(everything).to_have_attribute("title", re.compile("^This needs the role admin here"))
    page.get_by_label("Actor").fill("bob")
    page.get_by_role("combobox", name="Project").select_option(label="Shop")
    expect(page.get_by_role("combobox", name="Environment").locator("option").first).to_be_disabled()
    page.get_by_role("button", name="Grant", exact=True).click()
    expect(row(page, "bob", "viewer", f"Shop / {world.name}")).to_have_count(1)


def test_a_viewer_is_told_which_role_it_needs(open_page: OpenPage, world: World) -> None:
    page = open_page("/roles", token=token_of(world.server, "vera", "viewer"))
    expect(page.get_by_text("You are viewer. Only an admin")).to_be_visible()
    button = page.get_by_role("button", name="Grant a role")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute(
        "title", "This needs the role admin of a project or an environment, and you have none."
    )


def test_the_tokens_say_which_roles_they_have(open_page: OpenPage, world: World) -> None:
    token_of(world.server, "tess", "deployer", "--project", "Shop")
    page = open_page("/tokens")
    tokens = page.get_by_role("list", name="Tokens").get_by_role("listitem")
    expect(tokens.filter(has_text="tess").first).to_contain_text("deployer of Shop")
