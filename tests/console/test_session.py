"""Signing in and out, and what a page of another origin gains."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browser as browsing
from tests.console.conftest import World, card, sign_out
from tests.serving import Serving

pytestmark = pytest.mark.long


@pytest.fixture
def page(browser: Browser, server: Serving) -> Iterator[Page]:
    context = browser.new_context(base_url=server.url)
    yield context.new_page()
    context.close()


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Access token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_and_out(page: Page, server: Serving) -> None:
    page.goto("/")
    sign_in(page, server.token)
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    (cookie,) = page.context.cookies(f"{server.url}/graphql")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/graphql")
    secret = page.evaluate("JSON.parse(sessionStorage['stageline-session']).secret")
    sign_out(page)
    expect(page.get_by_label("Access token")).to_be_visible()
    assert page.context.cookies(f"{server.url}/graphql") == []
    assert page.evaluate("sessionStorage.length") == 0
    kept = {"cookie": f"{cookie['name']}={cookie['value']}", "stageline-session": secret}
    assert httpx.post(f"{server.url}/graphql", json={"query": "{ cursor }"}, headers=kept).status_code == 401


def test_the_token_is_kept_nowhere(page: Page, server: Serving) -> None:
    page.goto(f"/#token={server.token}")
    expect(page.get_by_role("button", name="Sign in as admin")).to_be_focused()
    assert page.url == f"{server.url}/"
    assert server.token not in page.content()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state])")
    assert server.token not in kept + page.content()
    assert json.loads(json.loads(kept)[1]["stageline-session"]).keys() == {"secret", "expiresAt"}


@pytest.mark.parametrize("token", ["stageline_nonsense", "täken", "a b"])
def test_a_wrong_token_is_told(page: Page, server: Serving, token: str) -> None:
    page.goto("/")
    sign_in(page, token)
    expect(page.get_by_role("alert")).to_have_text("The server does not accept this token.")
    expect(page.get_by_label("Access token")).to_be_focused()
    sign_in(page, server.token)
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()


def test_a_session_that_ends_elsewhere_asks_again_and_keeps_the_place(page: Page, world: World) -> None:
    made = world.server.stageline("token", "create", "lent", "--json").stdout
    token: str = json.loads(made)["token"]
    browsing.sign_in(page, token)
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    page.goto(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()
    world.server.stageline("token", "revoke", "lent", "--yes")
    expect(page.get_by_role("alert")).to_have_text("Your session has ended. Sign in again.")
    sign_in(page, world.server.token)
    expect(card(page, "DB")).to_be_visible()


def test_tabs_share_the_session(page: Page, server: Serving) -> None:
    browsing.sign_in(page, server.token)
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    other = page.context.new_page()
    other.goto("/")
    expect(other.get_by_role("heading", name="Shop")).to_be_visible()
    other.goto(f"/#token={server.token}")  # a new session, whose cookie replaces the first one's
    expect(other.get_by_role("heading", name="Shop")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    sign_out(page)
    expect(other.get_by_label("Access token")).to_be_visible()


def test_a_tab_with_the_secret_of_an_older_session_takes_that_of_another_tab(page: Page, server: Serving) -> None:
    browsing.sign_in(page, server.token)
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    other = page.context.new_page()
    other.goto("/")
    expect(other.get_by_role("heading", name="Shop")).to_be_visible()
    other.evaluate("""() => {
      const kept = JSON.parse(sessionStorage["stageline-session"]);
      sessionStorage["stageline-session"] = JSON.stringify({ ...kept, secret: "old" });
    }""")
    other.reload()
    expect(other.get_by_role("heading", name="Shop")).to_be_visible()
    secret = "JSON.parse(sessionStorage['stageline-session']).secret"
    assert page.evaluate(secret) == other.evaluate(secret)


def link(server: Serving) -> str:
    """A new sign-in link, as the command line prints it."""
    return server.stageline("auth", "link").stdout.strip()


def test_a_link_signs_in_once(page: Page, browser: Browser, server: Serving) -> None:
    address = link(server)
    page.goto(address)
    page.get_by_role("button", name="Sign in as admin").click()
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    assert page.url == f"{server.url}/"
    code = address.partition("#link=")[2]
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state])")
    assert code not in kept + page.content()
    assert code not in server.log.read_text()
    other = browser.new_context().new_page()
    other.goto(address)
    expect(other.get_by_role("alert")).to_contain_text("This link was used before, or has expired.")
    sign_in(other, server.token)
    expect(other.get_by_role("heading", name="Shop")).to_be_visible()
    other.context.close()


def test_a_page_of_another_origin_can_not_use_a_link(page: Page, server: Serving) -> None:
    address = link(server)
    use = """([url, code]) => fetch(url + "/graphql/session", {
      method: "POST", credentials: "include", headers: { "stageline-link": code }
    }).then((answer) => answer.status, () => "failed")"""
    with attacker() as (port, _):
        evil = page.context.new_page()
        evil.goto(f"http://127.0.0.1:{port}/")
        assert evil.evaluate(use, [server.url, address.partition("#link=")[2]]) == "failed"
    page.goto(address)  # it is not used up
    page.get_by_role("button", name="Sign in as admin").click()
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()


def others(server: Serving) -> str:
    """A token of Mallory, another actor."""
    made = server.stageline(
        "token", "create", "mallory", "--actor", "mallory", "--role", "editor", "--everything", "--json"
    ).stdout
    token: str = json.loads(made)["token"]
    server.execute('mutation { setActorProfile(actor: "mallory", name: "Mallory <b>") { __typename } }')
    return token


def link_of(server: Serving, token: str) -> str:
    """A sign-in link that the holder of *token* made."""
    headers = {"authorization": f"Bearer {token}"}
    code = httpx.post(f"{server.url}/graphql/session/link", headers=headers).raise_for_status().json()["link"]
    return f"#link={code}"


@pytest.mark.parametrize("kind", ["token", "link"])
def test_a_link_of_somebody_else_asks_and_can_be_declined(page: Page, server: Serving, kind: str) -> None:
    token = others(server)
    crafted = f"#token={token}" if kind == "token" else link_of(server, token)
    page.goto(f"/{crafted}")
    expect(page.get_by_text(server.url.removeprefix("http://"))).to_be_visible()
    expect(page.get_by_role("button", name="Sign in as Mallory <b>")).to_be_visible()
    page.get_by_role("button", name="Do not sign in").click()
    expect(page.get_by_label("Access token")).to_be_visible()
    browsing.sign_in(page, server.token)
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    page.goto(f"/{crafted}")
    expect(page.get_by_text("You are signed in as admin.")).to_be_visible()
    stay = page.get_by_role("button", name="Stay signed in as admin")
    expect(stay).to_be_focused()
    stay.click()
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    expect(page.locator(".own").get_by_role("button").last).to_have_text("admin")
    other = page.context.new_page()  # a tab that has no session yet takes that of the first one, and asks, too
    other.goto(f"/{crafted}")
    expect(other.get_by_text("You are signed in as admin.")).to_be_visible()
    other.get_by_role("button", name="Sign in as Mallory <b>").click()
    expect(other.locator(".own").get_by_role("button").last).to_have_text("Mallory <b>")
    server.stageline("token", "revoke", "mallory", "--yes")


def test_a_bad_link_ends_no_session(page: Page, server: Serving) -> None:
    browsing.sign_in(page, server.token)
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    page.evaluate("location.hash = '#link=nonsense'")
    expect(page.get_by_role("list", name="Notices")).to_contain_text("This link was used before, or has expired.")
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    page.evaluate("(code) => { location.hash = code }", link(server).partition("#")[2])  # one's own asks nothing
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    expect(page.get_by_role("button", name="Sign in as")).to_have_count(0)


class Attacker(BaseHTTPRequestHandler):
    """A page on another port, and what it received."""

    received: list[dict[str, str]]

    def do_GET(self) -> None:
        self.received.append(dict(self.headers))
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def attacker() -> Iterator[tuple[int, list[dict[str, str]]]]:
    received: list[dict[str, str]] = []
    handler = type("Handler", (Attacker,), {"received": received})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_port, received
        serving.shutdown()


ATTACK = """
async ([url, environment]) => {
  const query = `mutation { createStage(environment: "${environment}", name: "attacked") { __typename } }`;
  const body = JSON.stringify({ query });
  const told = {};
  const send = async (name, init, path = "/graphql") => {
    try {
      const answer = await fetch(url + path, { credentials: "include", ...init });
      told[name] = answer.type === "opaque" ? "opaque" : answer.status;
    } catch (fault) { told[name] = "failed"; }
  };
  await send("simple", { method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" }, body });
  await send("json", { method: "POST", headers: { "content-type": "application/json" }, body });
  await send("get", { mode: "no-cors" }, `/graphql?query=${encodeURIComponent(query)}`);
  await send("signOut", { method: "DELETE", mode: "cors" }, "/graphql/session");
  told.socket = await new Promise((resolve) => {
    const socket = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-transport-ws");
    socket.onopen = () => socket.send(JSON.stringify({ type: "connection_init", payload: {} }));
    socket.onmessage = ({ data }) => resolve(JSON.parse(data).type);
    socket.onclose = ({ code }) => resolve(code);
  });
  told.channel = await new Promise((resolve) => {
    const channel = new BroadcastChannel("stageline-session");
    channel.onmessage = ({ data }) => resolve(data);
    channel.postMessage({ type: "ask" });
    setTimeout(() => resolve("silent"), 1000);
  });
  told.storage = sessionStorage.length + localStorage.length;
  told.frame = await new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.src = url + "/";
    frame.onload = () => { try { resolve(frame.contentDocument?.title ?? "hidden"); } catch { resolve("hidden"); } };
    document.body.append(frame);
  });
  return told;
}
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_on_another_port_or_site_can_do_nothing(host: str, page: Page, world: World) -> None:
    server = world.server
    browsing.sign_in(page, server.token)
    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    with attacker() as (port, received):
        evil = page.context.new_page()
        evil.goto(f"http://{host}:{port}/graphql")
        told = evil.evaluate(ATTACK, [server.url, world.id])
        evil.close()
    assert told["json"] == "failed"
    assert told["signOut"] == "failed"
    assert told["socket"] != "connection_ack"
    assert told["channel"] == "silent"
    assert told["storage"] == 0
    assert told["frame"] == "hidden"
    stolen = received[0].get("Cookie")
    assert (stolen is not None) == (host == "127.0.0.1")  # cookies ignore ports
    for headers in ({}, {"stageline-session": ""}, {"origin": server.url}):
        cookie = {"cookie": stolen or ""}
        answer = httpx.post(f"{server.url}/graphql", json={"query": "{ cursor }"}, headers=headers | cookie)
        assert answer.status_code == 401
    assert "attacked" not in world.order()
    page.goto(f"/environments/{world.id}")
    expect(card(page, "DB")).to_be_visible()  # still signed in
