"""
The console in a real Chromium: `python -m bench.console [lines | events | board]`.

`lines`: the log of a job that printed 1,000,000 lines is scrolled and searched, and so is one of 1,000 lines.
`events`: a deployment of 1,000 services is watched while 1,000 events a second are recorded.
`board`: 1,000 services in 100 stages are opened, dragged, and moved by somebody else.

A task is what the page's main thread does in one go. Other load makes tasks longer by the clock, but hardly changes
their processor time.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from bench.console_server import recording
from tests.browser import FLAGS, sign_in
from tests.serving import ROOT, Serving, serving
from tests.waiting import wait_until

LINES = 1_000_000
FEW = 1_000
STAGES, SERVICES = 100, 1_000
RATE = 1_000
FULL = 0.8
"""Part of a core from which on a process is the limit."""

MOVED = """([service, stage]) => new Promise((resolve) => {
  const find = () => document.querySelector(`[data-column="${stage}"] [data-service="${service}"]`);
  const look = () => find() ? resolve(performance.timeOrigin + performance.now()) : requestAnimationFrame(look);
  look();
})"""


@contextmanager
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def signed_in(browser: Browser, url: str, token: str) -> Page:
    page = browser.new_context(base_url=url, viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(120_000)
    sign_in(page, token)
    page.get_by_role("heading", name="Environments").wait_for()
    return page


@dataclass
class Tasks:
    """The longest task of a page, in milliseconds: by the clock, and of processor time."""

    clock: float = 0.0
    processor: float = 0.0

    def __str__(self) -> str:
        return f"longest task {self.processor:.0f} ms of CPU ({self.clock:.0f} ms by the clock)"


@contextmanager
def tasks(browser: Browser, page: Page) -> Iterator[Tasks]:
    """Measure the tasks of *page* meanwhile."""
    found = Tasks()
    browser.start_tracing(page=page, categories=["toplevel"])
    yield found
    trace = json.loads(browser.stop_tracing())["traceEvents"]
    mains = {
        (each["pid"], each["tid"])
        for each in trace
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    for each in trace:
        if (each["pid"], each["tid"]) in mains:
            found.clock = max(found.clock, each.get("dur", 0) / 1_000)
            found.processor = max(found.processor, each.get("tdur", 0) / 1_000)


def memory() -> float:
    """Return the memory that the largest page has for itself, in MB."""
    return float(max(each.memory_full_info().uss for each in _renderers()) / 1e6)


def lines() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server, chromium() as browser:
        page = signed_in(browser, server.url, server.token)
        empty = memory()
        medians = [_log(server, browser, page, count) for count in (FEW, LINES)]
        used = memory()
        print(f"page memory {used:.0f} MB, {empty:.0f} MB before; at most 300")
        print(f"a jump in {LINES:,} lines takes {medians[1] / medians[0]:.1f} times as long as in {FEW:,}")


def _log(server: Serving, browser: Browser, page: Page, count: int) -> float:
    """Scroll and search the log of *count* lines; return the median time of a jump, in milliseconds."""
    deployment = _printed(server, count)
    begin = time.perf_counter()
    page.goto(f"/deployments/{deployment}/logs")
    page.locator(f"[data-line='{count}']").wait_for()
    print(f"{count:,} lines: the end is shown after {1_000 * (time.perf_counter() - begin):.0f} ms")
    with tasks(browser, page) as found:
        jumps = _scroll(page)
    middle = statistics.median(jumps)
    print(f"    scrolled: {found}; a jump is drawn after {middle:.0f} ms, at most {max(jumps):.0f}")
    with tasks(browser, page) as found:
        took = _search(page, count)
    print(f"    searched: {found}; one hit near the end is shown after {took:.0f} ms")
    return middle


def _scroll(page: Page) -> list[float]:
    """Scroll by bar and by wheel; return the times of jumps, in milliseconds."""
    log, random, jumps = page.get_by_role("log"), Random(1), []
    for _ in range(40):
        begin = time.perf_counter()
        log.evaluate("(log, part) => { log.scrollTop = part * (log.scrollHeight - log.clientHeight) }", random.random())
        page.locator(".missing").first.wait_for(state="detached")
        page.locator("[data-line]").nth(20).wait_for()
        jumps.append(1_000 * (time.perf_counter() - begin))
    log.hover()
    for _ in range(200):
        page.mouse.wheel(0, random.choice([-400, 400]))
    return jumps


def _search(page: Page, count: int) -> float:
    """Search for one line, then step through all; return the time until the one is shown, in milliseconds."""
    begin = time.perf_counter()
    page.get_by_role("searchbox").fill(f"line {count - 1} ")
    page.locator(f".target[data-line='{count - 1}']").wait_for()
    took = 1_000 * (time.perf_counter() - begin)
    page.get_by_role("searchbox").fill("line")
    page.get_by_text(f"1 of {count:,}").wait_for()
    for at in range(2, 22):
        page.get_by_role("button", name="Next hit").click()
        page.get_by_text(f"{at} of {count:,}").wait_for()
    return took


def _printed(server: Serving, count: int) -> str:
    """Return the id of a deployment with a job that printed *count* lines."""
    run = f"seq -f 'line %.0f of a job that prints a lot' 1 {count}"
    server.execute(f'mutation {{ createProject(name: "Shop {count}") {{ __typename }} }}')
    made = server.execute(
        f'mutation {{ createEnvironment(project: "Shop {count}", name: "production") '
        "{ ... on PipelinePayload { pipeline { environment { id } } } } }"
    )["createEnvironment"]["pipeline"]["environment"]["id"]
    server.execute(
        f'mutation {{ addService(environment: "{made}", name: "Talk", type: JOB, spec: {{runCommand: "{run}"}}) '
        "{ ... on Refusal { message } } }"
    )
    deployment: str = server.execute(
        f'mutation {{ deploy(environment: "{made}") {{ ... on DeploymentPayload {{ deployment {{ id }} }} }} }}'
    )["deploy"]["deployment"]["id"]
    ended = f'query {{ deployment(id: "{deployment}") {{ finishedAt }} }}'
    wait_until(lambda: server.execute(ended)["deployment"]["finishedAt"], "the job ends")
    return deployment


@dataclass
class Shares:
    """The part of the time that the server and the page were busy, and the bytes that the page received, a second."""

    server: float = 0.0
    page: float = 0.0
    received: float = 0.0

    def __str__(self) -> str:
        busy = {"server": self.server, "page": self.page}
        most = max(busy, key=lambda name: busy[name])
        limit = f"the {most}" if busy[most] > FULL else "other load on this machine, if any"
        shares = ", ".join(f"{name} busy {100 * share:.0f} %" for name, share in busy.items())
        return f"{shares}, {self.received / 1e3:,.0f} kB/s on the socket; the limit is {limit}"


@contextmanager
def shares(page: Page, server: int) -> Iterator[Shares]:
    """Measure how busy the processes of *server* and of *page* are meanwhile."""
    found, received = Shares(), 0

    def receive(frame: str | bytes) -> None:
        nonlocal received
        received += len(frame)

    page.on("websocket", lambda socket: socket.on("framereceived", receive))
    page.reload()
    page.get_by_role("heading", name="Deployment #1").wait_for()
    processes = psutil.Process(server), max(_renderers(), key=lambda each: each.memory_info().rss)
    before, first, begin = [_processor(each) for each in processes], received, time.perf_counter()
    yield found
    took = time.perf_counter() - begin
    spent = (_processor(each) - start for each, start in zip(processes, before, strict=True))
    found.server, found.page = (each / took for each in spent)
    found.received = (received - first) / took


def _renderers() -> list[psutil.Process]:
    """Return the processes of pages."""
    children = psutil.Process().children(recursive=True)
    return [each for each in children if "--type=renderer" in each.cmdline()]


def _processor(process: psutil.Process) -> float:
    """Return the processor time of a process, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def watched() -> None:
    for part, title in (("", "stages and timeline"), ("/events", "list of events")):
        with recording(STAGES // 10, SERVICES) as recorder, chromium() as browser:
            page = signed_in(browser, recorder.url, recorder.token)
            page.goto(f"/deployments/{recorder.deployment}{part}")
            with shares(page, recorder.process) as busy, tasks(browser, page) as found:
                begin = time.perf_counter()
                count = recorder.record(RATE)
                took = time.perf_counter() - begin
                page.locator(".deployment > header .status.succeeded").wait_for()
                if part:
                    page.get_by_text(f"{count + 2:,} events").wait_for()
                late = time.perf_counter() - begin - took
            print(f"{title}: {count / took:,.0f} events/s: {found}; at most 100 ms; page memory {memory():.0f} MB")
            print(f"    {busy}; the last is drawn {1_000 * late:.0f} ms after it is recorded")


def board() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server, chromium() as browser:
        environment = _environment(server)
        page = signed_in(browser, server.url, server.token)
        assets = ROOT / "server/console/page/assets"
        size = sum(file.stat().st_size for file in assets.iterdir() if re.search(r"\.(js|css)\.gz$", file.name))
        print(f"first page {size / 1e3:.0f} kB, {size / 2e5:.2f} of 200 kB")
        shown = []
        for _ in range(5):
            begin = time.perf_counter()
            page.goto(f"/environments/{environment}")
            page.locator(".card").first.wait_for()
            shown.append(time.perf_counter() - begin)
        print(f"first board of {SERVICES:,} services after {1_000 * statistics.median(shown):.0f} ms; at most 1,000")
        with tasks(browser, page) as found:
            _drag(page)
        print(f"a card dragged over {STAGES} stages: {found}; at most 50 ms")
        _move(server, page, environment)


def _environment(server: Serving) -> str:
    """Return the id of an environment with many services."""
    server.execute('mutation { createProject(name: "Shop") { __typename } }')
    made: str = server.execute(
        'mutation { createEnvironment(project: "Shop", name: "production") '
        "{ ... on PipelinePayload { pipeline { environment { id } } } } }"
    )["createEnvironment"]["pipeline"]["environment"]["id"]
    each, spec = SERVICES // STAGES, {"runCommand": "true"}
    stages = [
        {
            "name": f"Stage {at}",
            "services": [{"name": f"Service {at}-{n}", "type": "APPLICATION", "spec": spec} for n in range(each)],
        }
        for at in range(STAGES)
    ]
    document = httpx.Response(200, json={"stages": stages}).text
    answer = server.execute(
        "mutation ($environment: ID!, $text: String!) { applyPipeline(environment: $environment, document: $text)"
        " { __typename ... on Refusal { message } } }",
        environment=made,
        text=document,
    )
    assert answer["applyPipeline"]["__typename"] == "PipelinePayload", answer
    return made


def _drag(page: Page) -> None:
    """Drag the first card to the edge of the board until the last stage has come, and drop it."""
    page.locator(".card").first.hover()
    page.mouse.down()
    place = page.locator(".columns").bounding_box()
    assert place is not None
    edge = place["x"] + place["width"] - 10
    last = page.locator(".column").nth(STAGES - 1)
    for step in range(2_000):
        page.mouse.move(edge - step % 200, place["y"] + 150 + step % 50)
        box = last.bounding_box()
        if box is not None and box["x"] < edge - 100:
            break
    page.mouse.up()


def _move(server: Serving, page: Page, environment: str) -> None:
    """Move services as somebody else, and print when the board shows it."""
    stages = server.execute(
        f'query {{ pipeline(environment: "{environment}") {{ stages {{ id services {{ id }} }} }} }}'
    )
    order: list[dict[str, Any]] = stages["pipeline"]["stages"]
    late = []
    for at in range(1, 11):
        service, target = order[at]["services"][0]["id"], order[at + 1]["id"]
        page.evaluate(f"(given) => {{ window.moved = ({MOVED})(given) }}", [service, target])
        server.execute(
            f'mutation {{ moveService(environment: "{environment}", service: "{service}", stage: "{target}") '
            "{ __typename } }"
        )
        answered = 1_000 * time.time()
        late.append(page.evaluate("window.moved") - answered)
    middle = statistics.median(late)
    print(f"somebody else's move is drawn {middle:.0f} ms after its answer, at most {max(late):.0f}; at most 300")


PARTS = {"lines": lines, "events": watched, "board": board}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="those to measure; all if none is given")
    subprocess.run([ROOT / "scripts/console"], check=True)
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
