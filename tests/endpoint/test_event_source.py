"""EventSource in a browser: it resumes by itself, and only for pages of allowed origins."""

import http.server
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page

from tests.endpoint.test_broadcast import EVENTS
from tests.serving import PATIENCE, Serving, serving

CREATE = """
mutation {
  createProject(name: "Shop") { __typename }
  createEnvironment(project: "Shop", name: "staging") { ... on PipelinePayload { pipeline { environment { id } } } }
}
"""
CHANGE = """
mutation ($environment: ID!, $name: String!) { createStage(environment: $environment, name: $name) { __typename } }
"""
DELETE = "mutation ($environment: ID!) { deleteEnvironment(environment: $environment) { __typename } }"

# As in docs/streams.md. A page keeps the events that it received, and a flag to stop.
FOLLOW = """
async ([url, token, query, environment]) => {
  const authorization = `Bearer ${token}`;
  const entered = await fetch(`${url}/graphql/session`, {
    method: "POST", credentials: "include", headers: { authorization },
  });
  if (!entered.ok) throw new Error(entered.status);
  const parameters = new URLSearchParams({ query, variables: JSON.stringify({ environment }) });
  const source = new EventSource(`${url}/graphql?${parameters}`, { withCredentials: true });
  window.seen = [];
  window.opened = 0;
  window.source = source;
  source.addEventListener("open", () => (window.opened += 1));
  source.addEventListener("next", ({ data }) => window.seen.push(JSON.parse(data).data.pipelineEvents.logPosition));
  source.addEventListener("complete", () => source.close());
}
"""
# The attempts of a page that is not allowed: each is refused, without a reason that the page can read.
HIJACK = """
async ([url, query, environment]) => {
  const parameters = new URLSearchParams({ query, variables: JSON.stringify({ environment }) });
  const address = `${url}/graphql?${parameters}`;
  const source = new EventSource(address, { withCredentials: true });
  const streamed = await new Promise((resolve) => {
    source.onopen = () => resolve("open");
    source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? "closed" : "comes back");
  });
  const socket = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-transport-ws");
  const connected = await new Promise((resolve) => {
    socket.onopen = () => resolve("open");
    socket.onclose = ({ code }) => resolve(code);
  });
  return [streamed, connected];
}
"""


@contextmanager
def pages() -> Iterator[str]:
    """Serve an empty page; yield its origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>A page</title>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()


def changed(server: Serving, environment: str, *names: str) -> None:
    for name in names:
        made = server.execute(CHANGE, environment=environment, name=name)["createStage"]
        assert made == {"__typename": "PipelinePayload"}


def positions(server: Serving, environment: str) -> list[int]:
    query = "query ($id: ID!) { pipelineEvents(environment: $id, first: 500) { edges { node { logPosition } } } }"
    edges = server.execute(query, id=environment)["pipelineEvents"]["edges"]
    return [edge["node"]["logPosition"] for edge in edges]


def test_pages_of_the_own_and_an_allowed_origin_resume_without_a_gap_or_a_repeat(page: Page, tmp_path: Path) -> None:
    with pages() as allowed, serving(tmp_path, "--allow-origin", allowed) as server:
        environment = str(server.execute(CREATE)["createEnvironment"]["pipeline"]["environment"]["id"])
        other = page.context.new_page()
        page.goto(f"{server.url}/health/live")
        other.goto(allowed)
        for each in (page, other):
            each.evaluate(FOLLOW, [server.url, server.token, EVENTS, environment])
        changed(server, environment, "one", "two")
        for each in (page, other):
            each.wait_for_function("count => seen.length === count", arg=len(positions(server, environment)))
        server.kill()
        server.start("--allow-origin", allowed)
        changed(server, environment, "three", "four")
        for each in (page, other):
            each.wait_for_function("opened === 2")
        changed(server, environment, "five")
        expected = positions(server, environment)
        server.execute(DELETE, environment=environment)
        for each in (page, other):
            each.wait_for_function("source.readyState === EventSource.CLOSED")
            seen = each.evaluate("seen")
            assert seen[:-1] == expected
            assert seen[-1] > expected[-1]


@pytest.mark.long
def test_a_page_that_is_not_allowed_gets_nothing_though_the_browser_sends_the_cookie(
    page: Page, tmp_path: Path
) -> None:
    with pages() as elsewhere, serving(tmp_path) as server:
        environment = str(server.execute(CREATE)["createEnvironment"]["pipeline"]["environment"]["id"])
        page.goto(f"{server.url}/health/live")
        page.evaluate(FOLLOW, [server.url, server.token, EVENTS, environment])
        page.wait_for_function("opened === 1")
        other = page.context.new_page()
        other.goto(elsewhere)
        assert other.context.cookies(f"{server.url}/graphql")
        assert other.evaluate(HIJACK, [server.url, EVENTS, environment]) == ["closed", 1006]
