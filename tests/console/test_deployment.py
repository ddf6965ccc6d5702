"""Deployments: the plan first, then the live view, until the end."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import FIRST, LAST, SECOND, OpenPage, World, card

pytestmark = pytest.mark.long

ADD_JOB = """
mutation ($environment: ID!, $name: String!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: $name, type: JOB, spec: $spec) { __typename }
}
"""
NUMBERED = "query ($id: ID!) { deployments(environment: $id) { nodes { id number } } }"
CANCEL = "mutation ($id: ID!) { cancelDeployment(deployment: $id) { __typename } }"
UNTIL_IT_MAY = "until [ -e may-end ]; do sleep 0.1; done"


def deploy(page: Page) -> None:
    page.get_by_role("button", name="Deploy …").click()
    page.get_by_role("dialog").get_by_role("button", name="Deploy", exact=True).click()
    expect(page.get_by_role("heading", name="Deployment #1")).to_be_visible()


def lane(page: Page, stage: str) -> Locator:
    return page.locator(".lane").filter(has=page.get_by_role("heading", name=stage, exact=True))


def status(page: Page, text: str) -> None:
    expect(page.locator(".deployment > header .status")).to_have_text(text)


def test_the_plan_comes_before_the_deployment(board: Page, world: World) -> None:
    world.do("skipService", service="Frontend")
    expect(card(board, "Frontend")).to_contain_text("skipped")
    board.get_by_role("button", name="Deploy …").click()
    plan = board.get_by_role("list", name="Order")
    expect(plan).to_contain_text("Frontend (skipped)")
    names = plan.locator("> li > ul > li").all_inner_texts()
    assert names == ["DB", "nothing to deploy", "Rabbitmq", "Backend", "Frontend (skipped)"]
    board.get_by_role("button", name="Cancel").click()
    found = world.server.execute(
        "query ($id: ID!) { deployments(environment: $id) { edges { node { id } } } }", id=world.id
    )
    assert found["deployments"]["edges"] == []


def test_a_deployment_is_watched_to_its_end(board: Page, world: World) -> None:
    world.add("Wait", "JOB", UNTIL_IT_MAY.replace("may-end", str(world.server.folder / "may-end")))
    expect(card(board, "Wait")).to_be_visible()
    deploy(board)
    expect(lane(board, FIRST)).to_have_class("lane succeeded")
    expect(lane(board, "JOB DEFAULT")).to_contain_text("deploying")
    status(board, "running")
    expect(board).to_have_title(f"▶ #1 · {world.name} · Stageline")
    expect(board.locator("link[rel=icon]")).to_have_attribute("href", re.compile("running"))
    board.reload()
    status(board, "running")
    world.server.kill()
    world.server.start()
    (world.server.folder / "may-end").touch()
    status(board, "succeeded")
    expect(board).to_have_title(f"✓ #1 · {world.name} · Stageline")
    for stage in (FIRST, LAST):
        expect(lane(board, stage)).to_have_class("lane succeeded")
    expect(board.locator(".timeline li")).to_have_count(5)
    board.get_by_role("link", name="Board").click()
    expect(card(board, "Wait")).to_contain_text("succeeded")
    expect(board.get_by_role("link", name="Deployment #1 succeeded")).to_be_visible()


def test_a_failure_names_the_step_and_the_reason(board: Page, world: World) -> None:
    world.add("Migrations", "JOB", "exit 3")
    expect(card(board, "Migrations")).to_be_visible()
    deploy(board)
    status(board, "failed")
    expect(board.get_by_role("alert")).to_contain_text("Migrations failed to deploy in stage JOB DEFAULT")
    expect(board).to_have_title(f"✗ #1 · {world.name} · Stageline")
    expect(lane(board, LAST)).to_contain_text("Backend")


@pytest.mark.parametrize(
    ("choice", "confirmation", "ends"),
    [("Finish running steps, start no more", "Cancel it", False), ("Stop running steps now", "Stop it now", True)],
)
def test_a_deployment_is_cancelled(board: Page, world: World, choice: str, confirmation: str, ends: bool) -> None:
    gate = world.server.folder / f"may-end-{ends}"
    world.add("Wait", "JOB", UNTIL_IT_MAY.replace("may-end", str(gate)))
    expect(card(board, "Wait")).to_be_visible()
    deploy(board)
    expect(lane(board, "JOB DEFAULT")).to_contain_text("deploying")
    board.get_by_role("button", name="Cancel …").click()
    board.get_by_role("menuitem", name=choice).click()
    expect(board.get_by_role("dialog")).to_contain_text("Now running: Wait")
    board.get_by_role("button", name="Back").click()
    status(board, "running")
    board.get_by_role("button", name="Cancel …").click()
    board.get_by_role("menuitem", name=choice).click()
    board.get_by_role("button", name=confirmation).click()
    expect(board.get_by_text("Cancelled by admin")).to_be_visible()
    if not ends:
        status(board, "running")
        gate.touch()
    status(board, "cancelled")
    expect(board.get_by_role("button", name="Cancel …")).to_have_count(0)


def test_the_list_shows_the_newest_deployments_at_once(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/environments/{world.id}/deployments")
    expect(page.get_by_text("Nothing was deployed yet.")).to_be_visible()
    world.do("deploy", reason="the first one")
    row = page.locator(".list > ul > li")
    expect(row).to_contain_text("the first one")
    expect(row).to_contain_text("admin")
    expect(row).to_contain_text("succeeded")
    row.get_by_role("link", name="#1").click()
    expect(page.get_by_role("heading", name="Deployment #1")).to_be_visible()


def test_a_refused_deployment_says_why(open_page: OpenPage, world: World) -> None:
    for name in ("DB", "Rabbitmq", "Backend", "Frontend"):
        world.do("skipService", service=name)
    page = open_page(f"/environments/{world.id}")
    page.get_by_role("button", name="Deploy …").click()
    expect(page.get_by_role("dialog").get_by_role("alert").first).to_contain_text("skipped")


def test_the_plan_is_compared_with_the_last_deployment(board: Page, world: World) -> None:
    world.add("Migrations", "JOB", "exit 3")
    expect(card(board, "Migrations")).to_be_visible()
    deploy(board)
    status(board, "failed")
    world.do("moveService", service="Frontend", stage=SECOND)
    world.add("Search")
    board.get_by_role("link", name="Board").click()
    board.get_by_role("button", name="Deploy …").click()
    plan = board.get_by_role("list", name="Order")
    expect(plan.get_by_text("DB unchanged", exact=True)).to_be_visible()
    for text in ("Migrations unchanged, failed last time", "Frontend changed", "Search new"):
        expect(plan.get_by_text(text)).to_be_visible()
    last = board.get_by_role("region", name="Last deployment")
    expect(last).to_contain_text("Last: #1")
    expect(last).to_contain_text("failed")
    last.get_by_text("3 differences since then").click()
    for text in ("Frontend moved from", "Search added", "Search placed in"):
        expect(last).to_contain_text(text)


def test_the_timeline_has_every_attempt_and_the_critical_path(board: Page, world: World) -> None:
    flag = world.server.folder / "was-here"
    spec = {
        "runCommand": f"test -e {flag} || {{ touch {flag}; exit 3; }}",
        "retries": 1,
        "backoff": {"initialSeconds": 4},
    }
    world.server.execute(ADD_JOB, environment=world.id, name="Flaky", spec=spec)
    world.add("Slow", "JOB", "sleep 2")  # it ends while the other waits for its retry, which does not wait for it
    expect(card(board, "Flaky")).to_be_visible()
    deploy(board)
    expect(lane(board, SECOND)).to_contain_text("attempt 1 failed, tries again in")
    status(board, "succeeded")
    row = board.locator(".timeline li", has_text="Flaky")
    expect(row.locator(".track i")).to_have_count(2)
    expect(row.locator(".track .failed.critical")).to_have_count(1)
    expect(row).to_contain_text("deploy attempt 2")
    expect(board.locator(".path")).to_contain_text("Critical path: DB, Flaky, Rabbitmq, and ")
    expect(board.locator(".timeline li", has_text="Slow")).not_to_contain_text("critical path")


def test_the_queue_says_who_waits_for_what(board: Page, world: World) -> None:
    gate = world.server.folder / "may-go"
    world.add("Wait", "JOB", UNTIL_IT_MAY.replace("may-end", str(gate)))
    expect(card(board, "Wait")).to_be_visible()
    deploy(board)
    expect(lane(board, SECOND)).to_contain_text("deploying")
    expect(board.get_by_role("region", name="Queue")).to_have_count(0)
    world.do("deploy", reason="the next one")
    queue = board.get_by_role("region", name="Queue")
    expect(queue.get_by_role("listitem")).to_have_count(2)
    queue.get_by_role("link", name="#2").click()
    expect(board.get_by_role("heading", name="Deployment #2")).to_be_visible()
    expect(queue).to_contain_text(re.compile("It waits: .*#?1"))
    expect(board).to_have_title(re.compile("^… #2"))
    gate.touch()
    status(board, "succeeded")
    expect(queue).to_have_count(0)


def test_a_wait_is_read_again_when_it_changes_and_is_not_polled(open_page: OpenPage, world: World) -> None:
    gate = world.server.folder / "may-run"
    world.add("Wait", "JOB", UNTIL_IT_MAY.replace("may-end", str(gate)))
    for reason in ("first", "second", "third"):
        world.do("deploy", reason=reason)
        world.add(reason, "JOB", "true")  # so that the next one does not merge
    found = world.server.execute(NUMBERED, id=world.id)["deployments"]["nodes"]
    second, third = (next(each["id"] for each in found if each["number"] == number) for number in (2, 3))
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    page.clock.install()
    page.goto(f"/deployments/{third}")
    queue = page.get_by_role("region", name="Queue")
    expect(queue).to_contain_text("It waits: deployment 1 and 1 more of the environment must end first")

    def reads() -> int:
        return len([each for each in asked if "query Wait(" in each])

    before = reads()
    page.clock.run_for(60_000)
    world.server.execute(CANCEL, id=second)
    expect(queue).to_contain_text("It waits: deployment 1 of the environment must end first")
    assert reads() - before <= 2  # for the events of the queue, and not for a minute
    gate.touch()
    status(page, "succeeded")


def test_a_failed_deployment_is_retried(board: Page, world: World) -> None:
    flag = world.server.folder / "mended"
    world.add("Migrations", "JOB", f"test -e {flag}")
    expect(card(board, "Migrations")).to_be_visible()
    deploy(board)
    status(board, "failed")
    flag.touch()
    board.get_by_role("button", name="Retry …").click()
    plan = board.get_by_role("list", name="Order")
    expect(plan).to_contain_text("DB (skipped)")
    board.get_by_role("dialog").get_by_role("button", name="Retry", exact=True).click()
    expect(board.get_by_role("heading", name="Deployment #2")).to_be_visible()
    expect(board.get_by_text("Retry of #1.")).to_be_visible()
    status(board, "succeeded")
    expect(board.get_by_role("button", name="Retry …")).to_have_count(0)


def test_an_earlier_deployment_is_rolled_back_to(board: Page, world: World) -> None:
    deploy(board)
    status(board, "succeeded")
    board.get_by_role("button", name="Roll back to this …").click()
    dialog = board.get_by_role("dialog")
    expect(dialog).to_contain_text("The specifications are those of #1.")
    expect(dialog.get_by_role("list", name="Order")).to_contain_text("Backend")
    dialog.get_by_label("Reason").fill("a bad release")
    dialog.get_by_role("button", name="Roll back", exact=True).click()
    expect(board.get_by_role("heading", name="Deployment #2")).to_be_visible()
    expect(board.get_by_text("Rollback to #1.")).to_be_visible()
    expect(board.get_by_text("a bad release")).to_be_visible()


def need_approval(board: Page) -> None:
    """Sets the approval of the last stage in the form of its policy."""
    board.get_by_role("button", name=f"Actions for stage {LAST}", exact=True).click()
    board.get_by_role("menuitem", name="Policy …").click()
    board.get_by_role("dialog").get_by_label("People who must approve it before it starts").fill("1")
    board.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(board.get_by_text("needs an approval")).to_be_visible()


def test_a_stage_is_approved_and_a_deployment_is_held_by_buttons(board: Page, world: World) -> None:
    need_approval(board)
    deploy(board)
    expect(lane(board, LAST)).to_contain_text("needs an approval")
    board.get_by_role("button", name="Hold …").click()
    board.get_by_role("dialog").get_by_role("button", name="Hold", exact=True).click()
    expect(board.get_by_role("button", name="Release …")).to_be_visible()
    expect(board.get_by_text("nothing new starts until it is released")).to_be_visible()
    board.get_by_role("button", name="Approve …").click()
    board.get_by_role("dialog").get_by_label("Reason (optional)").fill("tried it")
    board.get_by_role("dialog").get_by_role("button", name="Approve", exact=True).click()
    expect(board.get_by_role("button", name="Approve …")).to_have_count(0)
    status(board, "running")
    board.get_by_role("button", name="Release …").click()
    board.get_by_role("dialog").get_by_role("button", name="Release", exact=True).click()
    expect(board.get_by_text("nothing new starts until it is released")).to_have_count(0)
    status(board, "succeeded")


def test_a_rejection_names_its_stage_and_its_reason(board: Page, world: World) -> None:
    need_approval(board)
    deploy(board)
    board.get_by_role("button", name="Reject …").click()
    board.get_by_role("dialog").get_by_label("Reason (optional)").fill("not on a Friday")
    board.get_by_role("dialog").get_by_role("button", name="Reject", exact=True).click()
    status(board, "failed")
    expect(board.get_by_role("alert")).to_contain_text(f"stage {LAST}: rejected: not on a Friday")
