"""A server below a path of a proxy: its page, links, redirects, cookies, streams and command line."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect
from websockets.sync.client import connect

from endpoint.http.request import MAX_BODY
from server.root_path import MAX_ROOT_PATH, InvalidRootPath, locate, normalize_root_path
from tests.endpoint.test_broadcast import EVENTS
from tests.endpoint.test_sse import _events
from tests.forwarding import Forwarding, forwarding
from tests.gql.environment import Environment
from tests.gql.stageline import PATIENCE, PROTOCOL, Stageline, served
from tests.serving import ROOT, Serving, serving

PATH = "/team/stageline"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    """A server without a root path."""
    with served(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    """A server that is started with the path."""
    with served(tmp_path_factory.mktemp("told"), root_path=PATH) as made:
        yield made


@pytest.fixture(params=["prefix header", "root path, path kept", "root path, path taken away"])
def below(request: pytest.FixtureRequest) -> Iterator[tuple[Stageline, Forwarding]]:
    """A server, and the proxy that serves it below the path."""
    if request.param == "prefix header":
        made: Stageline = request.getfixturevalue("server")
        with forwarding(made.url, PATH, x_forwarded_prefix=PATH) as proxy:
            yield made, proxy
    else:
        made = request.getfixturevalue("told")
        with forwarding(made.url, PATH, keeps="kept" in request.param) as proxy:
            yield made, proxy


def test_redirects_stay_below_the_path(below: tuple[Stageline, Forwarding]) -> None:
    _, proxy = below
    answer = httpx.get(f"{proxy.url}/health/", trust_env=False)
    assert answer.headers["location"].endswith(f"{PATH}/health")


def test_the_api_answers_below_the_path(below: tuple[Stageline, Forwarding]) -> None:
    stageline, proxy = below
    headers = {"authorization": f"Bearer {stageline.token}"}
    answer = httpx.post(
        f"{proxy.url}/graphql", json={"query": "{ __typename }"}, headers=headers, trust_env=False, timeout=PATIENCE
    )
    assert answer.json() == {"data": {"__typename": "Query"}}
    for path in ("/health", "/health/live", "/schemas/pipeline.json", "/graphiql/assets/page.js"):
        assert httpx.get(proxy.url + path, trust_env=False).status_code == 200
    url = proxy.url.replace("http", "ws", 1) + "/graphql"
    with connect(url, subprotocols=[PROTOCOL], open_timeout=PATIENCE, proxy=None) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": headers}))
        assert json.loads(socket.recv(PATIENCE))["type"] == "connection_ack"


def test_a_browser_signs_in_below_the_path(below: tuple[Stageline, Forwarding]) -> None:
    stageline, proxy = below
    environment = Environment(stageline)
    params = {"query": EVENTS, "variables": json.dumps({"environment": environment.id})}
    with httpx.Client(trust_env=False, timeout=PATIENCE) as browser:
        token = {"authorization": f"Bearer {stageline.token}"}
        opened = browser.post(f"{proxy.url}/graphql/session", headers=token)
        assert f"; Path={PATH}/graphql;" in opened.headers["set-cookie"]
        accept = {"accept": "text/event-stream"}
        with browser.stream("GET", f"{proxy.url}/graphql", params=params, headers=accept) as answer:
            assert answer.status_code == 200
            assert [each["event"] for each in islice(_events(answer.iter_lines()), 1)] == ["next"]
        browser.delete(f"{proxy.url}/graphql/session")
        assert list(browser.cookies) == []


def test_over_https_two_servers_of_a_host_have_two_cookies(server: Stageline) -> None:
    headers = {"authorization": f"Bearer {server.token}", "x-forwarded-proto": "https"}
    names = []
    for path in ("", "/a", PATH):
        prefix = {"x-forwarded-prefix": path} if path else {}
        made = server.send("POST", "/graphql/session", headers=headers | prefix).headers["set-cookie"]
        assert "; Path=/;" in made
        names.append(made.partition("=")[0])
    assert names == [
        "__Host-stageline_session",
        "__Host-stageline_session.a",
        "__Host-stageline_session.team.stageline",
    ]


def test_behind_tls_redirects_stay_on_https(server: Stageline) -> None:
    answer = server.send("GET", "/health/", headers={"x-forwarded-proto": "https"})
    assert answer.headers["location"].startswith("https://")


@pytest.mark.parametrize(
    "prefix", ["//elsewhere.example", "/../x", "/a/..", "https://elsewhere.example", "/a?b", "/a b", "/" + "x" * 200]
)
def test_a_prefix_that_is_no_path_is_ignored(server: Stageline, prefix: str) -> None:
    answer = server.send("GET", "/health/", headers={"x-forwarded-prefix": prefix})
    assert answer.headers["location"] == f"{server.url}/health"


@pytest.mark.parametrize(
    ("client", "root_path"),
    [
        (("127.0.0.1", 1), "/a"),
        (("::1", 1), "/a"),
        (("::ffff:127.0.0.1", 1), "/a"),
        (None, "/a"),
        (("192.0.2.1", 1), ""),
        (("2001:db8::1", 1), ""),
    ],
)
def test_only_a_proxy_on_this_machine_may_name_the_path(client: tuple[str, int] | None, root_path: str) -> None:
    scope = {
        "type": "http",
        "path": "/",
        "root_path": "",
        "client": client,
        "headers": [(b"x-forwarded-prefix", b"/a")],
    }
    locate(scope, "")
    assert scope["root_path"] == root_path


def test_the_option_overrides_the_header(told: Stageline) -> None:
    answer = told.send("GET", "/health/", headers={"x-forwarded-prefix": "/other"})
    assert answer.headers["location"].endswith(f"{PATH}/health")


def test_a_server_with_a_path_also_answers_at_its_own_address(told: Stageline) -> None:
    assert told.execute("{ __typename }") == {"__typename": "Query"}


@pytest.mark.parametrize(
    ("given", "path"), [("", ""), ("/", ""), ("/a", "/a"), ("/a/", "/a"), ("/a/b-c_d.e~f", "/a/b-c_d.e~f")]
)
def test_a_root_path_is_taken_without_a_slash_at_its_end(given: str, path: str) -> None:
    assert normalize_root_path(given) == path


@pytest.mark.parametrize("given", ["a", "a/b", "//a", "/a//b", "/.", "/a/../b", "/ä", "/" + "x" * MAX_ROOT_PATH])
def test_what_is_no_root_path_is_refused(given: str) -> None:
    with pytest.raises(InvalidRootPath, match=r"is not a root path\. Write it as /stageline, .* at most 200"):
        normalize_root_path(given)


@pytest.mark.parametrize("given", ["/graphql", "/health/", "/audit/a", "/assets", "/environments/a", "/deployments"])
def test_a_root_path_is_none_of_the_servers_own(given: str) -> None:
    with pytest.raises(InvalidRootPath, match="the application has that path itself"):
        normalize_root_path(given)


@pytest.mark.long
def test_the_command_line_and_a_person_use_a_server_below_a_path(tmp_path: Path, browser: Browser) -> None:
    with serving(tmp_path, "--root-path", PATH) as server, forwarding(server.url, PATH) as proxy:
        assert f"behind a proxy below {PATH}" in server.log.read_text()
        server.execute('mutation { createProject(name: "Shop") { __typename } }')
        assert "Shop" in _told(server, proxy, "project", "list")
        assert '"position":1' in _told(server, proxy, "audit", "export")
        context = browser.new_context()
        page = context.new_page()
        heard: list[str] = []
        page.on("request", lambda request: heard.append(request.url))
        page.on("websocket", lambda socket: heard.append(socket.url))
        page.goto(proxy.url)
        page.get_by_label("Access token").fill(server.token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Shop")).to_be_visible()
        page.goto(f"{proxy.url}/graphql")
        page.get_by_label("Access token").fill(server.token)
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Execute query").click()
        expect(page.locator(".graphiql-response .CodeMirror-code")).to_contain_text('"name": "Shop"')
        context.close()
        below = (proxy.url, proxy.url.replace("http", "ws", 1), "data:")
        assert {url for url in heard if not url.startswith(below)} == set()


def test_the_command_line_says_what_is_no_root_path(tmp_path: Path) -> None:
    said = Serving(tmp_path).stageline("serve", "--root-path", "stageline")
    assert (said.returncode, said.stdout) == (2, "")
    assert "'stageline' is not a root path" in said.stderr


def _told(server: Serving, proxy: Forwarding, *arguments: str) -> str:
    """Return the output of the command line that uses the proxy's address."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=server.env | {"STAGELINE_URL": proxy.url, "STAGELINE_TOKEN": server.token},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout


@pytest.mark.parametrize("source", ["deploy/nginx.conf", "docs/operating.md"])
def test_the_examples_of_nginx_pass_on_the_largest_body(source: str) -> None:
    sizes = re.findall(r"^\s*client_max_body_size (\d+)m;", (ROOT / source).read_text(), re.MULTILINE)
    assert [int(size) * 1024 * 1024 for size in sizes] == [MAX_BODY]
