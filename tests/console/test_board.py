"""The board: the order is seen, changed by mouse, keyboard and menu, and everybody's changes appear."""

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.console.conftest import FIRST, LAST, SECOND, THIRD, OpenPage, World, card, column, execute_as

pytestmark = pytest.mark.long


def expect_in(page: Page, service: str, stage: str) -> None:
    expect(card(column(page, stage), service)).to_be_visible()


def expect_said(page: Page, text: str) -> None:
    expect(page.locator("[data-said]")).to_contain_text(text)


def stages(page: Page) -> list[str]:
    return page.locator(".column h2").all_inner_texts()


def menu(page: Page, of: str, item: str) -> None:
    page.get_by_role("button", name=f"Actions for {of}", exact=True).click()
    page.get_by_role("menuitem", name=item).click()


def test_the_board_has_a_column_for_each_stage_and_a_card_for_each_service(board: Page) -> None:
    assert stages(board) == [FIRST, SECOND, THIRD, LAST]
    for service, stage in [("DB", FIRST), ("Rabbitmq", THIRD), ("Backend", LAST), ("Frontend", LAST)]:
        expect_in(board, service, stage)
    expect(card(board, "DB")).to_contain_text("database")
    expect(card(board, "DB")).to_contain_text("not deployed")
    expect(column(board, SECOND)).to_contain_text("No services")


def test_a_service_is_dragged_to_another_stage(board: Page, world: World) -> None:
    card(board, "Backend").drag_to(column(board, SECOND))
    expect_in(board, "Backend", SECOND)
    expect_said(board, f"Backend is in stage 2, {SECOND}.")
    assert world.order()[SECOND] == ["Backend"]


def test_the_consequence_is_drawn_before_the_drop(board: Page, world: World) -> None:
    card(board, "DB").hover()
    board.mouse.down()
    place = column(board, LAST).bounding_box()
    assert place is not None
    for step in (50, 60):
        board.mouse.move(place["x"] + step, place["y"] + step, steps=3)
    expect(column(board, LAST)).to_contain_text("DB will deploy after Rabbitmq.")
    board.keyboard.press("Escape")
    board.mouse.up()
    assert world.order()[FIRST] == ["DB"]


def test_a_stage_is_dragged_to_another_place(board: Page) -> None:
    column(board, FIRST).locator(".head").drag_to(column(board, THIRD))
    expect(board.locator(".column h2").nth(2)).to_have_text(FIRST)
    assert stages(board) == [SECOND, THIRD, FIRST, LAST]


def test_a_service_is_moved_by_keyboard_only(board: Page, world: World) -> None:
    board.keyboard.press("Tab")
    while board.evaluate("!document.activeElement.matches('[data-head]')"):
        board.keyboard.press("Tab")
    board.keyboard.press("ArrowDown")
    expect(board.locator("[data-service]:focus")).to_contain_text("DB")
    board.keyboard.press("Space")
    expect_said(board, "DB lifted from position 1.")
    board.keyboard.press("ArrowRight")
    board.keyboard.press("ArrowRight")
    expect_said(board, f"Position 3 of 4: {THIRD}. DB will deploy before Backend and Frontend.")
    board.keyboard.press("ArrowRight")
    expect_said(board, "DB will deploy after Rabbitmq.")
    board.keyboard.press("Escape")
    expect_said(board, "Left where it was.")
    board.keyboard.press("Space")
    board.keyboard.press("ArrowRight")
    board.keyboard.press("Enter")
    expect_in(board, "DB", SECOND)
    expect(board.locator("[data-service]:focus")).to_contain_text("DB")
    expect_said(board, f"DB is in stage 2, {SECOND}.")
    assert world.order()[SECOND] == ["DB"]
    board.keyboard.press("ArrowUp")
    board.keyboard.press("Space")
    board.keyboard.press("ArrowLeft")
    board.keyboard.press("Enter")
    expect_said(board, f"{SECOND} is stage 1 now.")
    assert stages(board)[0] == SECOND


def test_a_service_is_moved_by_menu_with_the_keyboard(board: Page) -> None:
    board.get_by_role("button", name="Actions for Frontend").focus()
    board.keyboard.press("Enter")
    expect(board.get_by_role("menuitem", name="Edit …")).to_be_focused()
    board.keyboard.press("2")
    expect(board.get_by_role("menuitem", name=f"2 · {SECOND}")).to_be_focused()
    board.keyboard.press("Escape")
    expect(board.get_by_role("menu")).to_have_count(0)
    expect(board.get_by_role("button", name="Actions for Frontend")).to_be_focused()
    board.keyboard.press("Enter")
    board.keyboard.press("End")
    board.keyboard.press("Enter")
    expect_in(board, "Frontend", THIRD)


def test_a_stage_is_created_renamed_described_moved_and_deleted(board: Page, world: World) -> None:
    board.get_by_role("button", name="New stage").click()
    board.get_by_label("Name").fill("Smoke tests")
    board.get_by_role("button", name="Create").click()
    expect(column(board, "Smoke tests")).to_be_visible()
    menu(board, "stage Smoke tests", "Move left")
    expect(board.locator(".column h2").nth(3)).to_have_text("Smoke tests")
    column(board, "Smoke tests").locator(".head").dblclick()
    board.get_by_label("Name of the stage").fill("Checks")
    board.keyboard.press("Enter")
    menu(board, "stage Checks", "Describe")
    board.get_by_label("Description").fill("They read only.")
    board.get_by_role("button", name="Save").click()
    expect(column(board, "Checks")).to_contain_text("They read only.")
    card(board, "Frontend").drag_to(column(board, "Checks"))
    expect_in(board, "Frontend", "Checks")
    menu(board, "stage Checks", "Delete")
    board.get_by_label("Move its service to").select_option(label=f"1 · {FIRST}")
    board.get_by_role("button", name="Delete").click()
    expect(column(board, "Checks")).to_have_count(0)
    expect_in(board, "Frontend", FIRST)
    assert world.order() == {FIRST: ["DB", "Frontend"], SECOND: [], THIRD: ["Rabbitmq"], LAST: ["Backend"]}


def test_a_service_is_added_and_skipped(board: Page, world: World) -> None:
    menu(board, f"stage {SECOND}", "Add a service")
    board.get_by_label("Name").fill("Migrations")
    board.get_by_label("Type").select_option("JOB")
    board.get_by_role("textbox", name="Command", exact=True).fill("true")
    board.get_by_role("button", name="Add", exact=True).click()
    expect_in(board, "Migrations", SECOND)
    menu(board, "Migrations", "Skip in deployments")
    expect(card(board, "Migrations")).to_contain_text("skipped")
    assert world.order()[SECOND] == ["Migrations"]


def test_a_refused_name_stays_in_the_dialog_with_the_reason(board: Page) -> None:
    board.get_by_role("button", name="New stage").click()
    board.get_by_label("Name").fill(FIRST)
    board.get_by_role("button", name="Create").click()
    expect(board.get_by_role("dialog").get_by_role("alert")).to_contain_text(FIRST)
    expect(board.locator(".notices li")).to_have_count(0)  # it is said once
    expect(board.get_by_label("Name")).to_have_value(FIRST)
    board.keyboard.press("Escape")
    expect(board.get_by_role("dialog")).to_have_count(0)


def test_a_refused_rename_says_why(board: Page) -> None:
    column(board, SECOND).locator(".head").dblclick()
    board.get_by_label("Name of the stage").fill(FIRST)
    board.keyboard.press("Enter")
    expect(board.locator(".notices .bad")).to_contain_text("was refused")
    assert stages(board)[1] == SECOND


def test_a_move_that_did_not_reach_the_server_goes_back(board: Page, world: World) -> None:
    board.route("**/graphql", lambda route: route.abort())
    card(board, "DB").drag_to(column(board, LAST))
    expect(board.locator(".notices .bad")).to_contain_text("The server can’t be reached.")
    expect_in(board, "DB", FIRST)
    assert world.order()[FIRST] == ["DB"]
    board.unroute("**/graphql")


def test_the_change_of_somebody_else_appears_with_the_name(board: Page, world: World) -> None:
    move = f'mutation {{ moveService(environment: "{world.id}", service: "DB", stage: "{THIRD}") {{ __typename }} }}'
    execute_as(world.server, "robot", "Ada", move)
    expect_in(board, "DB", THIRD)
    expect(board.locator(".notices")).to_contain_text("Ada: DB moved")


def test_undo_takes_back_the_last_changes_one_after_another(board: Page, world: World) -> None:
    before = world.order()
    expect(board.get_by_role("button", name="Undo")).to_have_count(0)
    card(board, "Backend").drag_to(column(board, SECOND))
    expect_in(board, "Backend", SECOND)
    card(board, "DB").drag_to(column(board, LAST))
    expect_in(board, "DB", LAST)
    world.do("moveService", service="Rabbitmq", stage=FIRST)
    expect_in(board, "Rabbitmq", FIRST)
    board.get_by_role("button", name="Undo").click()
    expect_in(board, "DB", FIRST)
    board.get_by_role("button", name="Undo").click()
    expect_in(board, "Backend", LAST)
    expect(board.get_by_role("button", name="Undo")).to_have_count(0)
    assert world.order()[THIRD] == []  # what others did stays
    assert sorted(world.order()[LAST]) == sorted(before[LAST])


def test_an_undo_that_others_build_on_is_refused_and_says_who(board: Page, world: World) -> None:
    card(board, "Backend").drag_to(column(board, SECOND))
    expect_said(board, f"Backend is in stage 2, {SECOND}.")
    world.do("moveService", service="Backend", stage=THIRD)
    expect_in(board, "Backend", THIRD)
    board.get_by_role("button", name="Undo").click()
    expect(board.locator(".notices .bad")).to_contain_text("The undo was refused")
    assert "Backend" in world.order()[THIRD]


@pytest.mark.parametrize("choice", ["Keep theirs", "Make mine, too"])
def test_a_conflict_shows_both_sides_and_lets_one_choose(open_page: OpenPage, world: World, choice: str) -> None:
    held = False

    def pass_on(near: WebSocketRoute) -> None:
        far = near.connect_to_server()
        far.on_message(lambda message: None if held else near.send(message))

    page = open_page("/")
    page.route_web_socket("**/graphql", pass_on)
    page.goto(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()
    held = True  # the page does not learn what follows
    world.do("moveService", service="DB", stage=THIRD)
    card(page, "DB").drag_to(column(page, LAST))
    dialog = page.get_by_role("dialog", name="Somebody changed this meanwhile")
    expect(dialog).to_contain_text(f"Moving DB to {LAST}")
    expect(dialog).to_contain_text(THIRD)
    expect(dialog.get_by_role("button", name="Keep theirs")).to_be_focused()
    assert "DB" in world.order()[THIRD]
    dialog.get_by_role("button", name=choice).click()
    expect(dialog).to_have_count(0)
    if choice == "Make mine, too":
        expect_said(page, f"DB is in stage 4, {LAST}.")
    assert ("DB" in world.order()[LAST]) == (choice == "Make mine, too")


def test_moves_of_different_services_do_not_disturb_each_other(open_page: OpenPage, world: World) -> None:
    pages = [open_page(f"/environments/{world.id}") for _ in range(2)]
    for page in pages:
        expect(card(page, "DB")).to_be_visible()
    for page, service in zip(pages, ("DB", "Backend"), strict=True):
        card(page, service).drag_to(column(page, SECOND))
    for page in pages:
        expect_in(page, "DB", SECOND)
        expect_in(page, "Backend", SECOND)
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_fast_moves_of_one_service_do_not_conflict_with_themselves(board: Page, world: World) -> None:
    head = board.locator("[data-service]").filter(has_text="DB")
    head.focus()
    for _ in range(3):
        board.keyboard.press("Space")
        board.keyboard.press("ArrowRight")
        board.keyboard.press("Enter")
        expect(board.locator("[data-service]:focus")).to_contain_text("DB")
    expect_said(board, f"DB is in stage 4, {LAST}.")
    expect(board.get_by_role("dialog")).to_have_count(0)
    assert "DB" in world.order()[LAST]


def test_the_board_survives_a_killed_server(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()
    world.server.kill()
    expect(page.get_by_text("Connection lost.")).to_be_visible()
    world.server.start()
    world.do("moveService", service="DB", stage=SECOND)
    expect_in(page, "DB", SECOND)
    expect(page.get_by_text("Connection lost.")).to_have_count(0)


def test_names_are_shown_as_text(board: Page, world: World) -> None:
    names = ["<img src=x onerror=alert(1)>", "اسم ثم abc", "🚀 émoji", "&lt;b&gt;"]
    for name in names:
        world.add(name, "JOB")
    for name in names:
        expect(card(board, name)).to_be_visible()
    assert board.locator(".cards img, .cards b").count() == 0
    menu(board, names[0], "1 · ")
    expect_in(board, names[0], FIRST)


def test_an_environment_is_chosen_in_the_header(board: Page, world: World) -> None:
    other = world.server.execute(
        'mutation ($name: String!) { createEnvironment(project: "Shop", name: $name) '
        "{ ... on PipelinePayload { pipeline { environment { id } } } } }",
        name=f"{world.name} 2",
    )["createEnvironment"]["pipeline"]["environment"]["id"]
    board.reload()
    board.get_by_role("combobox", name="Environment", exact=True).select_option(other)
    expect(board.get_by_text("No services yet.")).to_be_visible()
    assert board.url.endswith(f"/environments/{other}")
    board.get_by_label("Project").select_option("Shop")
    board.get_by_role("link", name="Stageline: all environments").click()
    expect(board.get_by_role("link", name=f"{world.name} never deployed", exact=True)).to_be_visible()


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


def test_a_service_is_edited_removed_and_brought_back_by_keyboard(board: Page, world: World) -> None:
    board.locator("[data-service]").filter(has_text="Backend").focus()
    board.keyboard.press("Enter")
    expect(board.get_by_role("dialog", name="Edit Backend")).to_be_visible()
    board.keyboard.press("Escape")
    board.locator("[data-service]").filter(has_text="Backend").focus()
    board.keyboard.press("Delete")
    board.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(card(board, "Backend")).to_have_count(0)
    expect(board.get_by_role("button", name="Undo", exact=True)).to_be_visible()
    board.keyboard.press("u")
    expect(card(board, "Backend")).to_be_visible()
    assert "Backend" in world.order()[LAST]
