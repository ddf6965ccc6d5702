"""GraphiQL as a person meets it: a real browser against a real server."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha384
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from server import graphiql
from tests.serving import ROOT, Serving, serving

# The message of the browser about requests that the tests mean to fail.
MEANT = ("401 (Unauthorized)", "ERR_INTERNET_DISCONNECTED")

expect.set_options(timeout=20_000)  # milliseconds; a machine may be busy

CREATE = """
mutation {
  createProject(name: "Shop") { __typename }
  createEnvironment(project: "Shop", name: "staging") { ... on PipelinePayload { pipeline { environment { id } } } }
}
"""
ADD_JOB = """
mutation ($environment: ID!) {
  addService(environment: $environment, name: "Migrations", type: JOB, spec: {runCommand: "true"}) { __typename }
}
"""
NEWEST = "query ($environment: ID!) { deployments(environment: $environment, first: 1) { edges { node { id } } } }"
FIRST_EVENT = """
query ($deployment: ID!) { deploymentEvents(deployment: $deployment, first: 1) { edges { node { origin } } } }
"""
DEPLOY = "mutation ($environment: ID!) { deploy(environment: $environment) { __typename } }"
CREATE_STAGE = """
mutation ($environment: ID!, $name: String!) {
  createStage(environment: $environment, name: $name) { ... on PipelinePayload { pipeline { version } } }
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def environment(server: Serving) -> str:
    """The id of an environment that the examples' variables are filled with: the first one of the first project."""
    made = str(server.execute(CREATE)["createEnvironment"]["pipeline"]["environment"]["id"])
    server.execute(ADD_JOB, environment=made)
    return made


@dataclass
class Heard:
    """The requests and errors of a page."""

    addresses: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def page(browser: Browser, server: Serving, environment: str, heard: Heard) -> Iterator[Page]:
    """A page in a browser that knows nothing yet; it may talk to the server only, and has nothing to complain of."""
    context = browser.new_context(base_url=server.url)
    context.on("request", lambda request: heard.addresses.append(request.url))
    opened = context.new_page()
    opened.on("websocket", lambda socket: heard.addresses.append(socket.url))
    opened.on("pageerror", lambda error: heard.complaints.append(str(error)))
    opened.on("console", lambda said: heard.complaints.append(said.text) if said.type == "error" else None)
    yield opened
    context.close()
    here = (server.url + "/", server.url.replace("http", "ws", 1) + "/", "data:")
    assert [address for address in heard.addresses if not address.startswith(here)] == []
    assert [address for address in heard.addresses if server.token in address] == []
    assert [complaint for complaint in heard.complaints if not complaint.endswith(MEANT)] == []


def enter(page: Page, token: str) -> None:
    page.get_by_label("Access token").fill(token)
    page.get_by_role("button", name="Continue").click()


def run(page: Page) -> None:
    page.get_by_role("button", name="Execute query").click()


def show(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()


def expect_result(page: Page, text: str) -> None:
    expect(page.locator(".graphiql-response .CodeMirror-code")).to_contain_text(text)


def test_a_person_enters_the_token_and_runs_a_query(page: Page, server: Serving) -> None:
    page.goto("/graphql")
    enter(page, server.token)
    run(page)
    expect_result(page, '"name": "Shop"')
    expect_result(page, '"name": "staging"')


def test_the_examples_are_filled_with_what_is_there(page: Page, server: Serving, environment: str) -> None:
    page.goto("/graphql")
    enter(page, server.token)
    show(page, "Pipeline")
    expect(page.get_by_label("Variables")).to_contain_text(environment)
    run(page)
    expect_result(page, '"name": "DATABASE DEFAULT"')


def test_a_subscription_shows_what_happens_meanwhile(page: Page, server: Serving, environment: str) -> None:
    page.goto("/graphql")
    enter(page, server.token)
    show(page, "PipelineEvents")
    run(page)
    expect_result(page, '"subscription": "live, ')
    server.execute(CREATE_STAGE, environment=environment, name="smoke tests")
    expect_result(page, "smoke tests")
    page.get_by_role("button", name="Stop query").click()
    expect_result(page, '"subscription": "stopped, ')


def test_a_deployment_is_followed_to_its_end(page: Page, server: Serving, environment: str) -> None:
    server.execute(DEPLOY, environment=environment)
    page.goto("/graphql")
    enter(page, server.token)
    show(page, "DeploymentEvents")
    run(page)
    expect_result(page, '"subscription": "complete, ')
    expect_result(page, "succeeded")
    expect(page.get_by_role("button", name="Execute query")).to_be_visible()


def test_a_change_made_here_is_recorded_as_the_apis(page: Page, server: Serving, environment: str) -> None:
    page.goto("/graphql")
    enter(page, server.token)
    show(page, "Deploy")
    run(page)
    expect_result(page, '"number"')
    (newest,) = server.execute(NEWEST, environment=environment)["deployments"]["edges"]
    (first,) = server.execute(FIRST_EVENT, deployment=newest["node"]["id"])["deploymentEvents"]["edges"]
    assert first["node"]["origin"] == "API"


def test_a_wrong_token_is_told(page: Page, server: Serving) -> None:
    page.goto("/graphql")
    enter(page, "stageline_nonsense")
    expect(page.get_by_role("alert")).to_have_text("The server doesn’t accept this token.")
    expect(page.get_by_label("Access token")).to_be_focused()
    enter(page, server.token)
    expect(page.get_by_role("button", name="Execute query")).to_be_visible()


def test_a_token_that_is_no_longer_good_is_asked_for_again(page: Page, server: Serving) -> None:
    page.goto("/graphql")
    enter(page, server.token)
    expect(page.get_by_role("button", name="Execute query")).to_be_visible()
    page.evaluate("sessionStorage.setItem('stageline-token', 'stageline_revoked')")
    page.reload()
    expect(page.get_by_role("alert")).to_have_text("The server doesn’t accept this token.")
    page.reload()
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_token_that_the_socket_refuses_is_asked_for_again(page: Page, server: Serving) -> None:
    page.route_web_socket("**/graphql", lambda socket: socket.close(code=4403, reason="Forbidden"))
    page.goto("/graphql")
    enter(page, server.token)
    show(page, "PipelineEvents")
    run(page)
    expect(page.get_by_role("alert")).to_have_text("The server doesn’t accept this token.")


def test_a_subscription_that_is_cut_off_says_so(page: Page, server: Serving) -> None:
    page.route_web_socket("**/graphql", lambda socket: socket.close(code=1011, reason="restarting"))
    page.goto("/graphql")
    enter(page, server.token)
    show(page, "PipelineEvents")
    run(page)
    expect_result(page, "The connection to the server was lost (1011: restarting).")


def test_a_link_with_a_token_signs_nobody_in(page: Page, server: Serving) -> None:
    page.goto(f"/graphql#token={server.token}")
    expect(page.get_by_label("Access token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_the_token_is_kept_in_the_tab_and_forgotten_when_asked(page: Page, server: Serving) -> None:
    page.goto("/graphql")
    enter(page, server.token)
    run(page)
    expect_result(page, '"projects"')
    assert page.evaluate("sessionStorage.getItem('stageline-token')") == server.token
    assert server.token not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
    page.get_by_role("button", name="Forget token").click()
    expect(page.get_by_label("Access token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_server_that_is_away_is_told(page: Page) -> None:
    page.goto("/graphql")
    page.context.set_offline(True)
    enter(page, "stageline_nonsense")
    expect(page.get_by_role("alert")).to_contain_text("The server can’t be reached.")


def test_menus_and_dialogs_keep_to_the_pages_policy(page: Page, server: Serving) -> None:
    page.goto("/graphql")
    enter(page, server.token)
    page.get_by_role("button", name="Open settings dialog").click()
    page.get_by_role("button", name="Dark").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(page.get_by_role("link", name="Subscription")).to_be_visible()
    page.get_by_role("combobox").click()
    page.get_by_role("combobox").press_sequentially("pipelineEv")
    expect(page.get_by_role("option").filter(has_text="pipelineEvents").first).to_be_visible()


def test_the_page_is_open_and_runs_scripts_of_this_server_only(server: Serving) -> None:
    answer = httpx.get(f"{server.url}/graphql", headers={"accept": "text/html"})
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert answer.status_code == 200
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"].lower() == "accept"


@pytest.mark.parametrize(
    ("file", "cached"),
    [("page.js", "no-cache"), ("vendor/react-18.3.1.js", "public, max-age=31536000, immutable")],
)
def test_what_has_its_version_in_its_name_is_cached_for_ever(server: Serving, file: str, cached: str) -> None:
    answer = httpx.get(f"{server.url}/graphiql/assets/{file}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == cached
    again = httpx.get(answer.url, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["cache-control"] == cached


def test_where_only_listed_documents_are_answered_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "documents.json").write_text("{}")
    with serving(tmp_path, "--documents", "documents.json") as listing, browser.new_page() as page:
        answer = page.goto(f"{listing.url}/#token={listing.token}")
        assert answer is not None
        assert answer.status == 403
        expect(page.get_by_text("This server answers listed documents only")).to_be_visible()
        expect(page.get_by_label("Access token")).to_have_count(0)


def test_programs_without_a_token_get_no_page(server: Serving) -> None:
    answer = httpx.post(f"{server.url}/graphql", json={"query": "{ projects { edges { node { id } } } }"})
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["message"]


def test_the_vendored_files_are_those_of_the_manifest_and_of_the_page() -> None:
    manifest = json.loads((graphiql.HERE / "vendor.json").read_text())
    named = {name: file["integrity"] for package in manifest.values() for name, file in package["files"].items()}
    folder = graphiql.HERE / "assets/vendor"
    kept = {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "LICENSES.txt"}
    assert named == {name: f"sha384-{b64encode(sha384(content).digest()).decode()}" for name, content in kept.items()}
    text = (graphiql.HERE / "index.html").read_text()
    assert [name for name in named if f'"graphiql/assets/vendor/{name}"' not in text] == []
    assert "://" not in text
    licences = (folder / "LICENSES.txt").read_text()
    assert [package for package in manifest if package not in licences] == []


def test_the_script_that_fetches_the_vendored_files_names_no_registry() -> None:
    assert "://" not in (ROOT / "scripts/vendor-graphiql").read_text()
