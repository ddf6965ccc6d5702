"""The log of a deployment: live, searched, linked and downloaded, of which the page holds only a window."""

import gzip
import re
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import OpenPage, World
from tests.waiting import wait_until

pytestmark = pytest.mark.long

DEPLOY = "mutation ($id: ID!) { deploy(environment: $id) { ... on DeploymentPayload { deployment { id } } } }"
STATUS = "query ($id: ID!) { deployment(id: $id) { finishedAt } }"
LINES = "query ($id: ID!) { deploymentLogs(deployment: $id, first: 500) { nodes { number text } } }"

COLOURS = (
    r"printf '\033[31mred \033[1;32mbold\033[0m plain \033[38;2;255;0;0mtrue\033[0m"
    r" \033]8;;http://evil.test/\007link\033]8;;\007 \033]0;title\007<b id=evil>markup</b> \033[2Jend\n'"
)


def deployed(world: World) -> str:
    """Request a deployment of *world*, and return its id."""
    made: str = world.server.execute(DEPLOY, id=world.id)["deploy"]["deployment"]["id"]
    return made


def finished(world: World) -> str:
    """Deploy *world* to the end, and return the deployment's id."""
    made = deployed(world)
    wait_until(lambda: world.server.execute(STATUS, id=made)["deployment"]["finishedAt"], "the deployment ends")
    return made


def until(gate: Path) -> str:
    return f"until [ -e {gate} ]; do sleep 0.05; done"


def counted(first: int, last: int) -> str:
    return f"seq -f 'line %.0f' {first} {last}"


def line(page: Page | Locator, number: int) -> Locator:
    return page.locator(f"[data-line='{number}']")


def numbers(page: Page) -> list[int]:
    """The numbers of the lines that are drawn, in order."""
    found: list[int] = page.locator("[data-line]").evaluate_all("all => all.map((each) => Number(each.dataset.line))")
    return found


def top(page: Page, position: float) -> None:
    """Scroll to a part of the log, from 0 to 1, as with the scroll bar."""
    page.get_by_role("log").evaluate("(log, part) => { log.scrollTop = part * log.scrollHeight }", position)


def is_drawn(page: Page, first: float, tolerance: float) -> bool:
    """Whether the first line that is drawn is *first*, more or less."""
    return any(abs(number - first) <= tolerance for number in numbers(page)[:1])


def test_a_log_is_followed_and_paused(open_page: OpenPage, world: World) -> None:
    gate = world.server.folder / "more"
    world.add("Talk", "JOB", f"{counted(1, 300)}; printf 'half a line'; {until(gate)}; echo; {counted(301, 600)}")
    page = open_page(f"/deployments/{deployed(world)}/logs")
    expect(line(page, 300)).to_be_in_viewport()
    expect(page.locator(".unfinished")).to_contain_text("half a line")
    page.get_by_role("log").hover()
    page.mouse.wheel(0, -1000)
    expect(page.get_by_role("button", name="Follow")).to_be_visible()
    before = numbers(page)
    gate.touch()
    expect(page.get_by_text("601 lines")).to_be_visible()
    assert numbers(page) == before
    page.get_by_role("button", name="Follow").click()
    expect(line(page, 601)).to_be_in_viewport()
    expect(line(page, 601)).to_contain_text("line 600")


def test_control_sequences_become_colours_and_never_markup(open_page: OpenPage, world: World) -> None:
    world.add("Talk", "JOB", COLOURS)
    page = open_page(f"/deployments/{deployed(world)}/logs")
    text = line(page, 1).locator(".text")
    expect(text).to_have_text("red bold plain true link <b id=evil>markup</b> end")
    for part, color in [("red ", "rgb(179, 38, 30)"), ("bold", "rgb(19, 112, 47)"), ("true", "rgb(196, 22, 12)")]:
        expect(text.get_by_text(part, exact=True)).to_have_css("color", color)
    expect(text.locator(".bold")).to_have_text("bold")
    assert text.locator("*:not(span)").count() == 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page.get_by_role("log").inner_text().replace("\n", ""))
    expect(page).to_have_title(re.compile(r"#1 · "))
    page.get_by_role("searchbox").fill("red")
    expect(text.locator("mark")).to_have_css("color", "rgb(22, 32, 42)")  # as on the yellow of other hits


def test_a_search_steps_through_its_hits(open_page: OpenPage, world: World) -> None:
    world.add(
        "Talk",
        "JOB",
        f"{counted(1, 1000)}; echo a NEEDLE here; {counted(1, 1000)}; echo a needle there; {counted(1, 1500)}",
    )
    page = open_page(f"/deployments/{deployed(world)}/logs")
    page.get_by_role("searchbox").fill("needle")
    for number, count in [(1001, "1 of 2"), (2002, "2 of 2"), (1001, "1 of 2")]:
        expect(page.get_by_role("search").get_by_role("status")).to_have_text(count)
        expect(line(page, number)).to_be_in_viewport()
        expect(line(page, number)).to_have_class(re.compile("target"))
        expect(line(page, number).locator("mark")).to_have_text(re.compile("needle", re.IGNORECASE))
        page.get_by_role("button", name="Next hit").click()
    expect(line(page, 2002)).to_be_in_viewport()
    page.get_by_role("button", name="Previous hit").click()
    expect(line(page, 1001)).to_be_in_viewport()
    expect(page).to_have_url(re.compile(r"text=needle"))
    page.get_by_role("searchbox").fill("no such text")
    expect(page.get_by_text("no hit")).to_be_visible()


def test_a_search_begins_while_lines_come_in(open_page: OpenPage, world: World) -> None:
    gate = world.server.folder / "found"
    world.add("Talk", "JOB", f"echo a needle; until [ -e {gate} ]; do echo hay; sleep 0.05; done")
    page = open_page(f"/deployments/{deployed(world)}/logs")
    expect(line(page, 20)).to_be_visible()
    page.get_by_role("searchbox").fill("needle")
    expect(page.get_by_role("search").get_by_role("status")).to_have_text("1 of 1", timeout=5_000)
    gate.touch()


def test_the_first_error_is_a_click_away(open_page: OpenPage, world: World) -> None:
    world.add("Talk", "JOB", f"{counted(1, 1000)}; exit 3")
    page = open_page(f"/deployments/{finished(world)}/logs?line=1")
    expect(line(page, 1)).to_be_in_viewport()
    page.get_by_role("button", name="First error").click()
    failure = page.locator(".line.failure")
    expect(failure).to_be_in_viewport()
    expect(failure).to_contain_text("exit code 3")
    expect(failure).to_have_css("padding-block", "0px")  # rows have one height


def test_a_line_has_an_address(open_page: OpenPage, world: World) -> None:
    world.add("Talk", "JOB", counted(1, 3000))
    page = open_page(f"/deployments/{finished(world)}/logs?line=1500")
    expect(line(page, 1500)).to_be_in_viewport()
    expect(line(page, 1500)).to_have_class(re.compile("target"))
    page.get_by_role("link", name="Line 1502").click()
    expect(line(page, 1502)).to_have_class(re.compile("target"))
    expect(page).to_have_url(re.compile(r"line=1502"))
    page.reload()
    expect(line(page, 1502)).to_be_in_viewport()


def test_a_log_is_read_by_service_and_step(open_page: OpenPage, world: World) -> None:
    gate = world.server.folder / "both"
    for name in ("One", "Two"):
        world.add(name, "JOB", f"for n in $(seq 1200); do echo {name} $n; done; {until(gate)}")
    gate.touch()
    page = open_page(f"/deployments/{deployed(world)}/logs")
    expect(page.locator(".deployment > header .status")).to_have_text("succeeded")
    expect(page.get_by_text("2,400 lines")).to_be_visible()
    page.get_by_role("combobox", name="Service").select_option("Two")
    page.get_by_role("combobox", name="Step").select_option("deploy")
    expect(page).to_have_url(re.compile(r"service=service_\w+&phase=DEPLOY"))
    expect(page.get_by_text("1,200 lines")).to_be_visible()
    expect(page.get_by_text("Two 1200", exact=True)).to_be_in_viewport()
    for part, text in [(0.0, "Two 1"), (1.0, "Two 1200"), (0.5, None)]:
        top(page, part)
        expect(page.locator(".line.missing")).to_have_count(0)
        if text:
            expect(page.get_by_text(text, exact=True)).to_be_in_viewport()
        texts = page.locator(".line .text").all_inner_texts()
        begin = int(texts[0].split()[1])
        assert texts == [f"Two {begin + at}" for at in range(len(texts))]
    page.get_by_role("combobox", name="Step").select_option("build")
    expect(page.get_by_text("Nothing was printed.")).to_be_visible()


def test_a_log_is_downloaded(open_page: OpenPage, world: World) -> None:
    world.add("Talk", "JOB", counted(1, 2000))
    page = open_page(f"/deployments/{deployed(world)}/logs")
    expect(page.get_by_text("2,000 lines")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "deployment-1.log.gz"
    lines = gzip.decompress(Path(waiting.value.path()).read_bytes()).decode().splitlines()
    assert [each.rpartition("| ")[2] for each in lines] == [f"line {number}" for number in range(1, 2001)]


def test_no_line_is_missing_or_doubled_after_a_crash_of_the_server(open_page: OpenPage, world: World) -> None:
    gate = world.server.folder / "crashed"
    world.add(
        "Talk", "JOB", f"{counted(1, 10)}; {until(gate)}; for n in $(seq 11 30); do echo line $n; sleep 0.05; done"
    )
    deployment = deployed(world)
    page = open_page(f"/deployments/{deployment}/logs", viewport={"width": 1000, "height": 1200})
    expect(line(page, 10)).to_be_visible()
    world.server.kill()
    gate.touch()
    world.server.start()
    expect(page.locator(".deployment > header .status")).to_have_text("succeeded")
    stored = world.server.execute(LINES, id=deployment)["deploymentLogs"]["nodes"]
    expect(line(page, stored[-1]["number"])).to_be_visible()
    assert numbers(page) == [each["number"] for each in stored]
    assert page.locator(".line .text").all_inner_texts() == [each["text"] for each in stored]


def test_a_million_lines_are_scrolled_with_few_of_them_in_the_page(open_page: OpenPage, world: World) -> None:
    count = 1_000_000
    world.add("Talk", "JOB", counted(1, count))
    page = open_page(f"/deployments/{finished(world)}/logs")
    expect(line(page, count)).to_be_in_viewport()
    for part in (0.5, 0.25, 0.0, 1.0):
        top(page, part)
        wait_until(partial(is_drawn, page, part * count, count / 100), "the lines there are drawn")
        expect(page.locator(".line.missing")).to_have_count(0)
        drawn = numbers(page)
        assert drawn == list(range(drawn[0], drawn[-1] + 1))
        assert len(drawn) < 100
        expect(line(page, drawn[5]).locator(".text")).to_have_text(f"line {drawn[5]}")
    page.get_by_role("log").press("Home")
    expect(line(page, 1)).to_be_in_viewport()
    page.get_by_role("log").press("End")
    expect(line(page, count)).to_be_in_viewport()
