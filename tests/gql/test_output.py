"""What steps print, read as a list and followed."""

from collections.abc import Iterable, Iterator

import pytest

from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline

PRINTING = "for line in one two three; do echo $line; done"


def _texts(lines: Iterable[Data], kind: str = "LINE") -> list[str]:
    return [line["text"] for line in lines if line["kind"] == kind]


def _lines(batches: Iterable[Data]) -> Iterator[Data]:
    """The lines in batches, as a page has them but for their cursors."""
    for batch in batches:
        for chunk in batch["chunks"]:
            whole = {name: value for name, value in chunk.items() if name not in ("number", "texts")}
            for number, text in enumerate(chunk["texts"], chunk["number"]):
                yield {"number": number, **whole, "text": text}


def _without_cursors(lines: Iterable[Data]) -> list[Data]:
    return [{name: value for name, value in line.items() if name != "cursor"} for line in lines]


def _page(stageline: Stageline, over: Data, **arguments: object) -> Data:
    page: Data = stageline.query("deploymentLogs", deployment=over["id"], **arguments)
    return page


def _numbers(page: Data) -> list[int]:
    return [edge["node"]["number"] for edge in page["edges"]]


def test_the_output_of_a_deployment_is_replayed_from_every_cursor(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", buildCommands=["echo built"], runCommand=PRINTING)
    over = environment.end(environment.do("deploy"))
    lines = stageline.everything("deploymentLogs", deployment=over["id"])
    assert _texts(lines) == ["built", "one", "two", "three"]
    assert [line["number"] for line in lines] == [1, 2, 3, 4]
    assert {(line["service"]["name"], line["attempt"]) for line in lines} == {("api", 1)}
    assert [line["phase"] for line in lines if line["text"] in ("built", "one")] == ["BUILD", "DEPLOY"]
    batches = list(stageline.follow("deploymentLogs", deployment=over["id"]))
    assert list(_lines(batches)) == _without_cursors(lines)
    assert batches[-1]["cursor"] == lines[-1]["cursor"]
    with stageline.socket() as socket:
        for place, line in enumerate(lines, 1):
            rest = socket.follow("deploymentLogs", deployment=over["id"], after=line["cursor"])
            assert list(_lines(rest)) == _without_cursors(lines[place:])
            page = stageline.everything("deploymentLogs", deployment=over["id"], after=line["cursor"])
            assert page == lines[place:]


def test_the_output_of_one_service_is_asked_for_by_its_id_or_its_name(environment: Environment) -> None:
    stageline = environment.stageline
    id_ = environment.add("api", runCommand="echo from api")
    environment.add("web", runCommand="echo from web")
    over = environment.end(environment.do("deploy"))
    for service in (id_, "API "):
        lines = stageline.everything("deploymentLogs", deployment=over["id"], service=service)
        assert _texts(lines) == ["from api"]
        followed = stageline.follow("deploymentLogs", deployment=over["id"], service=service)
        assert list(_lines(followed)) == _without_cursors(lines)
    for nobody in ("db", environment.id, f"service_{'0' * 32}"):
        error = stageline.error("deploymentLogs", deployment=over["id"], service=nobody)
        assert error["code"] == "SERVICE_NOT_FOUND"


def test_a_step_and_an_attempt_are_read_counted_and_followed(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", buildCommands=["echo built"], runCommand=f"{PRINTING}; exit 3", retries=1)
    over = environment.end(environment.do("deploy"))
    expected: list[tuple[Data, list[str], int]] = [
        ({}, ["built", "one", "two", "three", "one", "two", "three"], 9),
        ({"phase": "BUILD"}, ["built"], 1),
        ({"phase": "DEPLOY", "attempt": 2}, ["one", "two", "three"], 4),
        ({"attempt": 3}, [], 0),
    ]
    for chosen, texts, count in expected:
        page = _page(stageline, over, **chosen)
        assert (_texts(edge["node"] for edge in page["edges"]), page["totalCount"]) == (texts, count)
        assert _texts(_lines(stageline.follow("deploymentLogs", deployment=over["id"], **chosen))) == texts


def test_the_line_of_the_first_failure_leads_to_what_was_printed_before_it(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", runCommand=f"{PRINTING}; exit 3", retries=1)
    over = environment.end(environment.do("deploy"))
    page = _page(stageline, over, first=1)
    failure = page["firstFailure"]
    assert (failure["number"], failure["kind"], failure["attempt"]) == (4, "FAILURE", 1)
    assert failure["text"] == "attempt 1 of 2 failed: the job ended with exit code 3"
    before = _page(stageline, over, last=2, before=failure["cursor"])
    assert _numbers(before) == [2, 3]
    assert _page(stageline, over, attempt=2)["firstFailure"]["number"] == 8
    assert _page(stageline, over, phase="BUILD")["firstFailure"] is None


def test_a_page_begins_at_a_number(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", runCommand="seq 30")
    over = environment.end(environment.do("deploy"))
    page = _page(stageline, over, fromNumber=20, first=2)
    assert (_numbers(page), page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == (
        [20, 21],
        True,
        True,
    )
    assert _numbers(_page(stageline, over, fromNumber=29, last=5)) == [29, 30]
    assert _numbers(_page(stageline, over, fromNumber=-7, first=1)) == [1]
    assert _numbers(_page(stageline, over, fromNumber=31)) == []


def test_lines_are_searched_in_pages_both_ways(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", runCommand="seq 300 | sed 's/$/ Line/'")
    over = environment.end(environment.do("deploy"))
    found = [number for number in range(1, 301) if "9 line" in f"{number} line"]
    page = _page(stageline, over, text="9 LINE", first=20)
    assert (_numbers(page), page["totalCount"]) == (found[:20], 30)
    assert page["pageInfo"]["hasNextPage"]
    rest = _page(stageline, over, text="9 line", first=20, after=page["pageInfo"]["endCursor"])
    assert (_numbers(rest), rest["pageInfo"]["hasNextPage"]) == (found[20:], False)
    assert _numbers(_page(stageline, over, text="9 line", last=3)) == found[-3:]
    assert _page(stageline, over, text="no such")["totalCount"] == 0


def test_a_search_that_ends_early_goes_on_from_its_cursor(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    stageline = environment.stageline
    environment.add("api", runCommand="seq 1000; sleep 0.3; echo here")
    over = environment.end(environment.do("deploy"))
    monkeypatch.setattr("store.output.MAX_SEARCHED", 1)
    monkeypatch.setattr("store.output.PART", 1)
    for way, beyond, more, end in (
        ("first", "after", "hasNextPage", "endCursor"),
        ("last", "before", "hasPreviousPage", "startCursor"),
    ):
        part: Data = {way: 5}
        found, pages = [], 0
        while True:
            page = _page(stageline, over, text="here", **part)
            found += _texts(edge["node"] for edge in page["edges"])
            pages += 1
            assert page["totalCount"] is None
            if not page["pageInfo"][more]:
                break
            part[beyond] = page["pageInfo"][end]
        assert found == ["here"]
        assert pages > 1


def test_searches_are_limited_by_their_cost(environment: Environment) -> None:
    running = environment.block()
    search = f'deploymentLogs(deployment: "{running["id"]}", text: "x", first: 1) {{ totalCount }}'
    fields = " ".join(f"s{number}: {search}" for number in range(10))
    (error,) = environment.stageline.ask(f"{{ {fields} }}")["errors"]
    assert error["extensions"]["code"] == "QUERY_TOO_EXPENSIVE"
    environment.let_end(running)


CONNECTION = """
  nodes { number cursor printedAt service { serviceId name } phase attempt kind text } edges { cursor node { number } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount firstFailure { number text }
  unfinished { text }
"""
PARAMETERS = "$service: ID, $phase: StepPhase, $attempt: Int, $text: String, $fromNumber: Int, $first: Int, $last: Int"
PASSED = ", ".join(f"{each.partition(':')[0].strip('$ ')}: {each.partition(':')[0]}" for each in PARAMETERS.split(","))
EDGE = f"""
query ($id: ID!, {PARAMETERS}) {{
  deployments(environment: $id, first: 2) {{ nodes {{ id number logs({PASSED}) {{ {CONNECTION} }} }} }}
}}
"""
ROOT = f"query ($id: ID!, {PARAMETERS}) {{ deploymentLogs(deployment: $id, {PASSED}) {{ {CONNECTION} }} }}"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"first": 2},
        {"last": 2},
        {"phase": "BUILD"},
        {"phase": "DEPLOY", "attempt": 1, "last": 1},
        {"fromNumber": 3},
        {"fromNumber": 2, "last": 1},
        {"text": "O", "first": 2},
        {"service": "api"},
        {"attempt": 7},
    ],
)
def test_deployments_have_the_output_that_the_root_lists(environment: Environment, arguments: Data) -> None:
    environment.add("api", buildCommands=["echo built"], runCommand=PRINTING)
    environment.end(environment.do("deploy"))
    environment.do("editService", service="api", spec={"buildCommands": ["echo no; false"], "runCommand": "true"})
    environment.end(environment.do("deploy"))
    nodes = environment.stageline.execute(EDGE, id=environment.id, **arguments)["deployments"]["nodes"]
    assert [node["number"] for node in nodes] == [2, 1]
    for node in nodes:
        assert node["logs"] == environment.stageline.execute(ROOT, id=node["id"], **arguments)["deploymentLogs"]


def test_a_deployment_without_the_service_has_none_of_its_output(environment: Environment) -> None:
    environment.add("api", runCommand=PRINTING)
    environment.end(environment.do("deploy"))
    environment.add("web", runCommand="echo web")
    environment.end(environment.do("deploy"))
    nodes = environment.stageline.execute(EDGE, id=environment.id, service="web")["deployments"]["nodes"]
    assert [_texts(node["logs"]["nodes"]) for node in nodes] == [["web"], []]
    assert [node["logs"]["totalCount"] for node in nodes] == [len(nodes[0]["logs"]["nodes"]), 0]


ONE = """
query ($id: ID!, $after: String) {
  deployment(id: $id) { logs(first: 1, after: $after) { nodes { text kind } pageInfo { endCursor hasNextPage } } }
}
"""
ALL = """
query ($id: ID!, $after: String) {
  deployments(environment: $id) { nodes { logs(after: $after) { nodes { text kind } } } }
}
"""


def test_the_output_of_a_deployment_is_walked_and_its_cursors_are_its_own(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", runCommand=PRINTING)
    ids = [environment.end(environment.do("redeploy"))["id"] for _ in range(2)]
    found, after, more = list[Data](), None, True
    while more:
        page = stageline.execute(ONE, id=ids[0], after=after)["deployment"]["logs"]
        found += page["nodes"]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert _texts(found) == ["one", "two", "three"]
    for document, of in ((ONE, ids[1]), (ALL, environment.id)):
        (error, *_) = stageline.ask(document, id=of, after=after)["errors"]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"


def test_an_answer_with_output_is_not_cached(environment: Environment) -> None:
    stageline, gate = environment.stageline, environment.gate
    end = gate.with_name(f"{gate.name}-end")
    wait = 'until [ -e "{}" ]; do sleep 0.02; done'
    environment.add("api", runCommand=f"echo one; {wait.format(gate)}; echo two; {wait.format(end)}")
    running = environment.do("deploy")
    following = _lines(stageline.follow("deploymentLogs", deployment=running["id"]))
    for wanted in ("one", "two"):
        while next(following)["text"] != wanted:
            pass
        for _ in range(3):
            (node,) = stageline.execute(ALL, id=environment.id)["deployments"]["nodes"]
            assert _texts(node["logs"]["nodes"])[-1] == wanted
        gate.touch()
    end.touch()
    environment.end(running)


def test_output_is_followed_as_it_comes_until_the_deployment_is_over(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", buildCommands=[PRINTING], runCommand=PRINTING)
    environment.add(
        "talking", runCommand=f'echo waiting; until [ -e "{environment.gate}" ]; do sleep 0.02; done; echo done'
    )
    running = environment.do("deploy")
    following = _lines(stageline.follow("deploymentLogs", deployment=running["id"]))
    early = [next(following)]
    while "waiting" not in _texts(early):
        early.append(next(following))
    assert "done" not in _texts(early)
    over = environment.let_end(running)
    whole = early + list(following)
    assert "done" in _texts(whole)
    assert whole == _without_cursors(stageline.everything("deploymentLogs", deployment=over["id"]))


def test_many_lines_come_in_few_batches(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", runCommand="seq 20000")
    over = environment.end(environment.do("deploy"))
    batches = list(stageline.follow("deploymentLogs", deployment=over["id"]))
    assert _texts(_lines(batches)) == list(map(str, range(1, 20_001)))
    assert len(batches) <= 30


def test_a_line_without_an_end_is_followed_and_read(environment: Environment) -> None:
    stageline = environment.stageline
    gate = f'until [ -e "{environment.gate}" ]; do sleep 0.02; done'
    environment.add(
        "api", runCommand=rf"echo first; printf '\r10%%'; sleep 0.3; printf '\r20%%'; {gate}; printf '\r30%%\n'"
    )
    running = environment.do("deploy")
    following = stageline.follow("deploymentLogs", deployment=running["id"])
    batches: list[Data] = []
    while not batches or [line["text"] for line in batches[-1]["unfinished"]] != ["20%"]:
        batches.append(next(following))
    assert ["10%"] in [[line["text"] for line in batch["unfinished"]] for batch in batches]
    page = _page(stageline, running)
    assert [(line["text"], line["service"]["name"]) for line in page["unfinished"]] == [("20%", "api")]
    assert page["totalCount"] == 1
    over = environment.let_end(running)
    batches += following
    assert _texts(_lines(batches)) == ["first", "30%"]
    assert batches[-1]["unfinished"] == _page(stageline, over)["unfinished"] == []


@pytest.mark.parametrize("field", ["deploymentLogs", "deploymentEvents"])
def test_who_stops_following_leaves_nothing_behind(
    environment: Environment, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = environment.block()
    with environment.stageline.socket() as socket:
        for number in range(3):
            following = socket.follow(field, deployment=running["id"])
            if field == "deploymentEvents":
                next(following)
            socket.send({"id": "1", "type": "complete"})
            socket.send({"type": "ping"})
            while socket.receive()["type"] != "pong":
                pass
            assert number >= 0
    environment.let_end(running)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
