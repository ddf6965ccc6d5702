"""The Docker target's own: images, networks, volumes, limits, and an engine that goes away."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from cli.sandbox import free_ports
from domain.container import Bind, Container, Label, Publication, Pull, Volume
from domain.deployment.step import Phase
from domain.spec import CommandCheck, Health, ServiceType, StopSignal, Variable
from runner.targets.contract import RegistryLogin, StepFailed, StepRequest
from runner.targets.docker import address, health, label
from runner.targets.docker import build as builds
from runner.targets.docker.container import Container as InspectedContainer
from runner.targets.docker.container import ListedContainer
from runner.targets.docker.engine import Engine
from runner.targets.docker.executor import DockerExecutor
from tests.runner.target import ENVIRONMENT, OTHER, SERVICE, Printed, request
from tests.targets.engine import HOST, IMAGE
from tests.targets.registry import PASSWORD, USER, push, registry
from tests.targets.shared import left

pytestmark = [pytest.mark.long, pytest.mark.skipif(HOST not in os.environ, reason="see tests.targets.engine")]

SERVE = "echo $STAGELINE_DEPLOYMENT_NUMBER > /www/index.html; exec httpd -f -p $PORT -h /www"


def step(command: str, number: int = 1, **more: Any) -> StepRequest:
    container = {
        each: more.pop(each) for each in ("volumes", "publish", "memory", "cpus", "user", "pull") if each in more
    }
    spec = {"image": IMAGE, **more}
    return request(Phase.DEPLOY, number=number, container=Container(command=("sh", "-c", command), **container), **spec)


def job(command: str, number: int = 1, **more: Any) -> StepRequest:
    return step(command, number, type=ServiceType.JOB, **more)


async def inspected(engine: Engine, service: UUID = SERVICE) -> Any:
    (found,) = await engine.get("/containers/json", list[ListedContainer], filters=label.filters(service=service))
    return await engine.get(f"/containers/{found.id}/json", Any)


async def test_services_reach_each_other_by_name(executor: DockerExecutor) -> None:
    await executor.deploy(replace(step(SERVE, ports=(0,)), name="DB"), Printed())
    reading = job("wget -q -O - http://db:8080/", service=OTHER)
    await executor.deploy(reading, printed := Printed())
    assert printed.lines == ["1"]


async def test_an_environment_does_not_reach_the_services_of_another(executor: DockerExecutor) -> None:
    await executor.deploy(replace(step(SERVE, ports=(0,)), name="DB"), Printed())
    foreign = replace(job("wget -q -O - http://db:8080/", service=OTHER), environment=UUID(int=77))
    with pytest.raises(StepFailed, match="the job ended with exit code 1"):
        await executor.deploy(foreign, Printed())


async def test_a_name_leads_to_the_new_instance_after_the_switch(executor: DockerExecutor, engine: Engine) -> None:
    for number in (1, 2):
        await executor.deploy(replace(step(SERVE, number, ports=(0,)), name="DB"), Printed())
    await executor.deploy(job("wget -q -O - http://db:8080/", service=OTHER), printed := Printed())
    assert printed.lines == ["2"]
    assert (await inspected(engine))["HostConfig"]["RestartPolicy"]["Name"] == "always"


async def test_a_container_that_ended_before_its_service_was_stopped_is_not_started_by_the_engine(
    executor: DockerExecutor, engine: Engine
) -> None:
    """An engine that starts again would start it, if an operator had stopped it."""
    await executor.deploy(step("exec sleep 60"), Printed())
    id_ = (await inspected(engine))["Id"]
    await engine.stop(id_)
    await executor.stop(replace(step("exec sleep 60", 2), phase=Phase.STOP))
    found = await engine.get(f"/containers/{id_}/json", dict[str, Any])
    assert (found["State"]["Status"], found["HostConfig"]["RestartPolicy"]["Name"]) == ("exited", "no")


async def test_a_volume_survives_its_service_and_is_used_by_one_instance_at_a_time(
    executor: DockerExecutor, engine: Engine
) -> None:
    data = (Volume(name="data", path="/data"),)
    await executor.deploy(step("echo kept > /data/file; exec sleep 60", volumes=data), Printed())
    await executor.deploy(step("exec sleep 60", 2, volumes=data), printed := Printed())
    why = "volume data is used by one instance at a time"
    assert f"{why}; the old instance is stopped before the new one starts" in printed.notes
    await executor.delete(ENVIRONMENT, SERVICE)
    await executor.deploy(job("cat /data/file", 3, volumes=data), printed := Printed())
    assert printed.lines == ["kept"]
    assert await executor.delete_volume(ENVIRONMENT, "data") == "another container still uses it"
    await executor.delete(ENVIRONMENT, SERVICE)
    for _ in range(2):  # as after a crash
        assert await executor.delete_volume(ENVIRONMENT, "data") is None
    filters = {"name": [label.volume(ENVIRONMENT, "data")]}
    assert (await engine.get("/volumes", dict[str, Any], filters=filters))["Volumes"] in (None, [])


async def test_a_container_has_its_limits_and_user(executor: DockerExecutor, engine: Engine) -> None:
    limited = step("id -u; exec sleep 60", memory=16, cpus=0.5, user="1000:1000", stop_grace=2.5)
    await executor.deploy(limited, printed := Printed())
    assert printed.lines == ["1000"]
    found = await inspected(engine)
    assert found["HostConfig"]["Memory"] == 16 * 1024 * 1024
    assert (found["HostConfig"]["NanoCpus"], found["Config"]["StopTimeout"]) == (500_000_000, 3)


@pytest.mark.parametrize("is_of_image", [False, True])
async def test_a_container_is_stopped_by_its_signal_or_else_by_that_of_its_image(
    executor: DockerExecutor, engine: Engine, tmp_path: Path, is_of_image: bool
) -> None:
    waiting = step("trap 'exit 7' INT; while :; do sleep 0.1; done")
    spec = replace(waiting.spec, stop_signal=StopSignal.INT)
    if is_of_image:
        (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nSTOPSIGNAL SIGINT\n")
        spec = replace(waiting.spec, image=None, context=str(tmp_path))
        await executor.build(replace(waiting, phase=Phase.BUILD, spec=spec), Printed())
    await executor.deploy(replace(waiting, spec=spec), Printed())
    id_ = (await inspected(engine))["Id"]
    await executor.stop(replace(step("true", 2), phase=Phase.STOP))
    assert (await engine.get(f"/containers/{id_}/json", dict[str, Any]))["State"]["ExitCode"] == 7


async def test_a_container_has_its_program_folder_labels_requests_and_mounts(
    executor: DockerExecutor, engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "greeting").write_text("hello\n")
    printing = "exec 2>&1; pwd; cat /greeting; echo no > /greeting || grep /dev/shm /proc/mounts"  # one order of lines
    container = Container(
        entrypoint=("/bin/sh", "-c"),
        command=(f"{printing}; exec sleep 60",),
        directory="/www",
        binds=(Bind(source=str(tmp_path / "greeting"), path="/greeting", read_only=True),),
        labels=(Label(name="team", value="shop"),),
        memory_request=16,
        cpus_request=0.5,
        shared_memory=12,
    )
    await executor.deploy(request(Phase.DEPLOY, image=IMAGE, container=container), printed := Printed())
    assert printed.lines[:2] == ["/www", "hello"]
    assert ("Read-only" in printed.lines[2], "size=12288k" in printed.lines[3]) == (True, True)
    found = await inspected(engine)
    assert (found["Config"]["Labels"]["team"], found["Config"]["Labels"][label.SERVICE]) == ("shop", str(SERVICE))
    assert found["HostConfig"]["MemoryReservation"] == 16 * 1024 * 1024
    assert found["HostConfig"]["CpuShares"] == 512


async def test_instances_that_only_read_a_volume_run_side_by_side(executor: DockerExecutor, engine: Engine) -> None:
    data = (Volume(name="data", path="/data", read_only=True),)
    await executor.deploy(step("exec sleep 60", volumes=data), Printed())
    await executor.deploy(step("exec sleep 60", 2, volumes=data), printed := Printed())
    assert not [note for note in printed.notes if "stopped before" in note]
    await executor.delete(ENVIRONMENT, SERVICE)
    await engine.delete(f"/volumes/{label.volume(ENVIRONMENT, 'data')}")


async def test_a_published_port_that_is_taken_fails_the_step_and_leaves_nothing(
    executor: DockerExecutor, engine: Engine
) -> None:
    (port,) = free_ports(1)
    taken = (Publication(host_port=port, address="127.0.0.1"),)
    await executor.deploy(step(SERVE, ports=(0,), publish=taken), Printed())
    with pytest.raises(StepFailed, match=r"can't be started: .*port is already allocated"):
        await executor.deploy(step(SERVE, ports=(0,), publish=taken, service=OTHER), Printed())
    filters = label.filters(service=OTHER)
    assert await engine.get("/containers/json", list[Any], all=True, filters=filters) == []


async def test_the_health_check_of_an_image_counts_without_one_of_ours(
    executor: DockerExecutor, tmp_path: Path
) -> None:
    check = "HEALTHCHECK --interval=1s --retries=1 CMD test -e /tmp/up"
    for number, command in ((1, "sleep 1; touch /tmp/up; exec sleep 60"), (2, "exec sleep 60")):
        (tmp_path / "Dockerfile").write_text(f'FROM {IMAGE}\n{check}\nCMD ["sh", "-c", "{command}"]\n')
        await executor.build(request(Phase.BUILD, number=number, context=str(tmp_path)), Printed())
        deploying = executor.deploy(request(Phase.DEPLOY, number=number, context=str(tmp_path)), Printed())
        if number == 1:
            assert await deploying == ()
        else:
            with pytest.raises(StepFailed, match="the health check of the image failed"):
                await deploying


async def test_an_unchanged_context_is_not_built_again(executor: DockerExecutor, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY . /src\nRUN echo building\n")
    (tmp_path / ".dockerignore").write_text("*.log\n")
    outputs, reused = [], []
    for number, change in enumerate(("first", None, "ignored", "second"), 1):
        if change:
            (tmp_path / ("file.log" if change == "ignored" else "file")).write_text(change)
        await executor.build(request(Phase.BUILD, number=number, context=str(tmp_path)), printed := Printed())
        outputs.append("building" in printed.lines)
        assert printed.image is not None
        reused.append(printed.image.is_reused)
    assert outputs == [True, False, False, True]
    assert reused == [False, True, True, False]


async def test_a_container_is_kept_while_its_image_is_the_same(
    executor: DockerExecutor, engine: Engine, host: str, tmp_path: Path
) -> None:
    name = f"{host}/app:1"
    await push(engine, IMAGE, name)
    for pull in (Pull.ALWAYS, Pull.MISSING):
        now = step("exec sleep 60", image=name, pull=pull)
        await executor.deploy(now, printed := Printed())
        assert printed.image is not None
        assert printed.image.digest.startswith(f"{host}/app@sha256:")
        later = replace(step("exec sleep 60", 2, image=name, pull=pull), known=now.deployment)
        assert await executor.is_healthy(later)
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        (other / "Dockerfile").write_text(f"FROM {IMAGE}\nENV MOVED={pull}\n")
        building = request(Phase.BUILD, number=9 if pull is Pull.ALWAYS else 10, service=OTHER, context=str(other))
        await executor.build(building, Printed())
        if pull is Pull.ALWAYS:  # the tag moves in the registry, where others push it
            await push(engine, builds.name_of(building), name)
        else:  # the tag moves on the engine
            await engine.post(f"/images/{builds.name_of(building)}/tag", repo=f"{host}/app", tag="1")
        assert not await executor.is_healthy(later)
        await executor.delete(ENVIRONMENT, SERVICE)


async def test_a_container_is_kept_while_its_build_context_is_the_same(
    executor: DockerExecutor, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {IMAGE}\nCMD ["sleep", "60"]\n')
    building = request(Phase.BUILD, context=str(tmp_path))
    await executor.build(building, Printed())
    await executor.deploy(replace(building, phase=Phase.DEPLOY), Printed())
    later = replace(request(Phase.BUILD, number=2, context=str(tmp_path)), known=building.deployment)
    assert await executor.is_healthy(later)
    (tmp_path / "file").touch()
    assert not await executor.is_healthy(later)


async def test_the_images_of_three_deployments_are_kept(
    executor: DockerExecutor, engine: Engine, tmp_path: Path
) -> None:
    for number in range(1, 6):
        (tmp_path / "Dockerfile").write_text(f'FROM {IMAGE}\nENV NUMBER={number}\nCMD ["sleep", "60"]\n')
        await executor.build(request(Phase.BUILD, number=number, context=str(tmp_path)), Printed())
        await executor.deploy(request(Phase.DEPLOY, number=number, context=str(tmp_path)), Printed())
    found = await engine.get("/images/json", list[Any], filters=label.filters(service=SERVICE))
    assert len(found) == 3


async def test_an_image_is_pulled_as_its_policy_says(executor: DockerExecutor, engine: Engine, host: str) -> None:
    name = f"{host}/app:1"
    await push(engine, IMAGE, name)
    never = replace(job("true"), spec=replace(job("true").spec, image=name, container=Container(pull=Pull.NEVER)))
    with pytest.raises(StepFailed, match=f"the engine has no image {name}, and it is never pulled"):
        await executor.deploy(never, Printed())
    for number, policy in ((2, Pull.MISSING), (3, Pull.ALWAYS)):
        each = replace(job("echo ran", number, image=name, pull=policy), attempt=number)
        await executor.deploy(each, printed := Printed())
        assert printed.notes[0].startswith(f"image {name} is {host}/app@sha256:")
    gone = job("true", 4, image=f"{host}/none:1")
    with pytest.raises(StepFailed, match=r"none:1 can't be pulled: .*not found"):
        await executor.deploy(gone, Printed())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path) as host:
        yield host


async def test_an_image_is_pulled_with_the_credentials_of_its_registry(
    executor: DockerExecutor, engine: Engine, tmp_path: Path
) -> None:
    with registry(tmp_path, has_login=True) as host:
        name = f"{host}/private:1"
        await push(engine, IMAGE, name)
        with pytest.raises(StepFailed, match="private:1 can't be pulled"):
            await executor.deploy(job("true", image=name), Printed())
        logins = (
            RegistryLogin(host="ghcr.io", user="a", password="b"),
            RegistryLogin(host=host, user=USER, password=PASSWORD),
        )
        await executor.deploy(replace(job("echo ran", 2, image=name), logins=logins), printed := Printed())
        assert printed.lines == ["ran"]
        assert PASSWORD not in str(await engine.get("/containers/json", Any, all=True))
        (tmp_path / "Dockerfile").write_text(f"FROM {host}/private:1\nRUN echo built\n")
        await engine.delete(f"/images/{name}", force=True)
        building = replace(request(Phase.BUILD, number=3, context=str(tmp_path)), logins=logins)
        await executor.build(building, Printed())


async def test_an_engine_that_is_away_fails_a_step_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.targets.outage.OUTAGE", 0.2)
    absent = Engine(address.parse(f"unix://{tmp_path}/docker.sock"))
    executor = DockerExecutor(absent, UUID(int=1000))
    with pytest.raises(StepFailed, match=r"the Docker engine at unix://.*/docker.sock can't be reached"):
        await executor.deploy(step("true"), Printed())
    for deleting in (executor.delete(ENVIRONMENT, SERVICE), executor.delete_volume(ENVIRONMENT, "data")):
        with pytest.raises(StepFailed, match=r"can't be reached"):
            await deleting
    await absent.close()


async def test_a_service_is_not_healthy_before_it_listens_however_slow_the_proxy_is(
    executor: DockerExecutor, engine: Engine
) -> None:
    starting = step("exec sleep 60", ports=(0,))
    deploying = asyncio.create_task(executor.deploy(starting, Printed()))
    while not (running := await engine.get("/containers/json", list[ListedContainer])):
        await asyncio.sleep(0.02)
    proxies = _proxies()
    for pid in proxies:
        os.kill(pid, signal.SIGSTOP)
    try:
        found = await engine.get(f"/containers/{running[0].id}/json", InspectedContainer)
        assert not await health.is_up(engine, found, starting)
        assert not deploying.done()
    finally:
        for pid in proxies:
            os.kill(pid, signal.SIGCONT)
        await executor.abort(starting)
        with pytest.raises(StepFailed, match="it was cancelled"):
            await deploying


def _proxies() -> list[int]:
    """Return the processes of the engine that take connections to published ports."""
    names = {int(path.parent.name): path.read_text() for path in Path("/proc").glob("[0-9]*/comm")}
    return [pid for pid, name in names.items() if name.strip() == "docker-proxy"]


async def test_nothing_of_an_environment_is_left_after_a_container_that_somebody_removed(
    executor: DockerExecutor, engine: Engine
) -> None:
    await executor.deploy(step("exec sleep 60"), Printed())
    await engine.delete(f"/containers/{(await inspected(engine))['Id']}", force=True)
    await executor.sweep(keep=())
    assert await left(engine) == []


async def test_a_secret_is_masked_and_stands_in_no_label(executor: DockerExecutor, engine: Engine) -> None:
    plain = step("echo $TOKEN; exec sleep 60", health=Health(check=CommandCheck(command="test hidden-value = $TOKEN")))
    hidden = replace(plain.spec, health=Health(check=CommandCheck(command="test *** = $TOKEN")))
    env = (Variable(name="TOKEN", value="hidden-value"),)
    shown = replace(plain, secrets=("hidden-value",), shown=hidden, spec=replace(plain.spec, env=env))
    await executor.deploy(shown, printed := Printed())
    assert printed.lines == ["***"]
    labels = (await inspected(engine))["Config"]["Labels"]
    assert "hidden-value" not in str(labels)
    argument = step("echo hidden-value", 2)
    masked = replace(argument.spec, container=Container(command=("sh", "-c", "echo ***")))
    with pytest.raises(StepFailed, match="a secret can't be in an argument of a container"):
        await executor.deploy(replace(argument, secrets=("hidden-value",), shown=masked), Printed())


async def test_a_step_waits_for_an_engine_that_comes_back(tmp_path: Path, engine: Engine) -> None:
    socket = tmp_path / "docker.sock"
    away = Engine(address.parse(f"unix://{socket}"))
    executor = DockerExecutor(away, UUID(int=1000))
    deploying = asyncio.create_task(executor.deploy(job("echo ran"), printed := Printed()))
    await asyncio.sleep(0)
    socket.symlink_to(engine.address.path)
    await deploying
    assert printed.lines == ["ran"]
    await away.close()
