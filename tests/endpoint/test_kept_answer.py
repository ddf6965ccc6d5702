"""Cached answers and compiled queries over HTTP: always valid, and the same bytes as without them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from endpoint.execution.compiled.query import CompiledQueries
from endpoint.http.representation import MEDIA_TYPE
from endpoint.identity import Identity
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline, served
from tests.postgres import Server, created

PIPELINE = """
query ($environment: ID!) {
  pipeline(environment: $environment) {
    id version cursor
    environment { id name project { id name } concurrency policy { onFailure buildBarrier } createdAt updatedAt }
    stages {
      id position name description defaultForType policy { concurrency onFailure always }
      services { id name type isSkipped stage { id name } spec { runCommand ports env { name value } } }
    }
  }
}
"""
"""A document that is short enough to be compiled when it is sent for the first time."""

VERSION = "query ($environment: ID!) { pipeline(environment: $environment) { version } }"


def send(environment: Environment, method: str = "GET", query: str = PIPELINE, **headers: str) -> httpx.Response:
    stageline = environment.stageline
    headers = {"authorization": f"Bearer {stageline.token}", "accept-encoding": "identity"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    if method == "POST":
        asked = {"query": query, "variables": {"environment": environment.id}}
        return stageline.send(json=asked, headers=headers)
    params = {"query": query, "variables": json.dumps({"environment": environment.id})}
    return stageline.send("GET", params=params, headers=headers)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_is_cached_until_a_change(environment: Environment, method: str) -> None:
    first, second = send(environment, method), send(environment, method)
    assert first.content == second.content
    assert first.headers.get("etag") == second.headers.get("etag")
    assert ("etag" in first.headers) is (method == "GET")
    environment.do("createStage", name="Checks")
    third = send(environment, method)
    assert third.json()["data"]["pipeline"]["stages"][-1]["name"] == "Checks"
    assert "etag" not in third.headers or third.headers["etag"] != first.headers["etag"]


def test_an_answer_has_the_new_name_of_its_environment(environment: Environment) -> None:
    query = "query ($environment: ID!) { environment(id: $environment) { name project { name } } }"
    for name in ("Production", "Production", "Live", "Live"):
        environment.do("editEnvironment", name=name)
        assert send(environment, query=query).json()["data"]["environment"]["name"] == name


def test_identities_of_different_scopes_get_separate_answers(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    answer = CompiledQueries.answer

    async def watched(self: CompiledQueries, query: str, *options: Any) -> Any:
        made.append(query)
        return await answer(self, query, *options)

    monkeypatch.setattr(CompiledQueries, "answer", watched)
    for scope in ("everything", "everything", "something"):
        monkeypatch.setattr(Identity, "scope", scope)
        assert send(environment).status_code == 200
    assert len(made) == 2


def test_a_client_with_the_current_etag_gets_304(environment: Environment) -> None:
    answer = send(environment)
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["vary"] == "Accept, Accept-Encoding, Authorization, Stageline-Session"
    tag = answer.headers["etag"]
    for has in (tag, f"W/{tag}", f'"another", {tag}', "*"):
        again = send(environment, if_none_match=has)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
    assert send(environment, if_none_match='"another"').content == answer.content
    assert send(environment, "POST", if_none_match=tag).content == answer.content
    environment.do("createStage", name="Checks")
    assert send(environment, if_none_match=tag).status_code == 200


def test_each_representation_has_a_tag_of_its_own(environment: Environment) -> None:
    answers = [
        send(environment, accept=accept, accept_encoding=encoding)
        for accept in ("application/json", MEDIA_TYPE)
        for encoding in ("identity", "gzip")
    ]
    assert len({answer.headers["etag"] for answer in answers}) == 4
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("content-encoding") for answer in answers] == [None, "gzip"] * 2


def test_a_large_answer_is_compressed_for_clients_that_accept_gzip(environment: Environment) -> None:
    plain = send(environment)
    for accepted, is_packed in [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("br", False)]:
        for _ in range(2):
            answer = send(environment, accept_encoding=accepted)
            assert answer.content == plain.content
            assert ("content-encoding" in answer.headers) is is_packed
            assert (int(answer.headers["content-length"]) < len(plain.content) / 2) is is_packed
    small = send(environment, query=VERSION, accept_encoding="gzip")
    assert "content-encoding" not in small.headers


def test_an_answer_of_graphql_core_is_sent_with_the_same_headers(environment: Environment) -> None:
    introspection = "{ __schema { types { name description fields { name description } } } }"
    first = send(environment, query=introspection, accept_encoding="gzip")
    assert first.headers["content-encoding"] == "gzip"
    assert (
        send(environment, query=introspection, accept_encoding="gzip", if_none_match=first.headers["etag"]).status_code
        == 304
    )


def test_an_answer_contains_every_change_acknowledged_before_the_request(environment: Environment) -> None:
    """Many requests run during changes: each answer contains every change acknowledged before its request."""
    acknowledged = [environment.version]

    def ask(_: int) -> tuple[int, int]:
        least = acknowledged[-1]
        got: int = send(environment, "POST", VERSION).json()["data"]["pipeline"]["version"]
        return least, got

    with ThreadPoolExecutor(8) as threads:
        asked = threads.map(ask, range(400))
        for number in range(40):
            acknowledged += [environment.do("createStage", name=f"Stage {number}")["version"]]
        answers = list(asked)
    assert [pair for pair in answers if pair[1] < pair[0]] == []
    assert ask(0) == (acknowledged[-1], acknowledged[-1])


def test_an_erased_name_is_in_no_answer(stageline: Stageline) -> None:
    actor = "jane-of-the-front"
    stageline.do("setActorProfile", actor=actor, name="Jane")
    everyone = "{ actors { edges { node { id name } } } }"
    assert {"id": actor, "name": "Jane"} in [edge["node"] for edge in stageline.execute(everyone)["actors"]["edges"]]
    stageline.do("forgetActor", actor=actor)
    assert {"id": actor, "name": None} in [edge["node"] for edge in stageline.execute(everyone)["actors"]["edges"]]


def test_the_time_of_a_signed_head_is_that_of_the_answer(stageline: Stageline) -> None:
    first, second = (stageline.execute("{ logHead { signedAt } }")["logHead"]["signedAt"] for _ in range(2))
    assert first < second


def test_an_invalid_request_is_refused_on_the_fast_path_too(environment: Environment) -> None:
    for _ in range(2):
        answer = send(environment, query='{ environments(project: "nowhere") { edges { cursor } } }')
        assert answer.json()["errors"][0]["extensions"]["code"] == "PROJECT_NOT_FOUND"


@pytest.mark.parametrize("options", [{"compiles": False}, {"kept_answers": 0}])
def test_the_answers_are_the_same_without_the_fast_path(tmp_path: Path, options: dict[str, Any]) -> None:
    with served(tmp_path, **options) as own:
        environment = Environment(own)
        first, second = send(environment), send(environment)
        assert first.content == second.content
        assert send(environment, if_none_match=first.headers["etag"]).status_code == 304
        environment.do("createStage", name="Checks")
        assert send(environment).json()["data"]["pipeline"]["version"] == environment.version
        environment.close()


@contextmanager
def away(server: Server) -> Iterator[None]:
    server.stop("immediate")
    try:
        yield
    finally:
        server.start()


def test_while_the_database_is_away_known_answers_are_given_with_their_age(
    postgres_server: Server, tmp_path: Path
) -> None:
    with created(postgres_server.dsn, "template0") as dsn, served(tmp_path, database=dsn, works=False) as own:
        environment = Environment(own)
        before = send(environment)
        assert before.status_code == 200
        with away(postgres_server):
            stale = send(environment)
            assert stale.status_code == 200
            assert stale.json()["data"] == before.json()["data"]
            since: Data = stale.json()["extensions"]["stale"]
            assert since == {"since": stale.headers["stageline-stale"]}
            assert int(stale.headers["age"]) >= 0
            assert stale.headers["cache-control"] == "no-store"
            assert "etag" not in stale.headers
            unknown = send(environment, query=VERSION)
            assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "1")
            assert unknown.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
            assert send(environment, authorization="Bearer stageline_unknown").status_code == 503
        assert send(environment).content == before.content
        assert "extensions" not in send(environment).json()
