"""The output of a deployment, downloaded."""

import gzip
import re

import httpx
import pytest

from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline

AT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def download(stageline: Stageline, deployment: str, **query: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {stageline.token}"}
    return stageline.send("GET", f"/graphql/logs/{deployment}", headers=headers, params=query)


def lines(stageline: Stageline, deployment: str, **query: object) -> list[str]:
    answer = download(stageline, deployment, **query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/gzip")
    found = gzip.decompress(answer.content).decode().splitlines()
    assert all(re.match(AT, line) for line in found)
    return [line.partition(" ")[2] for line in found]


@pytest.fixture
def over(environment: Environment) -> Data:
    environment.add("api", buildCommands=["echo built"], runCommand="echo 'one ü'; exit 3", retries=1)
    return environment.end(environment.do("deploy"))


def test_the_output_is_downloaded_whole_or_a_part_of_it(environment: Environment, over: Data) -> None:
    stageline, id_ = environment.stageline, over["id"]
    whole = [
        "api build | built",
        "api deploy | one ü",
        "api deploy | # attempt 1 of 2 failed: the job ended with exit code 3",
        "api deploy 2 | one ü",
        "api deploy 2 | # attempt 2 of 2 failed: the job ended with exit code 3",
    ]
    assert lines(stageline, id_) == whole
    assert lines(stageline, id_, service="API") == whole
    assert lines(stageline, id_, phase="BUILD") == whole[:1]
    assert lines(stageline, id_, service="api", phase="DEPLOY", attempt=2) == whole[3:]
    assert lines(stageline, id_, attempt=9) == []
    name = download(stageline, id_).headers["content-disposition"]
    assert name == f'attachment; filename="deployment-{over["number"]}.log.gz"'


def test_many_lines_are_downloaded_in_order(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.logs.PART", 1000)
    environment.add("api", runCommand="seq 20000")
    over = environment.end(environment.do("deploy"))
    expected = [f"api deploy | {number}" for number in range(1, 20_001)]
    assert lines(environment.stageline, over["id"]) == expected


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"service": "nobody"}, 404, "SERVICE_NOT_FOUND"),
        ({"phase": "deploy"}, 400, "INVALID_ARGUMENT"),
        ({"attempt": "x"}, 400, "INVALID_ARGUMENT"),
    ],
)
def test_a_wrong_part_is_refused(environment: Environment, over: Data, query: Data, status: int, code: str) -> None:
    answer = download(environment.stageline, over["id"], **query)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (status, code)


def test_an_unknown_deployment_and_a_missing_token_are_refused(environment: Environment, over: Data) -> None:
    stageline = environment.stageline
    for unknown in (f"deployment_{'0' * 32}", environment.id, "1"):
        answer = download(stageline, unknown)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (404, "DEPLOYMENT_NOT_FOUND")
    assert stageline.send("GET", f"/graphql/logs/{over['id']}").status_code == 401
    wrong = {"authorization": "Bearer wrong"}
    assert stageline.send("GET", f"/graphql/logs/{over['id']}", headers=wrong).status_code == 401
