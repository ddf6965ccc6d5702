"""The guide's wrapper of EventSource, and its six connections, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.endpoint.test_event_source import CREATE, DELETE, FOLLOW, changed, positions
from tests.forwarding import forwarding
from tests.gql import test_frontend_guide
from tests.serving import PATIENCE, Serving, serving

EVENTS = """
subscription ($environment: ID!, $after: String) {
  pipelineEvents(environment: $environment, after: $after) { cursor logPosition }
}
"""
WRAPPED = """
async ([program, url, token, query, environment]) => {
  const { follow } = await import(`data:text/javascript,${encodeURIComponent(program)}`);
  window.got = [];
  window.follow = follow;
  window.stop = follow(`${url}/graphql`, token, query, { environment }, {
    next: ({ data }) => window.got.push(data.pipelineEvents.logPosition),
    complete: () => (window.isComplete = true),
  });
}
"""
# It returns when the wrapper says that the token is not valid.
REFUSED = """
([url, query]) => new Promise((refused) => follow(`${url}/graphql`, "x", query, {}, { next: () => {}, refused }))
"""
SIX = """
async ([url, token, query, environment]) => {
  const variables = JSON.stringify({ environment });
  const headers = { accept: "text/event-stream", authorization: `Bearer ${token}` };
  const parameters = new URLSearchParams({ query, variables });
  window.streams = [];
  for (let number = 0; number < 6; number++) {
    const controller = new AbortController();
    await fetch(`${url}/graphql?${parameters}&${number}`, { headers, signal: controller.signal });
    streams.push(controller);
  }
  window.answered = false;
  fetch(`${url}/health/live`).then(() => (window.answered = true));
  const socket = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-transport-ws");
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  socket.close();
}
"""

packages, programs = test_frontend_guide.packages, test_frontend_guide.programs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def environment(server: Serving) -> str:
    return str(server.execute(CREATE)["createEnvironment"]["pipeline"]["environment"]["id"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()


def test_six_streams_hold_up_every_other_request_but_no_websocket(
    page: Page, server: Serving, environment: str
) -> None:
    page.goto(f"{server.url}/health/live")
    page.evaluate(SIX, [server.url, server.token, EVENTS, environment])
    assert page.evaluate("answered") is False
    page.evaluate("streams[0].abort()")
    page.wait_for_function("answered")


@pytest.mark.long
def test_the_wrapper_comes_back_after_502_where_the_browsers_own_gives_up(
    page: Page, server: Serving, environment: str, programs: Path
) -> None:
    program = (programs / "event-source.js").read_text()
    with forwarding(server.url) as proxy:
        page.goto(f"{proxy.url}/health/live")
        page.evaluate(FOLLOW, [proxy.url, server.token, EVENTS, environment])
        page.evaluate(WRAPPED, [program, proxy.url, server.token, EVENTS, environment])
        for seen in ("seen", "got"):
            page.wait_for_function(f"count => {seen}.length === count", arg=len(positions(server, environment)))
        proxy.is_away = True
        proxy.cut()
        changed(server, environment, "one", "two")
        page.wait_for_function("source.readyState === EventSource.CLOSED")
        proxy.is_away = False
        expected = positions(server, environment)
        page.wait_for_function("count => got.length === count", arg=len(expected))
        assert page.evaluate("got") == expected
        assert len(page.evaluate("seen")) == len(expected) - 2
        page.evaluate(REFUSED, [proxy.url, EVENTS])
        server.execute(DELETE, environment=environment)
        page.wait_for_function("window.isComplete")
        assert page.evaluate("got.length") == len(expected) + 1
