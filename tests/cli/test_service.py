import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import Shell


def spec(shell: Shell, name: str) -> Any:
    return shell.done("service", "show", "-n", name, "--json").json["spec"]


def test_a_service_is_specified_by_options(staging: Shell, tmp_path: Path) -> None:
    answer = staging.done(
        *("service", "add", "-n", "Backend", "-t", "Application", "--directory", "backend"),
        *("--build", "make deps", "--build", "make", "--run", "./backend", "--port", "0", "--port", "8443"),
        *("--env", "A=1", "--env", "B=x=y", "--health-http", "/healthz", "--health-port", "1"),
        *("--health-tcp", "--health-command", "test -e up"),
        *("--health-interval", "0.5", "--health-timeout", "2", "--health-start-period", "9"),
        *("--build-timeout", "60", "--deploy-timeout", "30.5", "--stop-grace", "60", "--retries", "2"),
        *("--backoff-initial", "0.5", "--backoff-factor", "3", "--backoff-max", "9", "--backoff-jitter", "0.1"),
        *("--allow-failure", "--stop-first", "--stop-signal", "int", "--restart", "on-failure", "--restart-limit", "3"),
        *("--restart-window", "60", "--restart-backoff-initial", "2", "--restart-backoff-max", "20"),
        *("--restart-backoff-factor", "4", "--restart-backoff-jitter", "0.5"),
        *("--health-watch-interval", "15", "--health-failure-threshold", "4"),
    )
    assert answer.out == "Service added successfully\n"
    assert {
        "image": None,
        "buildContext": None,
        "dockerfile": None,
        "workingDirectory": str(tmp_path / "backend"),
        "buildCommands": ["make deps", "make"],
        "runCommand": "./backend",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "x=y"}],
        "ports": [0, 8443],
        "healthCheck": {
            "http": {"path": "/healthz", "portIndex": 1},
            "tcp": None,
            "command": None,
            "also": [
                {"http": None, "tcp": {"portIndex": 1}, "command": None},
                {"http": None, "tcp": None, "command": "test -e up"},
            ],
            "intervalSeconds": 0.5,
            "timeoutSeconds": 2.0,
            "startPeriodSeconds": 9.0,
            "watchIntervalSeconds": 15.0,
            "failureThreshold": 4,
        },
        "buildTimeoutSeconds": 60.0,
        "deployTimeoutSeconds": 30.5,
        "stopGraceSeconds": 60.0,
        "stopSignal": "INT",
        "stopFirst": True,
        "restart": "ON_FAILURE",
        "restartBackoff": {"initialSeconds": 2.0, "factor": 4.0, "maxSeconds": 20.0, "jitter": 0.5},
        "restartLimit": 3,
        "restartWindowSeconds": 60.0,
        "retries": 2,
        "backoff": {"initialSeconds": 0.5, "factor": 3.0, "maxSeconds": 9.0, "jitter": 0.1},
        "allowFailure": True,
        "once": False,
        "container": {
            "entrypoint": [],
            "command": [],
            "workingDirectory": None,
            "user": None,
            "pull": "MISSING",
            "publish": [],
            "volumes": [],
            "binds": [],
            "labels": [],
            "memoryMib": None,
            "memoryRequestMib": None,
            "cpus": None,
            "cpusRequest": None,
            "sharedMemoryMib": None,
            "replicas": 1,
            "buildArgs": [],
            "buildTarget": None,
            "platform": None,
        },
    } == spec(staging, "backend")


def test_a_container_is_what_its_options_say(staging: Shell) -> None:
    staging.done(
        *("service", "add", "-n", "Web", "-t", "container", "--image", "nginx", "--port", "80", "--port", "81"),
        *("--publish", "", "--publish", "[::1]:8081", "--volume", "data:/data", "--command", "serve", "--command", ""),
        *("--entrypoint", "/bin/sh", "--workdir", "/srv", "--volume", "conf:/conf:ro", "--replicas", "2"),
        *("--bind", "./app.ini:/app.ini:ro", "--label", "team=shop", "--memory-request", "32"),
        *("--cpus-request", "0.25", "--shared-memory", "16"),
        *("--user", "app", "--pull", "always", "--memory", "64", "--cpus", "0.5", "--platform", "linux/amd64"),
    )
    assert spec(staging, "Web")["container"] == {
        "entrypoint": ["/bin/sh"],
        "command": ["serve", ""],
        "workingDirectory": "/srv",
        "user": "app",
        "pull": "ALWAYS",
        "publish": [{"portIndex": 1, "hostPort": 8081, "address": "::1"}],
        "volumes": [
            {"name": "data", "path": "/data", "readOnly": False},
            {"name": "conf", "path": "/conf", "readOnly": True},
        ],
        "binds": [{"source": str(Path.cwd() / "app.ini"), "path": "/app.ini", "readOnly": True}],
        "labels": [{"name": "team", "value": "shop"}],
        "memoryMib": 64,
        "memoryRequestMib": 32,
        "cpus": 0.5,
        "cpusRequest": 0.25,
        "sharedMemoryMib": 16,
        "replicas": 2,
        "buildArgs": [],
        "buildTarget": None,
        "platform": "linux/amd64",
    }
    staging.done(
        *("service", "edit", "-n", "Web", "--image", "", "--context", ".", "--pull", "missing", "--memory", "0"),
        *("--build-arg", "VERSION=1", "--build-target", "release", "--volume", "", "--command", "", "--platform", ""),
        *("--entrypoint", "", "--bind", "", "--label", "", "--workdir", "", "--memory-request", "0", "--replicas", "1"),
    )
    changed = spec(staging, "Web")["container"]
    assert (changed["buildArgs"], changed["buildTarget"]) == ([{"name": "VERSION", "value": "1"}], "release")
    assert (changed["memoryMib"], changed["volumes"], changed["command"], changed["platform"]) == (None, [], [], None)
    assert (changed["entrypoint"], changed["binds"], changed["labels"], changed["replicas"]) == ([], [], [], 1)
    assert (changed["workingDirectory"], changed["memoryRequestMib"], changed["cpusRequest"]) == (None, None, 0.25)


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (("--publish", "80/tcp"), "Invalid --publish '80/tcp': give PORT or ADDRESS:PORT."),
        (("--volume", "data"), "Invalid --volume 'data': give NAME:PATH."),
        (("--bind", "data"), "Invalid --bind 'data': give SOURCE:PATH."),
        (("--label", "data"), "Invalid --label 'data': give NAME=VALUE."),
        (("--build-arg", "A"), "Invalid --build-arg 'A': give NAME=VALUE."),
    ],
)
def test_an_option_of_a_container_of_another_form_is_refused(staging: Shell, option: tuple[str, str], why: str) -> None:
    refused = staging("service", "add", "-n", "Web", "-t", "container", "--image", "nginx", *option)
    assert (refused.code, why in refused.err) == (2, True)


def test_only_a_job_runs_once(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Seed", "-t", "job", "--run", "true", "--once")
    assert spec(staging, "Seed")["once"] is True
    staging.done("service", "add", "-n", "Backend", "-t", "application", "--run", "true")
    refused = staging("service", "edit", "-n", "Backend", "--once")
    assert (refused.code, refused.err) == (
        1,
        "Error: Invalid service specification: once: only a JOB runs once, and the service is of type APPLICATION.\n",
    )


def test_a_service_lands_in_the_stage_that_is_named(staging: Shell) -> None:
    staging.done("service", "add", "-n", "Smoke", "-t", "job", "--run", "true", "--stage", "application default")
    (listed,) = staging.done("service", "list", "--json").json["services"]
    assert {"id", "name", "type", "isSkipped", "stage", "spec"} == set(listed)
    assert (listed["name"], listed["type"], listed["stage"]["name"]) == ("Smoke", "JOB", "APPLICATION DEFAULT")
    assert staging.done("service", "list").lines == ["Name   Type  Stage", "Smoke  JOB   APPLICATION DEFAULT"]


YAML = """\
workingDirectory: backend
buildCommands: [make]
runCommand: ./backend
env: {LEVEL: debug, WORKERS: 4}
ports: [0]
healthCheck:
  tcp: {}
  startPeriodSeconds: 5
"""
TOML = """\
workingDirectory = "backend"
buildCommands = ["make"]
runCommand = "./backend"
ports = [0]
env = {LEVEL = "debug", WORKERS = 4}
healthCheck = {tcp = {}, startPeriodSeconds = 5}
"""
JSON = json.dumps(
    {
        "workingDirectory": "backend",
        "buildCommands": ["make"],
        "runCommand": "./backend",
        "env": [{"name": "LEVEL", "value": "debug"}, {"name": "WORKERS", "value": "4"}],
        "ports": [0],
        "healthCheck": {"tcp": {}, "startPeriodSeconds": 5},
    }
)


@pytest.mark.parametrize(("name", "text"), [("a.yaml", YAML), ("a.yml", YAML), ("a.toml", TOML), ("a.json", JSON)])
def test_a_service_is_specified_by_a_file(staging: Shell, tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / "specs" / name
    file.parent.mkdir()
    file.write_text(text)
    staging.done("service", "add", "-n", "Backend", "-t", "application", "-f", str(file), "--retries", "3")
    found = spec(staging, "Backend")
    assert (str(tmp_path / "specs" / "backend"), ["make"], 3) == (
        found["workingDirectory"],
        found["buildCommands"],
        found["retries"],
    )
    assert found["env"] == [{"name": "LEVEL", "value": "debug"}, {"name": "WORKERS", "value": "4"}]
    assert (
        found["healthCheck"]["tcp"],
        found["healthCheck"]["startPeriodSeconds"],
        found["healthCheck"]["intervalSeconds"],
    ) == ({"portIndex": 0}, 5.0, 1.0)


LAUGHS = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.yaml", "runCommand: x\nbuld: [y]\n", "unknown field `buld`"),
        ("a.yaml", "runCommand: x\nrunCommand: y\n", "the field 'runCommand' is repeated"),
        ("a.yaml", "healthCheck: {tcp: {}, tcp: {}}\n", "the field 'tcp' is repeated"),
        ("a.json", '{"runCommand": "x", "runCommand": "y"}', "the field 'runCommand' is repeated"),
        ("a.toml", 'runCommand = "x"\nrunCommand = "y"\n', "is not a specification"),
        ("a.yaml", "runCommand: [x]\n", "Expected `str | null`, got `array` - at `$.runCommand`"),
        ("a.yaml", "env: {DEBUG: null}\n", "env.DEBUG is not text: write it in quotes"),
        ("a.yaml", "runCommand: 'x\n", "is not a specification"),
        ("a.yaml", "just words", "is not a specification"),
        ("a.yaml", "a: " + "[" * 50_000, "it is nested too deeply"),
        ("a.yaml", "{a: " * 40_000, "it is nested too deeply"),
        ("a.yaml", "- " * 50_000, "it is nested too deeply"),
        ("a.json", "[" * 50_000 + "]" * 50_000, "it is nested too deeply"),
        ("a.json", '{"a":' * 30_000, "it is nested too deeply"),
        ("a.toml", "a = " + "[" * 50_000, "it is nested too deeply"),
        ("a.yaml", "runCommand: " + "x" * 200_000, "it has 200,012 characters; at most 200,000 are allowed"),
        ("a.yaml", "retries: " + ":".join("1" * 50_000), "a number has 99,999 characters; at most 100 are allowed"),
        ("a.yaml", "retries: " + "1" * 5000, "a number has 5,000 characters; at most 100 are allowed"),
        ("a.yaml", "retries: !!int ''", "is not a specification"),
        ("a.yaml", "? [x]\n: y", "the name of a field is not text"),
        ("a.yaml", LAUGHS, "a mapping has more than 1,000 fields"),
        ("a.txt", "runCommand: x", "not in .yaml, .yml, .json or .toml"),
        ("missing/a.yaml", None, "Can't read missing/a.yaml: No such file"),
    ],
)
def test_a_file_that_cannot_be_meant_is_a_misuse(
    shell: Shell, tmp_path: Path, name: str, text: str | None, why: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    answer = shell("service", "add", "-n", "Backend", "-t", "application", "-f", name)
    assert (answer.code, answer.out) == (2, "")
    assert why in answer.err
    assert "Traceback" not in answer.err


def test_what_is_shown_can_be_given_back(staging: Shell, tmp_path: Path) -> None:
    staging.done(
        "service", "add", "-n", "A", "-t", "database", "--run", "a", "--env", "K=V", "--health-command", "true"
    )
    (tmp_path / "a.json").write_text(staging.done("service", "show", "-n", "A").out)
    staging.done("service", "add", "-n", "B", "-t", "database", "-f", "a.json")
    assert spec(staging, "A") == spec(staging, "B")


def test_an_edit_changes_what_it_says_and_nothing_else(staging: Shell) -> None:
    staging.done(
        *("service", "add", "-n", "Backend", "-t", "application", "--run", "a", "--build", "b", "--port", "0"),
        *("--env", "A=1", "--env", "B=2", "--health-http", "/"),
    )
    before = spec(staging, "Backend")
    answer = staging.done("service", "edit", "-n", "backend", "--new-name", "API")
    assert answer.out == "Service updated successfully\n"
    assert before == spec(staging, "API")

    staging.done("service", "edit", "-n", "API", "--env", "B=3", "--env", "C=4", "--unset-env", "A", "--run", "c")
    env = [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]
    assert {**before, "env": env, "runCommand": "c"} == spec(staging, "API")

    staging.done("service", "edit", "-n", "API", "--run", "", "--build", "", "--image", "redis:8", "--no-health")
    changed: dict[str, object] = {"runCommand": None, "buildCommands": [], "image": "redis:8", "healthCheck": None}
    assert {**before, "env": env, **changed} == spec(staging, "API")


def test_a_file_replaces_the_whole_specification(staging: Shell, tmp_path: Path) -> None:
    staging.done("service", "add", "-n", "Backend", "-t", "application", "--run", "a", "--env", "A=1")
    (tmp_path / "b.yaml").write_text("runCommand: b\n")
    staging.done("service", "edit", "-n", "Backend", "-f", "b.yaml")
    assert (spec(staging, "Backend")["runCommand"], spec(staging, "Backend")["env"]) == ("b", [])


def test_a_job_has_no_health_check(staging: Shell) -> None:
    refused = staging("service", "add", "-n", "Seed", "-t", "job", "--run", "true", "--health-command", "true")
    assert (refused.code, refused.err) == (
        1,
        (
            "Error: Invalid service specification: healthCheck: a JOB runs to its end, so nothing checks its health;"
            " its exit code counts.\n"
        ),
    )


def test_what_runs_of_a_service_is_shown(staging: Shell) -> None:
    assert staging.done("service", "instance").out == "<no instance>\n"
    staging.done("service", "add", "-n", "Seed", "-t", "job", "--run", "true")
    staging.done(
        "service", "add", "-n", "Web", "-t", "application", "--run", "exec python3 -m http.server $PORT", "--port", "0"
    )
    assert "Web" in staging.done("service", "instance").out
    staging.done("environment", "deploy", "-w")
    try:
        [web] = staging.done("service", "instance", "-n", "web", "--json").json["services"]
        live = web["instance"]
        assert (web["name"], live["status"], live["restarts"], live["lastExit"]) == ("Web", "RUNNING", 0, None)
        [endpoint] = live["endpoints"]
        head, row = staging.done("service", "instance").out.splitlines()
        assert [each in row for each in ("Web", "running", f"127.0.0.1:{endpoint['port']}")] == [True, True, True]
        assert "Seed" not in row
        assert head.split()[:2] == ["Service", "Status"]
    finally:
        staging.done("service", "remove", "-n", "Web", "--yes")


@pytest.mark.parametrize(
    "options",
    [
        ("--env", "A"),
        ("--env", "=x"),
        ("--no-health", "--health-http", "/"),
        ("--health-interval", "1"),
        ("--health-command", "true", "--health-port", "0"),
    ],
)
def test_options_that_cannot_be_meant_are_a_misuse(shell: Shell, options: tuple[str, ...]) -> None:
    answer = shell("service", "add", "-n", "Backend", "-t", "application", "--run", "x", *options)
    assert (answer.code, answer.out) == (2, "")


@pytest.mark.parametrize("option", ["--backoff-initial", "--health-interval", "--build-timeout", "--stop-grace"])
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_number_that_is_not_finite_is_a_misuse_that_names_the_option(shell: Shell, option: str, number: str) -> None:
    answer = shell("service", "add", "-n", "Backend", "-t", "application", "--health-tcp", option, number)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"Error: Invalid {option}: {number} is not a finite number.")


def test_a_specification_is_refused_in_the_servers_words(staging: Shell) -> None:
    answer = staging("service", "add", "-n", "A", "-t", "job", "--run", "x", "--image", "y")
    assert (answer.code, answer.out) == (1, "")
    assert "a service has one source" in answer.err


def test_a_service_is_removed(staging: Shell) -> None:
    staging.done("service", "add", "-n", "A", "-t", "job", "--run", "true")
    assert staging.done("service", "remove", "-n", "a", "--yes").out == "Service removed successfully\n"
    assert staging.done("service", "list").out == "<no service>\n"
    assert staging("service", "show", "-n", "A").code == 1


def test_a_person_is_asked_before_a_service_is_removed(staging: Shell) -> None:
    staging.done("service", "add", "-n", "A", "-t", "job", "--run", "true")
    with staging.terminal("service", "remove", "-n", "A") as terminal:
        terminal.wait_for("Remove service 'A'? [y/N]: ")
        terminal.type("n")
        assert terminal.end() == 1
    assert "Nothing was changed." in terminal.seen
    assert len(staging.done("service", "list", "--json").json["services"]) == 1


def test_where_nobody_can_be_asked_nothing_is_removed_without_yes(staging: Shell) -> None:
    staging.done("service", "add", "-n", "A", "-t", "job")
    refused = staging("service", "remove", "-n", "A")
    assert refused.code == 1
    assert "--yes" in refused.err
    assert "A" in staging.done("service", "list").out
