"""The secrets of an environment and of its project, without their values."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import OpenPage, World

pytestmark = pytest.mark.long

VALUE = "correct horse battery staple"
READ = "query ($id: ID!) { environment(id: $id) { secrets { name } project { secrets { name } } } }"
SET_PROJECT = """
mutation ($value: SecretValue!) { setProjectSecret(project: "Shop", name: "NPM", value: $value) { __typename } }
"""


@pytest.fixture
def secrets(open_page: OpenPage, world: World) -> Page:
    page = open_page(f"/environments/{world.id}/variables")
    expect(page.get_by_role("heading", name="Secrets", exact=True)).to_be_visible()
    return page


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def fill(page: Page, name: str | None = None) -> None:
    dialog = page.get_by_role("dialog")
    if name is not None:
        dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Value").fill(VALUE)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)


def test_secrets_are_set_listed_and_deleted_and_never_shown(secrets: Page, world: World) -> None:
    own = region(secrets, "Secrets of the environment")
    expect(own).to_contain_text("There are none.")
    own.get_by_role("button", name="New secret").click()
    fill(secrets, "DB_PASSWORD")
    expect(own.get_by_role("listitem")).to_contain_text("set just now by admin")
    own.get_by_role("button", name="New value of DB_PASSWORD").click()
    fill(secrets)
    assert VALUE not in secrets.content()
    secrets.reload()
    expect(own.get_by_role("listitem")).to_contain_text("DB_PASSWORD")
    assert VALUE not in secrets.content()
    own.get_by_role("button", name="Delete DB_PASSWORD").click()
    expect(secrets.get_by_role("dialog")).to_contain_text("destroyed for ever")
    secrets.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(own).to_contain_text("There are none.")
    assert world.server.execute(READ, id=world.id)["environment"]["secrets"] == []


def test_a_secret_of_the_project_that_somebody_else_sets_appears_at_once(secrets: Page, world: World) -> None:
    world.server.execute(SET_PROJECT, value=VALUE)
    shared = region(secrets, "Secrets of project Shop")
    expect(shared.get_by_role("listitem").filter(has_text="NPM")).to_contain_text("admin")


def test_a_value_that_the_server_refuses_keeps_the_dialog_open(secrets: Page) -> None:
    region(secrets, "Secrets of the environment").get_by_role("button", name="New secret").click()
    dialog = secrets.get_by_role("dialog")
    dialog.get_by_label("Name").fill("1A")
    dialog.get_by_label("Value").fill(VALUE)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Invalid secret '1A'")
    assert VALUE not in dialog.get_by_role("alert").inner_text()
