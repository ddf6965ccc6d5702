"""The variables of an environment and of its project."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import OpenPage, World

pytestmark = pytest.mark.long

SET_PROJECT = """
mutation ($name: String!, $value: String!) {
  setProjectVariables(project: "Shop", variables: [{name: $name, value: $value}]) { __typename }
}
"""
READ = """
query ($id: ID!) { environment(id: $id) { variables { name value } project { variables { name value } } } }
"""


@pytest.fixture
def variables(open_page: OpenPage, world: World) -> Page:
    page = open_page(f"/environments/{world.id}/variables")
    expect(page.get_by_role("heading", name="Variables")).to_be_visible()
    return page


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def fill(page: Page, value: str, name: str | None = None) -> None:
    dialog = page.get_by_role("dialog")
    if name is not None:
        dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Value").fill(value)
    dialog.get_by_role("button", name="Save").click()


def test_variables_are_set_edited_and_deleted(variables: Page, world: World) -> None:
    own = region(variables, "This environment")
    expect(own).to_contain_text("There are none.")
    variables.keyboard.press("n")
    fill(variables, "debug\n<b>two</b> lines", "LEVEL")
    expect(own.get_by_role("listitem")).to_contain_text("debug\n<b>two</b> lines")
    own.get_by_role("button", name="New variable").click()
    fill(variables, "other", "LEVEL")
    expect(variables.get_by_role("alert")).to_have_text("There is a variable LEVEL already. Edit that one.")
    variables.get_by_role("button", name="Cancel").click()
    own.get_by_role("button", name="Edit LEVEL").click()
    fill(variables, "info")
    expect(own.get_by_role("listitem")).to_contain_text("info")
    assert world.server.execute(READ, id=world.id)["environment"]["variables"] == [{"name": "LEVEL", "value": "info"}]
    own.get_by_role("button", name="Delete LEVEL").click()
    expect(variables.get_by_role("dialog")).to_contain_text("The next deployment does without it.")
    variables.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(own).to_contain_text("There are none.")
    assert world.server.execute(READ, id=world.id)["environment"]["variables"] == []


def test_variables_of_the_project_show_what_replaces_them(variables: Page, world: World) -> None:
    shared = region(variables, "All environments of Shop")
    shared.get_by_role("button", name="New variable").click()
    fill(variables, "eu", "REGION")
    expect(shared.get_by_role("listitem").filter(has_text="REGION")).to_contain_text("eu")
    world.server.execute(SET_PROJECT, name="LEVEL", value="warn")  # by somebody else
    world.set_variable("LEVEL", "debug")
    expect(shared.get_by_role("listitem").filter(has_text="LEVEL")).to_contain_text("replaced here")
    own = region(variables, "This environment").get_by_role("listitem").filter(has_text="LEVEL")
    expect(own).to_contain_text("replaces that of the project")
    own.get_by_role("button", name="Delete").click()
    expect(variables.get_by_role("dialog")).to_contain_text("The next deployment uses the value of the project.")


def test_a_name_that_the_server_refuses_stays_in_the_form(variables: Page) -> None:
    variables.keyboard.press("n")
    fill(variables, "80", "PORT")
    expect(variables.get_by_role("dialog").get_by_role("alert")).to_have_text(re.compile("PORT"))
    expect(variables.get_by_label("Value")).to_have_value("80")


def test_a_value_that_somebody_changed_meanwhile_is_not_overwritten(variables: Page, world: World) -> None:
    world.set_variable("LEVEL", "debug")
    own = region(variables, "This environment")
    own.get_by_role("button", name="Edit LEVEL").click()
    world.set_variable("LEVEL", "trace")
    expect(own).to_contain_text("trace")
    fill(variables, "info")
    expect(variables.get_by_role("dialog").get_by_role("alert")).to_contain_text("LEVEL")
    found = world.server.execute(READ, id=world.id)["environment"]["variables"]
    assert found == [{"name": "LEVEL", "value": "trace"}]
