import json
from pathlib import Path

import pytest

from domain.pipeline.environment import Target
from projections.engine.status import ProjectionStatus, ProjectorStatus
from projections.engine.views import ParkedEvent
from runner.targets.docker.address import AddressInvalid
from runner.targets.kubernetes.access import AccessInvalid
from server.components import running
from server.health import health
from server.settings import Settings
from store import ids
from tests.gql.stageline import Stageline


@pytest.mark.parametrize("path", ["/graphql/", "/health/x", "/log.db", "/graphiql", "/graphiql/assets/../../app.py"])
def test_there_is_nothing_elsewhere(stageline: Stageline, path: str) -> None:
    assert stageline.send("GET", path).status_code in (307, 404)


def test_health_tells_how_far_the_read_models_are_without_a_token(stageline: Stageline) -> None:
    stageline.do("createProject", name="Shop")
    assert stageline.query("projects")["edges"]  # the read models have come so far, then
    answer = stageline.send("GET", "/health")
    assert answer.status_code == 200
    health = answer.json()
    projections = health.pop("projections")
    assert health == {"status": "ok", "position": 3, "lag": 0, "fault": None, "parked": [], "waiting": []}
    assert {"project", "environment", "pipeline", "deployment"} <= projections.keys()
    for projection in projections.values():
        assert projection == {"version": projection["version"], "position": 3, "lag": 0, "isRebuilding": False}


def test_the_server_says_that_it_lives(stageline: Stageline) -> None:
    answer = stageline.send("GET", "/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_health_says_that_the_log_is_out_of_reach(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path)) as parts:
        await parts.application.log.close()
        answer = await health(parts.application)
    assert answer.status_code == 503
    assert b'"status":"unavailable"' in bytes(answer.body)


async def test_health_says_that_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(Settings(data=tmp_path)) as parts:
        assert (await health(parts.application, tmp_path)).status_code == 200
        monkeypatch.setattr("server.health.MIN_FREE", 2**62)
        answer = await health(parts.application, tmp_path)
    assert answer.status_code == 503
    assert f"The disk of {tmp_path} is full" in bytes(answer.body).decode()


async def test_health_says_what_is_wrong_with_the_read_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parked = ParkedEvent(
        kind="project", position=2, stream=ids.new(), name="project.ProjectCreated", error="KeyError: 7"
    )
    behind = ProjectionStatus(kind="project", version=1, position=1, lag=2, is_rebuilding=True)

    async def status() -> ProjectorStatus:
        return ProjectorStatus(position=1, lag=2, projections=(behind,), parked=(parked,), fault="It is full.")

    async with running(Settings(data=tmp_path)) as parts:
        monkeypatch.setattr(parts.application.projector, "status", status)
        answer = await health(parts.application)
    assert answer.status_code == 503
    assert json.loads(bytes(answer.body)) == {
        "status": "unavailable",
        "position": 1,
        "lag": 2,
        "fault": "It is full.",
        "projections": {"project": {"version": 1, "position": 1, "lag": 2, "isRebuilding": True}},
        "parked": [{"projection": "project", "position": 2, "event": "project.ProjectCreated", "error": "KeyError: 7"}],
        "waiting": [],
    }


async def test_a_server_with_an_engine_that_is_away_starts_and_offers_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Settings(data=tmp_path, docker=f"unix://{tmp_path}/docker.sock")) as parts:
        assert parts.application.targets == {Target.PROCESS, Target.DOCKER}
    assert "The target DOCKER is unavailable until its engine answers: the Docker engine at unix://" in caplog.text


async def test_an_address_that_is_no_engines_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AddressInvalid, match=r"Invalid address of a Docker engine: 'docker.sock'"):
        async with running(Settings(data=tmp_path, docker="docker.sock")):
            raise AssertionError("unreachable")


async def test_a_server_with_a_cluster_that_is_away_starts_and_offers_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "shop", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    async with running(Settings(data=tmp_path, kubernetes="shop")) as parts:
        assert parts.application.targets == {Target.PROCESS, Target.KUBERNETES}
    assert "The target KUBERNETES is unavailable until its cluster answers: the Kubernetes cluster shop" in caplog.text


async def test_a_context_that_the_kubeconfig_lacks_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with pytest.raises(AccessInvalid, match="There is no kubeconfig at"):
        async with running(Settings(data=tmp_path, kubernetes="shop")):
            raise AssertionError("unreachable")
