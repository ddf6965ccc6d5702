"""
Pictures of the console's pages: a real server, a shop with a history, and a browser.

    python -m tests.console.screenshots FOLDER
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium, sign_in
from tests.console.conftest import FIRST, LAST, SECOND, THIRD
from tests.serving import Serving, serving
from tests.waiting import wait_until

WIDTHS = {360: 740, 800: 600, 1280: 800, 2560: 1440}
"""The widths of the pictures, with their heights."""

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

SMALL: dict[str, tuple[str, Literal["light", "dark"]]] = {
    "console-board": ("board-lifted", "light"),
    "console-history": ("history", "dark"),
    "console-deployment": ("deployment-running", "light"),
}
"""The pictures of the README and of the guide: their pages and colour schemes."""

SERVICES = [
    ("DB", "DATABASE", FIRST, "exec sleep 3600"),
    ("Redis", "CONTAINER", THIRD, "exec sleep 3600"),
    ("Migrations", "JOB", SECOND, "echo migrated"),
    ("Rabbitmq", "CONTAINER", SECOND, "exec sleep 3600"),
    ("Backend", "APPLICATION", THIRD, "exec sleep 3600"),
    ("Core", "APPLICATION", LAST, "exec sleep 3600"),
    ("API gateway", "APPLICATION", LAST, "exec sleep 3600"),
    ("Frontend", "APPLICATION", LAST, "exec sleep 3600"),
]

SPECS: dict[str, dict[str, object]] = {
    "Backend": {"env": [{"name": "DB", "value": "${{ services['DB'].host }}"}]},
    "Frontend": {"env": [{"name": "API", "value": "${{ services['Backend'].host }}"}]},
}
"""More of the specifications: Frontend needs Backend, which needs DB."""

VARIABLE = '{name: "LOG_LEVEL", value: "debug"}'


class Shop:
    """A project with several environments, one of them with a history."""

    def __init__(self, server: Serving) -> None:
        self.server = server
        server.execute('mutation { setActorProfile(actor: "admin", name: "Ada Lovelace") { __typename } }')
        for project in ("Shop", "Website"):
            server.execute("mutation ($name: String!) { createProject(name: $name) { __typename } }", name=project)
        self.id = self.environment("production")
        for service, type_, stage, run in SERVICES:
            server.execute(
                "mutation ($e: ID!, $n: String!, $t: ServiceType!, $s: ID!, $r: ServiceSpecInput!) {"
                " addService(environment: $e, name: $n, type: $t, stage: $s, spec: $r) { __typename } }",
                e=self.id,
                n=service,
                t=type_,
                s=stage,
                r={"runCommand": run} | SPECS.get(service, {}),
            )
        self.deployments = [self.deploy()]
        for old, new in [
            (FIRST, "first stage"),
            (SECOND, "second stage"),
            (THIRD, "third stage"),
            (LAST, "fourth stage"),
        ]:
            self.do(f'editStage(environment: "{self.id}", stage: "{old}", name: "{new}")')
        self.do(f'editStage(environment: "{self.id}", stage: "second stage", description: "Queues and migrations.")')
        self.do(
            f'moveService(environment: "{self.id}", service: "Backend", stage: "second stage", reason: "it migrates")'
        )
        self.do(f'skipService(environment: "{self.id}", service: "Core")')
        self.do(
            f'editService(environment: "{self.id}", service: "Migrations", spec: {{runCommand: "echo broken; exit 3"}})'
        )
        self.deployments.append(self.deploy())
        self.do(f'editService(environment: "{self.id}", service: "Migrations", spec: {{runCommand: "sleep 600"}})')
        for name in ("staging", "preview of a very long branch name"):
            made = self.environment(name)
            if name == "staging":
                self.do(
                    f'addService(environment: "{made}", name: "DB", type: DATABASE, spec: {{runCommand: "sleep 3600"}})'
                )
                self.deploy(made)
        self.do(f'setEnvironmentVariables(environment: "{self.id}", variables: [{VARIABLE}])')
        for name, value in [("LOG_LEVEL", "warn"), ("REGION", "eu-central")]:
            server.execute(
                "mutation ($n: String!, $v: String!) {"
                ' setProjectVariables(project: "Shop", variables: [{name: $n, value: $v}]) { __typename } }',
                n=name,
                v=value,
            )
        self.empty = self.environment("empty")
        server.stageline("token", "create", "ci", "--expires-in", "90d")
        server.stageline("token", "create", "laptop")
        server.stageline("role", "grant", "ci", "deployer", "--project", "Shop")
        for name, address in [("chat", "https://hooks.example/chat"), ("ci", "https://hooks.example/ci")]:
            server.stageline("webhook", "create", name, "--url", address, "--shared", "--project", "Shop")
        server.stageline("webhook", "park", "ci", "--reason", "it moves")
        self.running = self.deploy(wait=False)

    def environment(self, name: str) -> str:
        document = f'createEnvironment(project: "Shop", name: "{name}")'
        answer = self.server.execute(
            f"mutation {{ made: {document} {{ ... on PipelinePayload {{ pipeline {{ environment {{ id }} }} }} }} }}"
        )
        made: str = answer["made"]["pipeline"]["environment"]["id"]
        return made

    def do(self, mutation: str) -> None:
        answer = self.server.execute(f"mutation {{ made: {mutation} {{ __typename ... on Refusal {{ message }} }} }}")
        assert answer["made"]["__typename"] == "PipelinePayload", answer

    def deploy(self, environment: str | None = None, *, wait: bool = True) -> str:
        answer = self.server.execute(
            "mutation ($e: ID!) { deploy(environment: $e) { ... on DeploymentPayload { deployment { id number } } } }",
            e=environment or self.id,
        )["deploy"]["deployment"]
        found: str = answer["id"]
        if wait:
            ended = f'query {{ deployment(id: "{found}") {{ finishedAt }} }}'
            wait_until(lambda: self.server.execute(ended)["deployment"]["finishedAt"], "the deployment ends")
        return found


Prepare = Callable[[Page], None]


def pages(shop: Shop) -> dict[str, tuple[str, Prepare]]:
    """The pages by name: the address, and what is done there before the picture is taken."""

    def seen(text: str) -> Prepare:
        return lambda page: expect(page.get_by_text(text).first).to_be_visible()

    def then(first: Prepare, *others: Prepare) -> Prepare:
        def both(page: Page) -> None:
            for each in (first, *others):
                each(page)

        return both

    def press(keys: str) -> Prepare:
        return lambda page: page.keyboard.press(keys)

    def click(name: str) -> Prepare:
        return lambda page: page.get_by_role("button", name=name).first.click()

    def wide(page: Page) -> None:
        for summary in page.locator("dialog summary").all():
            summary.click()

    board, history = f"/environments/{shop.id}", f"/environments/{shop.id}/history"
    on_board = seen("Frontend")
    return {
        "home": ("/", seen("production")),
        "board": (board, on_board),
        "board-needs": (board, then(on_board, lambda page: page.get_by_title("Backend", exact=True).hover())),
        "board-menu": (board, then(on_board, click("Actions for Backend"))),
        "board-lifted": (board, then(on_board, lambda page: lift(page, "Backend"))),
        "board-empty": (f"/environments/{shop.empty}", seen("No services yet.")),
        "service": (board, then(on_board, press("a"), wide)),
        "stage-delete": (board, then(on_board, click("Actions for stage second"), lambda page: item(page, "Delete"))),
        "palette": (board, then(on_board, press("Control+k"), seen("Shop / staging"))),
        "keys": (board, then(on_board, press("?"))),
        "plan": (board, then(on_board, press("d"), seen("first stage"))),
        "policy": (board, then(on_board, click("Policy"))),
        "trends": (f"/environments/{shop.id}/trends", seen("median")),
        "insights": (f"/environments/{shop.id}/insights", seen("Lead time")),
        "variables": (f"/environments/{shop.id}/variables", seen("LOG_LEVEL")),
        "variable-new": (f"/environments/{shop.id}/variables", then(seen("LOG_LEVEL"), press("n"))),
        "logs": (f"/deployments/{shop.deployments[1]}/logs", seen("broken")),
        "deployments": (f"/environments/{shop.id}/deployments", seen("#1")),
        "deployment-running": (f"/deployments/{shop.running}", seen("Migrations")),
        "deployment-failed": (f"/deployments/{shop.deployments[1]}", seen("failed to deploy")),
        "history": (history, seen("Frontend added")),
        "history-compared": (f"{history}?at=14&with=newest", seen("From version")),
        "restore": (f"{history}?at=14", then(seen("Frontend added"), click("Restore"), seen("will change as follows"))),
        "tokens": ("/tokens", seen("laptop")),
        "token-new": ("/tokens", then(seen("laptop"), click("New token"))),
        "webhooks": ("/webhooks", seen("hooks.example")),
        "webhook-new": ("/webhooks", then(seen("hooks.example"), click("New webhook"))),
        "roles": ("/roles", seen("deployer")),
        "role-grant": ("/roles", then(seen("deployer"), click("Grant a role"))),
        "not-found": ("/environments/none", seen("There is no such environment.")),
    }


def lift(page: Page, service: str) -> None:
    page.locator(f'[data-service]:has([title="{service}"])').focus()
    for key in ("Space", "ArrowRight"):
        page.keyboard.press(key)


def item(page: Page, name: str) -> None:
    page.get_by_role("menuitem", name=name).click()


def photograph(browser: Browser, shop: Shop, folder: Path) -> None:
    for scheme in SCHEMES:
        for width, height in WIDTHS.items():
            context = browser.new_context(
                base_url=shop.server.url,
                color_scheme=scheme,
                viewport={"width": width, "height": height},
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto("/")
            expect(page.get_by_label("Access token")).to_be_visible()
            page.screenshot(path=folder / f"sign-in-{width}-{scheme}.png")
            page.goto(f"/#token={shop.server.token}")
            offer = page.get_by_role("button", name="Sign in as")
            expect(offer).to_be_visible()
            page.screenshot(path=folder / f"sign-in-offer-{width}-{scheme}.png")
            offer.click()
            expect(page.get_by_role("heading", name="Environments")).to_be_visible()
            for name, (address, prepare) in pages(shop).items():
                page.goto(address)
                prepare(page)
                page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
            page.goto(f"/environments/{shop.id}")
            expect(page.get_by_text("Frontend")).to_be_visible()
            shop.server.kill()
            expect(page.locator(".lost")).to_be_visible()
            page.screenshot(path=folder / f"offline-{width}-{scheme}.png")
            shop.server.start()
            context.close()


def photograph_small(browser: Browser, shop: Shop, folder: Path) -> None:
    """Make the pictures of the README and of the guide, which are in docs/images."""
    for picture, (name, scheme) in SMALL.items():
        context = browser.new_context(
            base_url=shop.server.url,
            color_scheme=scheme,
            viewport={"width": 800, "height": 340},
            reduced_motion="reduce",
        )
        page = context.new_page()
        sign_in(page, shop.server.token)
        expect(page.get_by_role("heading", name="Environments")).to_be_visible()
        address, prepare = pages(shop)[name]
        page.goto(address)
        prepare(page)
        page.screenshot(path=folder / f"{picture}.png")
        context.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, serving(Path(data)) as server, chromium() as browser:
        shop = Shop(server)
        photograph_small(browser, shop, folder)
        photograph(browser, shop, folder)
    print(f"{len(list(folder.glob('*.png')))} pictures are in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
