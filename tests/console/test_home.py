"""The overview of all environments, live; and what the pages show when there is nothing, no network or no way."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser import sign_in
from tests.console.conftest import OpenPage, World, card
from tests.serving import serving

pytestmark = pytest.mark.long


@pytest.fixture
def page(open_page: OpenPage, world: World) -> Page:
    page = open_page()
    expect(page.get_by_role("link", name=f"{world.name} never deployed", exact=True)).to_be_visible()
    return page


def test_the_overview_follows_deployments_without_polling(page: Page, world: World) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    world.add("Slow", "JOB", "sleep 3")
    world.do("deploy")
    entry = page.get_by_role("link", name=world.name)
    expect(entry).to_contain_text("running")
    expect(entry.get_by_role("progressbar")).to_be_visible()
    expect(entry).to_contain_text("succeeded")
    expect(entry).to_contain_text("#1")
    expect(entry).to_contain_text("admin")
    assert asked == []


def test_new_projects_and_environments_appear_at_once(page: Page, world: World) -> None:
    name = f"Project of {world.name} <i>"
    world.server.execute("mutation ($name: String!) { createProject(name: $name) { __typename } }", name=name)
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    made = world.server.execute(
        'mutation ($p: ID!) { createEnvironment(project: $p, name: "one") '
        "{ ... on PipelinePayload { pipeline { environment { id } } } } }",
        p=name,
    )["createEnvironment"]["pipeline"]["environment"]["id"]
    section = page.get_by_role("region", name=name)
    expect(section.get_by_role("link", name="one")).to_be_visible()
    world.server.execute("mutation ($e: ID!) { deleteEnvironment(environment: $e) { __typename } }", e=made)
    expect(section).to_contain_text("No environments yet.")
    world.server.execute("mutation ($p: ID!) { deleteProject(project: $p) { __typename } }", p=name)
    expect(page.get_by_role("heading", name=name)).to_have_count(0)


def test_a_project_and_an_environment_are_created(page: Page, world: World) -> None:
    name = f"Made for {world.name}"
    page.get_by_role("button", name="New project").click()
    page.get_by_label("Name").fill("Shop")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Shop")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("button", name=f"New environment in {name}").click()
    page.get_by_label("Name").fill("staging")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("No services yet.")).to_be_visible()
    switcher = page.get_by_role("combobox", name="Environment", exact=True)
    expect(switcher.locator("option:checked")).to_have_text("staging")


def test_projects_out_of_sight_are_not_followed(open_page: OpenPage, world: World) -> None:
    for number in range(40):
        world.server.execute(f'mutation {{ createProject(name: "Zzz {number:02}") {{ __typename }} }}')
    page = open_page("/", viewport={"width": 1280, "height": 500})
    last = page.get_by_role("region", name="Zzz 39")
    expect(last).to_have_count(1)
    expect(last).not_to_contain_text("No environments yet.")
    last.scroll_into_view_if_needed()
    expect(last).to_contain_text("No environments yet.")


def test_a_server_without_projects_says_how_to_begin(
    open_page: OpenPage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("empty")) as server:
        page = open_page()
        page.route_web_socket("**/graphql", lambda near: None)  # nothing is answered
        page.reload()
        expect(page.get_by_text("Loading the projects …")).to_be_visible()
        context = page.context.browser.new_context()  # type: ignore[union-attr]
        empty = context.new_page()
        sign_in(empty, server.token, server.url)
        expect(empty.get_by_text("There are no projects yet.")).to_be_visible()
        empty.get_by_role("button", name="Create the first project").click()
        empty.get_by_label("Name").fill("First")
        empty.get_by_role("button", name="Create", exact=True).click()
        expect(empty.get_by_role("region", name="First")).to_contain_text("No environments yet.")
        context.close()


def test_offline_the_page_says_how_old_it_is_and_comes_back(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()
    world.server.kill()
    bar = page.locator(".lost")
    expect(bar).to_contain_text("Connection lost. You see the state of")
    expect(bar.locator(".age")).to_have_text("It is 2.0 s old.")
    expect(card(page, "DB")).to_be_visible()
    page.get_by_role("link", name="History").click()
    expect(page.get_by_text("Loading the history …")).to_be_visible()
    world.server.start()
    expect(page.get_by_text("DB added")).to_be_visible()
    expect(bar).to_have_count(0)


def test_a_query_that_failed_is_sent_again_when_the_person_asks(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()
    sent: list[str] = []

    def abort(route: Route) -> None:
        sent.append(route.request.post_data or "")
        route.abort()

    page.route("**/graphql", abort)
    page.get_by_role("link", name="Stageline: all environments").click()
    page.get_by_role("link", name=world.name).click()
    expect(page.get_by_text("The server can’t be reached.")).to_be_visible()
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("The server can’t be reached.")).to_be_visible()
    assert sum("query Environment" in each for each in sent) == 2
    page.unroute("**/graphql")
    page.get_by_role("button", name="Try again").click()
    expect(card(page, "DB")).to_be_visible()


def test_a_query_that_fails_after_a_lost_connection_is_sent_again(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()
    held: list[Route] = []
    is_up = True
    page.route("**/graphql", lambda route: held.append(route) if is_up else route.continue_())
    page.get_by_role("link", name="History").click()
    expect(page.get_by_text("Loading the history …")).to_be_visible()
    world.server.kill()
    is_up = False
    expect(page.locator(".lost")).to_be_visible()
    world.server.start()
    expect(page.locator(".lost")).to_have_count(0)
    for route in held:
        route.abort()
    parts = page.get_by_label("Stage or service")
    expect(parts.get_by_role("option", name="DB", exact=True)).to_have_count(1)


@pytest.mark.parametrize("address", ["/environments/none", "/environments/none/history", "/nowhere"])
def test_an_address_that_leads_nowhere_says_so(open_page: OpenPage, address: str) -> None:
    page = open_page()
    if address == "/nowhere":
        page.evaluate("history.pushState(null, '', '/nowhere'); dispatchEvent(new Event('popstate'))")
        expect(page.get_by_text("There is no such page.")).to_be_visible()
    else:
        page.goto(address)
        expect(page.get_by_text("There is no such environment.")).to_be_visible()
    page.get_by_role("link", name="All environments", exact=True).click()
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
