"""Webhooks: created with a secret that is shown once, changed, paused, resumed and deleted."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import sign_in
from tests.console.conftest import OpenPage, World, account, token_of
from tests.serving import serving
from tests.waiting import wait_until

pytestmark = pytest.mark.long

CREATE = """
mutation ($url: SecretValue!, $secret: SecretValue!) {
  createWebhook(project: "Shop", name: "lost", url: $url, secret: $secret, events: [ENVIRONMENT_CREATED]) { __typename }
}
"""
SECRET = "whsec_" + "A" * 43 + "="


class Receiver(BaseHTTPRequestHandler):
    """Answers every message with the status 410, which parks a webhook."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(410)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def gone() -> Iterator[str]:
    """The address of a receiver that has gone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{receiver.server_port}/hook"
        receiver.shutdown()


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("list", name="Webhooks").get_by_role("listitem").filter(has_text=name)


def choose(page: Page, name: str, item: str) -> None:
    page.get_by_role("button", name=f"Actions for {name}").click()
    page.get_by_role("menuitem", name=item).click()


def create(page: Page, name: str, address: str) -> str:
    """Create a webhook of the project Shop; return its secret."""
    page.get_by_role("button", name="New webhook").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("combobox", name="Project").select_option(label="Shop")
    page.get_by_role("textbox", name="Address", exact=True).fill(address)
    page.get_by_role("button", name="Create", exact=True).click()
    secret = page.get_by_label("Secret", exact=True).input_value()
    page.get_by_role("button", name="Done").click()
    return secret


def test_a_webhook_is_created_edited_paused_resumed_and_deleted(open_page: OpenPage, world: World) -> None:
    page = open_page()
    account(page, "Webhooks")
    secret = create(page, "chat <i>", "https://hooks.example/path")
    assert re.fullmatch(r"whsec_[\w+/]{43}=", secret)
    assert secret not in page.content()
    expect(row(page, "chat <i>")).to_contain_text("https://hooks.example")
    expect(row(page, "chat <i>")).to_contain_text("active")
    expect(row(page, "chat <i>")).not_to_contain_text("path")

    choose(page, "chat <i>", "Edit …")
    page.get_by_label("Name", exact=True).fill("talk")
    page.get_by_label("deployment succeeded").uncheck()
    page.get_by_label("Make a new secret").check()
    page.get_by_role("button", name="Save").click()
    assert page.get_by_label("Secret", exact=True).input_value() != secret
    page.get_by_role("button", name="Done").click()
    expect(row(page, "talk")).to_contain_text("5 kinds of events")

    page.get_by_role("button", name="Pause talk").click()
    expect(row(page, "talk")).to_contain_text("parked: ")
    page.get_by_role("button", name="Resume talk").click()
    expect(row(page, "talk")).to_contain_text("active")

    choose(page, "talk", "Redeliver …")
    page.get_by_role("textbox", name="Event", exact=True).fill("event_unknown")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("no id of an event")
    page.keyboard.press("Escape")

    choose(page, "talk", "Delete …")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row(page, "talk")).to_have_count(0)
    expect(page.get_by_text("There are no webhooks yet.")).to_be_visible()


def test_an_event_is_sent_again(open_page: OpenPage, world: World) -> None:
    page = open_page("/webhooks")
    create(page, "again", "https://hooks.example/again")
    document = "query ($e: ID!) { pipelineEvents(environment: $e, first: 1) { nodes { id } } }"
    event = world.server.execute(document, e=world.id)["pipelineEvents"]["nodes"][0]["id"]
    choose(page, "again", "Redeliver …")
    page.get_by_role("textbox", name="Event", exact=True).fill(event)
    with page.expect_response(lambda response: "RedeliverEvent" in (response.request.post_data or "")) as sent:
        page.get_by_role("button", name="Send").click()
    assert json.loads(sent.value.text())["data"]["redeliverEvent"]["__typename"] == "WebhookPayload"
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_webhook_says_why_it_is_parked(open_page: OpenPage, tmp_path: Path, gone: str) -> None:
    with serving(tmp_path, "--allow-webhook", "127.0.0.1/32") as server:
        server.execute('mutation { createProject(name: "Shop") { __typename } }')
        server.execute(CREATE, url=gone, secret=SECRET)
        server.execute('mutation { createEnvironment(project: "Shop", name: "one") { __typename } }')
        parked = "{ webhooks { nodes { isParked } } }"
        wait_until(lambda: server.execute(parked)["webhooks"]["nodes"][0]["isParked"], "the webhook is parked")
        browser = open_page().context.browser
        assert browser is not None
        context = browser.new_context()
        page = context.new_page()
        sign_in(page, server.token, server.url)
        account(page, "Webhooks")
        expect(row(page, "lost")).to_contain_text(re.compile("parked: .*410"))
        context.close()


def test_a_refused_address_stays_with_the_reason(open_page: OpenPage, world: World) -> None:
    page = open_page("/webhooks")
    page.get_by_role("button", name="New webhook").click()
    page.get_by_label("Name", exact=True).fill("x" * 101)
    page.get_by_role("combobox", name="Project").select_option(label="Shop")
    page.get_by_role("textbox", name="Address", exact=True).fill("https://hooks.example/")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("at most 100")


def test_who_administers_one_environment_chooses_no_other_place(open_page: OpenPage, world: World) -> None:
    token = token_of(world.server, "eva", "admin", "--project", "Shop", "--environment", world.name)
    page = open_page("/webhooks", token=token)
    page.get_by_role("button", name="New webhook").click()
    page.get_by_role("combobox", name="Project").select_option(label="Shop")
    environments = page.get_by_role("combobox", name="Environment")
    expect(environments.locator("option:checked")).to_have_text(world.name)
    expect(environments.locator("option").first).to_be_disabled()
    expect(environments.locator("option").first).to_have_attribute(
        "title", re.compile("^This needs the role admin here")
    )


def test_a_viewer_is_told_which_role_webhooks_need(open_page: OpenPage, world: World) -> None:
    page = open_page("/webhooks", token=token_of(world.server, "vito", "viewer"))
    button = page.get_by_role("button", name="New webhook")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute(
        "title", "This needs the role admin of a project or an environment, and you have none."
    )
