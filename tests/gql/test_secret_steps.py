"""Steps with secrets: what they get, what is pinned of them, and what an old instance gets when it runs again."""

from pathlib import Path
from typing import Any

from tests.gql.environment import Environment
from tests.gql.stageline import Data
from tests.runner.target import fixed_port

VALUE, OTHER = "correct horse battery staple", "another value that is long"


def set_(environment: Environment, name: str, value: str) -> None:
    environment.do("setEnvironmentSecret", name=name, value=value)


def deployed(environment: Environment, **more: object) -> Data:
    return environment.end(environment.do("deploy", **more))


def writing(folder: Path) -> dict[str, Any]:
    """A job that writes its variable A to a file."""
    return {"runCommand": f'echo "$A" >> {folder}/got', "env": [{"name": "A", "value": "${{ secrets.KEY }}"}]}


def got(folder: Path) -> list[str]:
    return (folder / "got").read_text().splitlines()


def test_a_secret_of_the_environment_replaces_that_of_its_project(environment: Environment, tmp_path: Path) -> None:
    project = environment.project
    environment.stageline.do("setProjectSecret", project=project, name="KEY", value=OTHER)
    environment.add("job", **writing(tmp_path))
    deployed(environment)
    set_(environment, "KEY", VALUE)
    deployed(environment)
    environment.do("deleteEnvironmentSecrets", names=["KEY"])
    deployed(environment)
    assert got(tmp_path) == [OTHER, VALUE, OTHER]


def test_a_step_is_unchanged_until_its_secret_has_a_new_version(environment: Environment, tmp_path: Path) -> None:
    set_(environment, "KEY", VALUE)
    environment.add("job", **writing(tmp_path), once=True)
    deployed(environment, revision="1")
    deployed(environment, revision="1")
    assert got(tmp_path) == [VALUE]
    environment.do("rotateEnvironmentKey")
    deployed(environment, revision="1")
    assert got(tmp_path) == [VALUE], "a rotation changes no value"
    set_(environment, "KEY", OTHER)
    deployed(environment, revision="1")
    assert got(tmp_path) == [VALUE, OTHER]


def test_a_deployment_uses_the_versions_of_its_start(environment: Environment, tmp_path: Path) -> None:
    set_(environment, "KEY", VALUE)
    gate = environment.gate
    wait = f'until [ -e "{gate}" ]; do sleep 0.02; done; '
    job = writing(tmp_path)
    environment.add("late", type_="APPLICATION", runCommand=f"{job['runCommand']}; sleep 60", env=job["env"])
    environment.add("first", runCommand=wait + "true")
    deployment = environment.do("deploy")
    for event in environment.stageline.follow("deploymentEvents", deployment=deployment["id"]):
        if event["deploymentEventType"] == "SERVICE_DEPLOY_STARTED":
            break
    set_(environment, "KEY", OTHER)
    environment.let_end(deployment)
    assert got(tmp_path) == [VALUE]


def test_a_rollback_uses_the_secrets_of_today(environment: Environment, tmp_path: Path) -> None:
    set_(environment, "KEY", VALUE)
    environment.add("job", **writing(tmp_path))
    first = deployed(environment)
    set_(environment, "KEY", OTHER)
    environment.end(environment.stageline.do("rollBackTo", deployment=first["id"]))
    assert got(tmp_path) == [VALUE, OTHER]


def test_an_output_with_the_value_of_a_secret_fails_its_step(environment: Environment) -> None:
    set_(environment, "KEY", VALUE)
    job = {"runCommand": 'echo "URL=db://me:$A@host" >> $STAGELINE_OUTPUT', "env": writing(Path())["env"]}
    environment.add("job", **job)
    ended = deployed(environment)
    assert ended["status"] == "FAILED"
    reason = "output URL has the value of a secret, and the log keeps outputs: leave it out"
    assert reason in str(environment.stageline.everything("deploymentEvents", deployment=ended["id"]))


def test_the_old_instance_runs_again_with_its_secrets_and_no_file_has_them(
    environment: Environment, tmp_path: Path
) -> None:
    set_(environment, "KEY", VALUE)
    port = fixed_port()
    job = writing(tmp_path)
    run = f"{job['runCommand']}; exec python3 -m http.server --bind 127.0.0.1 {port}"
    spec: dict[str, Any] = {
        "ports": [port],
        "env": job["env"],
        "healthCheck": {"command": "test -n '${{ secrets.KEY }}'"},
    }
    environment.add("web", type_="APPLICATION", runCommand=run, **spec)
    assert deployed(environment)["status"] == "SUCCEEDED"
    broken = {**spec, "runCommand": f"{job['runCommand']}; exit 1"}
    environment.do("editService", service="web", spec=broken)
    assert deployed(environment)["status"] == "FAILED"
    assert got(tmp_path) == [VALUE] * 3
    folder = environment.stageline.data / "processes"
    starts = [path for path in folder.rglob("*") if path.name in ("start", "replaced")]
    assert len(starts) >= 2
    assert not [path for path in starts if VALUE.encode() in path.read_bytes()]
