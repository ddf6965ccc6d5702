"""A service's whole specification: added, edited, renamed in place and removed."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLNamedType, build_schema, get_named_type
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.console.conftest import LAST, SECOND, OpenPage, World, card, column
from tests.serving import ROOT

pytestmark = pytest.mark.long

SPEC = """
query ($environment: ID!, $service: ID!) {
  service(environment: $environment, service: $service) {
    name
    spec {
      image buildContext dockerfile workingDirectory buildCommands runCommand
      env { name value } ports
      healthCheck {
        http { path portIndex } tcp { portIndex } command intervalSeconds timeoutSeconds startPeriodSeconds
      }
      buildTimeoutSeconds deployTimeoutSeconds stopGraceSeconds retries
      backoff { initialSeconds factor maxSeconds jitter } allowFailure
    }
  }
}
"""


def spec(world: World, service: str) -> dict[str, Any]:
    found: dict[str, Any] = world.server.execute(SPEC, environment=world.id, service=service)["service"]["spec"]
    return found


def menu(page: Page, of: str, item: str) -> None:
    page.get_by_role("button", name=f"Actions for {of}", exact=True).click()
    page.get_by_role("menuitem", name=item).click()


def edit(page: Page, service: str) -> Locator:
    """The open dialog of *service*, with all its parts unfolded."""
    menu(page, service, "Edit …")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value(service)
    unfold(dialog)
    return dialog


def unfold(dialog: Locator) -> None:
    for part in dialog.locator("details:not([open]) > summary").all()[::-1]:
        part.click()


def fields(type_: GraphQLNamedType, path: str = "") -> Iterator[str]:
    assert isinstance(type_, GraphQLInputObjectType)
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLInputObjectType):
            yield from fields(inner, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def test_the_form_has_every_field_of_a_specification(board: Page) -> None:
    schema = build_schema((ROOT / "gql/schema.graphql").read_text())
    type_ = schema.type_map["ServiceSpecInput"]
    board.keyboard.press("a")
    dialog = board.get_by_role("dialog", name="New service")
    unfold(dialog)
    dialog.get_by_role("button", name="Add a build command").click()
    dialog.get_by_role("button", name="Add a variable").click()
    seen: set[str] = set()
    for source in ("command", "image", "context"):
        dialog.get_by_label("Source").select_option(source)
        for check in ("http", "tcp", "command"):
            dialog.get_by_label("Healthy when").select_option(check)
            seen |= set(dialog.evaluate("(dialog) => [...dialog.querySelectorAll('[name]')].map((each) => each.name)"))
    assert set(fields(type_)) <= seen


def test_a_service_is_added_with_its_whole_specification(board: Page, world: World) -> None:
    board.keyboard.press("a")
    dialog = board.get_by_role("dialog", name="New service")
    unfold(dialog)
    dialog.get_by_label("Name", exact=True).fill("API")
    dialog.get_by_label("Stage").select_option(label=f"2 · {SECOND}")
    dialog.get_by_label("Command", exact=True).fill("exec ./server\n  --port $PORT")
    dialog.get_by_label("Directory").fill("/srv/api")
    for number, command in enumerate(["make deps", "make\nall"], 1):
        dialog.get_by_role("button", name="Add a build command").click()
        dialog.get_by_label(f"Build command {number}", exact=True).fill(command)
    dialog.get_by_label("Ports").fill("8080, 0")
    for number, (name, value) in enumerate([("A", "1"), ("B", "x\ny"), ("C", "")], 1):
        dialog.get_by_role("button", name="Add a variable").click()
        dialog.get_by_label(f"Name of variable {number}", exact=True).fill(name)
        dialog.get_by_label(f"Value of variable {number}", exact=True).fill(value)
    dialog.get_by_label("Healthy when").select_option("http")
    dialog.get_by_label("Path").fill("/health")
    dialog.get_by_label("Port, by its place").fill("1")
    for label, seconds in [
        ("Every", "2.5"),
        ("At most (s)", "3"),
        ("Failed after", "90"),
        ("Build, at most", "100"),
        ("Deploy, at most", "200"),
        ("Grace of a stop", "5"),
        ("Retries", "3"),
        ("First wait", "4"),
        ("Factor", "3"),
        ("Longest wait", "60"),
        ("Jitter", "0.5"),
    ]:
        dialog.get_by_label(label).fill(seconds)
    dialog.get_by_label("may succeed without it").check()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(card(column(board, SECOND), "API")).to_be_visible()
    assert spec(world, "API") == {
        "image": None,
        "buildContext": None,
        "dockerfile": None,
        "workingDirectory": "/srv/api",
        "buildCommands": ["make deps", "make\nall"],
        "runCommand": "exec ./server\n  --port $PORT",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "x\ny"}, {"name": "C", "value": ""}],
        "ports": [8080, 0],
        "healthCheck": {
            "http": {"path": "/health", "portIndex": 1},
            "tcp": None,
            "command": None,
            "intervalSeconds": 2.5,
            "timeoutSeconds": 3,
            "startPeriodSeconds": 90,
        },
        "buildTimeoutSeconds": 100,
        "deployTimeoutSeconds": 200,
        "stopGraceSeconds": 5,
        "retries": 3,
        "backoff": {"initialSeconds": 4, "factor": 3, "maxSeconds": 60, "jitter": 0.5},
        "allowFailure": True,
    }


def test_saving_what_was_not_edited_changes_nothing(board: Page, world: World) -> None:
    given = {
        "buildContext": "/srv/<b>",
        "dockerfile": "Dockerfile.dev",
        "env": [{"name": "A", "value": "multi\nline"}],
        "ports": [0, 81],
        "healthCheck": {"tcp": {"portIndex": 1}, "intervalSeconds": 7},
        "retries": 2,
        "backoff": {"initialSeconds": 2, "jitter": 0.25},
        "allowFailure": True,
    }
    document = """mutation ($environment: ID!, $spec: ServiceSpecInput) {
      addService(environment: $environment, name: "Kept", type: APPLICATION, spec: $spec) { __typename }
    }"""
    assert world.server.execute(document, environment=world.id, spec=given)
    expect(card(board, "Kept")).to_be_visible()
    before = spec(world, "Kept")
    dialog = edit(board, "Kept")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    assert spec(world, "Kept") == before
    expect(board.get_by_role("button", name="Undo", exact=True)).to_have_count(0)  # nothing was changed


def test_a_service_is_edited(board: Page, world: World) -> None:
    board.locator("[data-service]").filter(has_text="Backend").focus()
    board.keyboard.press("Enter")
    dialog = board.get_by_role("dialog", name="Edit Backend")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("Backend")
    unfold(dialog)
    dialog.get_by_label("Name", exact=True).fill("Back")
    dialog.get_by_label("Source").select_option("image")
    dialog.get_by_role("textbox", name="Image").fill("redis:8")
    dialog.get_by_label("Healthy when").select_option("command")
    dialog.get_by_label("Check command").fill("true")
    dialog.get_by_role("button", name="Add a variable").click()
    dialog.get_by_label("Name of variable 1").fill("0 0")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("0 0")  # it is no name of a variable
    dialog.get_by_label("Name of variable 1").fill("A")
    dialog.get_by_role("button", name="Save").click()
    expect(card(board, "Back")).to_be_visible()
    found = spec(world, "Back")
    assert (found["image"], found["runCommand"], found["healthCheck"]["command"]) == ("redis:8", None, "true")
    board.get_by_role("button", name="Undo", exact=True).click()
    expect(board.get_by_role("list", name="Notices")).to_contain_text("undone")


def test_a_service_is_renamed_in_its_place(board: Page, world: World) -> None:
    board.locator("[data-service]").filter(has_text="Backend").focus()
    board.keyboard.press("F2")
    board.get_by_label("Name of the service").fill("No")
    board.keyboard.press("Escape")
    expect(card(board, "Backend")).to_be_visible()
    card(board, "Backend").locator(".body").dblclick()
    board.get_by_label("Name of the service").fill("Back <b>end</b>")
    board.keyboard.press("Enter")
    expect(card(board, "Back <b>end</b>")).to_be_visible()
    assert "Back <b>end</b>" in world.order()[LAST]


def test_a_service_is_removed_and_brought_back_by_undo(board: Page, world: World) -> None:
    menu(board, "Backend", "Remove …")
    board.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(card(board, "Backend")).to_have_count(0)
    assert world.order()[LAST] == ["Frontend"]
    board.get_by_role("button", name="Undo", exact=True).click()
    expect(card(board, "Backend")).to_be_visible()


@pytest.mark.parametrize("choice", ["Keep theirs", "Make mine, too"])
def test_two_edits_of_one_service_show_both_sides(open_page: OpenPage, world: World, choice: str) -> None:
    held = False

    def pass_on(near: WebSocketRoute) -> None:
        far = near.connect_to_server()
        far.on_message(lambda message: None if held else near.send(message))

    page = open_page("/")
    page.route_web_socket("**/graphql", pass_on)
    page.goto(f"/environments/{world.id}")
    dialog = edit(page, "Backend")
    held = True
    world.server.execute(
        "mutation ($id: ID!, $spec: ServiceSpecInput!) {"
        ' editService(environment: $id, service: "Backend", spec: $spec) { __typename } }',
        id=world.id,
        spec={"runCommand": "theirs"},
    )
    dialog.get_by_role("textbox", name="Command", exact=True).fill("mine")
    dialog.get_by_role("button", name="Save").click()
    conflict = page.get_by_role("dialog", name="Somebody changed this meanwhile")
    expect(conflict).to_contain_text("theirs")
    expect(conflict).to_contain_text("Editing Backend")
    assert spec(world, "Backend")["runCommand"] == "theirs"
    conflict.get_by_role("button", name=choice).click()
    expect(conflict).to_have_count(0)
    wanted = "theirs" if choice == "Keep theirs" else "mine"
    if wanted == "mine":
        expect(page.locator("[data-said]")).to_contain_text("is saved")
    assert spec(world, "Backend")["runCommand"] == wanted
