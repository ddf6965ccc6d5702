"""What steps print, read as a list and followed."""

from itertools import islice

import pytest

from tests.gql.environment import Environment
from tests.gql.stageline import Data

PRINTING = "for line in one two three; do echo $line; done"


def _texts(lines: list[Data], kind: str = "LINE") -> list[str]:
    return [line["text"] for line in lines if line["kind"] == kind]


def test_the_output_of_a_deployment_is_replayed_from_every_cursor(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", build=["echo built"], run=PRINTING)
    over = environment.end(environment.do("deploy"))
    lines = stageline.everything("deploymentLogs", deployment=over["id"])
    assert _texts(lines) == ["built", "one", "two", "three"]
    assert {(line["service"]["name"], line["attempt"]) for line in lines} == {("api", 1)}
    assert [line["phase"] for line in lines if line["text"] in ("built", "one")] == ["BUILD", "DEPLOY"]
    assert list(stageline.follow("deploymentLogs", deployment=over["id"])) == lines
    with stageline.socket() as socket:
        for place, line in enumerate(lines, 1):
            rest = socket.follow("deploymentLogs", deployment=over["id"], after=line["cursor"])
            assert list(rest) == lines[place:]
            page = stageline.everything("deploymentLogs", deployment=over["id"], after=line["cursor"])
            assert page == lines[place:]


def test_the_output_of_one_service_is_asked_for_by_its_id_or_its_name(environment: Environment) -> None:
    stageline = environment.stageline
    id_ = environment.add("api", run="echo from api")
    environment.add("web", run="echo from web")
    over = environment.end(environment.do("deploy"))
    for service in (id_, "API "):
        lines = stageline.everything("deploymentLogs", deployment=over["id"], service=service)
        assert _texts(lines) == ["from api"]
        assert list(stageline.follow("deploymentLogs", deployment=over["id"], service=service)) == lines
    for nobody in ("db", environment.id, f"service_{'0' * 32}"):
        error = stageline.error("deploymentLogs", deployment=over["id"], service=nobody)
        assert error["code"] == "SERVICE_NOT_FOUND"


def test_output_is_followed_as_it_comes_until_the_deployment_is_over(environment: Environment) -> None:
    stageline = environment.stageline
    environment.add("api", build=[PRINTING], run=PRINTING)
    environment.add("talking", run=f'echo waiting; until [ -e "{environment.gate}" ]; do sleep 0.02; done; echo done')
    running = environment.do("deploy")
    following = stageline.follow("deploymentLogs", deployment=running["id"])
    early = list(islice(following, 1))
    while "waiting" not in _texts(early):
        early.append(next(following))
    assert "done" not in _texts(early)
    over = environment.let_end(running)
    whole = early + list(following)
    assert "done" in _texts(whole)
    assert whole == stageline.everything("deploymentLogs", deployment=over["id"])


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
