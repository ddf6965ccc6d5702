"""The conformance suite of targets: each of its tests runs in every place, and its run makes the table in the docs."""

import os
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.targets.docker.engine import Engine
from runner.targets.docker.executor import DockerExecutor
from tests.runner.target import fixed_port
from tests.targets.cluster import CONTEXT
from tests.targets.engine import HOST
from tests.targets.notary import Notary, notary
from tests.targets.place import DockerPlace, KubernetesPlace, Place, ProcessPlace
from tests.targets.shared import OWNERS, shared_engine

PLACES = ("process", "docker", "kubernetes")

TABLE = "STAGELINE_CONFORMANCE"
"""The variable that names the document in whose table the run writes what it has tried."""

MARKS = "<!-- conformance -->\n", "<!-- end of conformance -->\n"
"""Where the table stands in the document."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the suite in every place that there is; see `tests.targets.engine` for the engine."""
    if "place" in metafunc.fixturenames:
        variables = {"docker": HOST, "kubernetes": CONTEXT}
        known = [pytest.param(name, marks=pytest.mark.long) for name, each in variables.items() if each in os.environ]
        metafunc.parametrize("place", ["process", *known], indirect=True)


@pytest.fixture
async def told() -> AsyncIterator[Notary]:
    async with notary() as known:
        yield known


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path, told: Notary) -> AsyncIterator[Place]:
    if request.param == "process":
        processes = ProcessPlace(tmp_path, told, fixed_port())
        yield processes
        for owner in (0, 1):
            await processes.another(owner).sweep(keep=())
        return
    if request.param == "kubernetes":
        workloads = KubernetesPlace(tmp_path, told, fixed_port())
        await workloads.allow()
        yield workloads
        for owner in (0, 1):
            await workloads.another(owner).sweep(keep=())
        remains = await workloads.left()
        await workloads.close()
        assert remains == []
        return
    async with shared_engine() as engine:
        yield DockerPlace(engine, tmp_path, told, fixed_port())


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with shared_engine() as engine:
        yield engine


@pytest.fixture
def executor(engine: Engine) -> DockerExecutor:
    return DockerExecutor(engine, OWNERS[0])


_outcomes: defaultdict[str, dict[str, bool]] = defaultdict(dict)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the outcome of each test of the suite: its name without its place, and whether it passed there."""
    name, bracket, parameters = report.nodeid.rpartition("::")[2].partition("[")
    found = [place for place in PLACES if place in parameters.rstrip("]").split("-")]
    if bracket and found and "tests/targets/" in report.nodeid and report.when == "call":
        (where,) = found
        _outcomes[name][where] = _outcomes[name].get(where, True) and report.passed


def pytest_sessionfinish() -> None:
    if file := os.environ.get(TABLE):
        document = Path(file)
        before, rest = document.read_text().split(MARKS[0])
        known, after = rest.split(MARKS[1])
        document.write_text(f"{before}{MARKS[0]}{table(known, _outcomes)}{MARKS[1]}{after}")


def table(known: str, outcomes: dict[str, dict[str, bool]]) -> str:
    """Return the *known* table with *outcomes*: a test's name in words, and in which place it passed."""
    header, _, *lines = (line.strip("| ").split(" | ") for line in known.splitlines())
    rows = {words: dict(zip(header[1:], cells, strict=True)) for words, *cells in lines}
    for name, places in outcomes.items():
        row = rows.setdefault(name.removeprefix("test_").replace("_", " "), {})
        row |= {place: "yes" if has_passed else "no" for place, has_passed in places.items()}
    written = [f"| behaviour | {' | '.join(PLACES)} |", f"|{'---|' * (len(PLACES) + 1)}"]
    for words, row in rows.items():
        written.append(f"| {words} | {' | '.join(row.get(place, '–') for place in PLACES)} |")
    return "".join(f"{line}\n" for line in written)
