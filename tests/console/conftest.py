"""The console as a person meets it: a real browser against a real server."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser import sign_in
from tests.serving import ROOT, Serving, serving

MEANT = (
    "401 (Unauthorized)",
    "502 (Bad Gateway)",
    "Unexpected response code: 502",
    "ERR_INTERNET_DISCONNECTED",
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_FAILED",
)
"""Messages of the browser about requests that the tests make fail on purpose."""

expect.set_options(timeout=20_000)  # milliseconds; a machine may be busy

CREATE_ENVIRONMENT = """
mutation ($name: String!) {
  createEnvironment(project: "Shop", name: $name) { ... on PipelinePayload { pipeline { environment { id } } } }
}
"""
ADD_SERVICE = """
mutation ($environment: ID!, $name: String!, $type: ServiceType!, $run: String!) {
  addService(environment: $environment, name: $name, type: $type, spec: {runCommand: $run}) {
    ... on PipelinePayload { changed }
  }
}
"""
SET_VARIABLE = """
mutation ($environment: ID!, $name: String!, $value: String!) {
  setEnvironmentVariables(environment: $environment, variables: [{name: $name, value: $value}]) { __typename }
}
"""
ORDER = "query ($id: ID!) { pipeline(environment: $id) { version stages { id name services { id name } } } }"

FIRST, SECOND, THIRD, LAST = "DATABASE DEFAULT", "JOB DEFAULT", "CONTAINER DEFAULT", "APPLICATION DEFAULT"


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """The page is built from the sources as they are."""
    made = subprocess.run([ROOT / "scripts/console"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        running.execute('mutation { createProject(name: "Shop") { __typename } }')
        yield running


@dataclass
class World:
    """An environment with a database, a container and two applications."""

    server: Serving
    id: str
    name: str

    def add(self, name: str, type_: str = "APPLICATION", run: str = "exec sleep 3600") -> None:
        self.server.execute(ADD_SERVICE, environment=self.id, name=name, type=type_, run=run)

    def set_variable(self, name: str, value: str) -> None:
        self.server.execute(SET_VARIABLE, environment=self.id, name=name, value=value)

    def order(self) -> dict[str, list[str]]:
        """The names of the services, by the name of their stage."""
        stages = self.server.execute(ORDER, id=self.id)["pipeline"]["stages"]
        return {stage["name"]: [service["name"] for service in stage["services"]] for stage in stages}

    def do(self, mutation: str, **arguments: object) -> Any:
        """Make a change as somebody with a token does, and return its answer."""
        given = "".join(f", {name}: {_literal(value)}" for name, value in arguments.items())
        document = f"mutation {{ {mutation}(environment: {_literal(self.id)}{given}) {{ __typename }} }}"
        return self.server.execute(document)[mutation]


def token_of(server: Serving, actor: str, role: str | None, *place: str) -> str:
    """Return a new token for *actor* with *role* at a place, or for everything.

    Without a role it follows the roles of the actor.
    """
    options = () if role is None else ("--role", role, *(place or ("--everything",)))
    made = json.loads(server.stageline("token", "create", actor, "--actor", actor, *options, "--json").stdout)
    token: str = made["token"]
    return token


def execute_as(server: Serving, actor: str, name: str, document: str) -> None:
    """Execute *document* as *actor*, who is called *name*."""
    profile = "mutation ($actor: ID!, $name: String!) { setActorProfile(actor: $actor, name: $name) { __typename } }"
    server.execute(profile, actor=actor, name=name)
    headers = {"authorization": f"Bearer {token_of(server, actor, 'editor')}"}
    answer = httpx.post(f"{server.url}/graphql", json={"query": document}, headers=headers).json()
    assert "errors" not in answer, answer


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.fixture
def world(server: Serving, request: pytest.FixtureRequest) -> World:
    name = request.node.name[:100]
    made = server.execute(CREATE_ENVIRONMENT, name=name)["createEnvironment"]["pipeline"]["environment"]["id"]
    world = World(server, made, name)
    for service, type_ in [("DB", "DATABASE"), ("Rabbitmq", "CONTAINER"), ("Backend", "APPLICATION")]:
        world.add(service, type_)
    world.add("Frontend")
    return world


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: Serving) -> Iterator[OpenPage]:
    """Open a page in a browser of its own; it talks to the server only, and has nothing to complain of."""
    contexts: list[BrowserContext] = []
    heard: list[str] = []
    complaints: list[str] = []
    origins: set[str] = set()

    def opened(address: str = "/", origin: str = server.url, token: str | None = None, **options: Any) -> Page:
        context = browser.new_context(base_url=origin, **options)
        origins.add(origin)
        contexts.append(context)
        page = context.new_page()
        context.on("request", lambda request: heard.append(request.url))
        page.on("websocket", lambda socket: heard.append(socket.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        sign_in(page, token or server.token)
        expect(page.get_by_role("heading", name="Environments")).to_be_visible()
        if address != "/":
            page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    here = tuple(f"{scheme}{origin.removeprefix('http')}/" for origin in origins for scheme in ("http", "ws"))
    assert [address for address in heard if not address.startswith(here)] == []
    assert [address for address in heard if server.token in address.partition("#")[0]] == []
    assert [complaint for complaint in complaints if not any(each in complaint for each in MEANT)] == []


@pytest.fixture
def board(open_page: OpenPage, world: World) -> Page:
    """The board of the environment, in a browser that is signed in."""
    page = open_page(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()
    return page


def account(page: Page, item: str) -> None:
    """Choose *item* of the account's menu."""
    page.locator(".own").get_by_role("button").last.click()
    page.get_by_role("menuitem", name=item).click()


def sign_out(page: Page) -> None:
    account(page, "Sign out")


def column(page: Page, stage: str) -> Locator:
    return page.locator(".column").filter(has=page.get_by_role("heading", name=stage, exact=True))


def card(page: Page | Locator, service: str) -> Locator:
    return page.locator(f".card:has([title={json.dumps(service, ensure_ascii=False)}])")
