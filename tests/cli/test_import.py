"""`stageline import`: documents that the server takes."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.cli.compose.stack import STACKS, VARIABLES
from tests.cli.shell import Shell
from tests.serving import serving

QOVERY = {
    "stages": [
        {
            "stage_order": 2,
            "stage_id": "b",
            "stage_name": "second stage",
            "stage_description": "",
            "services": [
                {"id": "3", "type": "CONTAINER", "name": "Rabbitmq", "is_skipped": False},
                {"id": "4", "type": "HELM", "name": "Chart", "is_skipped": False},
            ],
        },
        {
            "stage_order": 1,
            "stage_id": "a",
            "stage_name": "first stage",
            "stage_description": "What the others need",
            "services": [
                {"id": "1", "type": "DATABASE", "name": "Redis", "is_skipped": False},
                {"id": "2", "type": "DATABASE", "name": "DB", "is_skipped": True},
            ],
        },
        {"stage_order": 3, "stage_id": "c", "stage_name": "third stage", "stage_description": "", "services": None},
    ],
    "skipped_services": [
        {"id": "2", "type": "DATABASE", "name": "DB", "stage": "first stage"},
        {"id": "5", "type": "APPLICATION", "name": "Frontend", "stage": "third stage"},
    ],
}


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stacks, in a shell that has their variables."""
    folder = shutil.copytree(STACKS, tmp_path / "stacks")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return folder


def test_an_imported_stack_is_applied_from_its_folder(staging: Shell, stacks: Path) -> None:
    shutil.copy("social.yaml", "compose.yaml")
    done = staging("import", "compose", "-o", "stageline.yaml")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[:3] == [
        "Imported 4 services in 2 stages.",
        "  DATABASE, by the image: db (postgres), cache (redis)",
        "  CONTAINER, any other image: web, worker",
    ]
    assert "  Probably secrets, now in the document: SECRET_KEY_BASE. See: stageline secret --help" in done.err
    document = yaml.safe_load(Path("stageline.yaml").read_text())
    binds = document["stages"][0]["services"][0]["spec"]["container"]["binds"]
    assert binds == [{"source": "./state/db", "path": "/var/lib/postgresql/data"}]
    staging.done("pipeline", "apply", "-f", "stageline.yaml")
    listed = staging.done("service", "list", "--json").json["services"]
    assert [each["name"] for each in listed] == ["db", "cache", "web", "worker"]
    assert listed[0]["spec"]["container"]["binds"][0]["source"] == str(stacks / "state/db")
    assert staging.done("pipeline", "diff", "-f", "stageline.yaml").out == "<no difference>\n"


def test_variables_come_from_the_shell_over_a_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docker-compose.yml").write_text("services: {web: {image: '$A-$B-$C', profiles: [x]}}\n")
    Path(".env").write_text("A=file\nB=file\nC=${B}!\nCOMPOSE_PROFILES=x\n")
    monkeypatch.setenv("A", "shell")
    found = shell("import", "compose", "--json").json["stages"][0]["services"]
    spec = {"image": "shell-file-file!", "restart": "NO", "container": {"labels": {"compose.profiles": "x"}}}
    assert found == [{"name": "web", "type": "CONTAINER", "spec": spec}]
    Path("other.env").write_text("B=other\nC=c\n")
    skipped = shell("import", "compose", "--json", "--env-file", "other.env", "--profile", "y")
    service = skipped.json["stages"][0]["services"][0]
    assert (service["spec"]["image"], service["isSkipped"]) == ("shell-other-c", True)


def test_an_override_is_read_as_compose_does_and_no_file_is_a_usage_error(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = shell("import", "compose")
    assert (refused.code, "This folder has no compose.yaml" in refused.err) == (2, True)
    Path("compose.yml").write_text("services: {web: {image: a}}\n")
    Path("compose.override.yaml").write_text("services: {web: {image: b}}\n")
    assert "image: b\n" in shell("import", "compose").out
    assert "image: a\n" in shell("import", "compose", "compose.yml").out


def test_stages_of_qovery_are_filled_in_later(staging: Shell, tmp_path: Path) -> None:
    file = tmp_path / "stages.json"
    file.write_text(json.dumps(QOVERY))
    done = staging("import", "qovery", str(file), "-o", str(tmp_path / "stageline.yaml"))
    assert (done.code, done.err.splitlines()) == (
        0,
        [
            "Imported 4 services in 3 stages.",
            "  Fill in the spec of: Redis, DB, Rabbitmq, Frontend",
            "Not as in the original:",
            "  second stage: Chart: there is no type HELM; the service is left out",
        ],
    )
    staging.done("pipeline", "apply", "-f", str(tmp_path / "stageline.yaml"))
    assert staging.done("environment", "stage", "list").lines == [
        '# deployment stage 1: "first stage"',
        "What the others need",
        "Type | Name",
        "DATABASE | Redis",
        "DATABASE | DB (skipped)",
        '# deployment stage 2: "second stage"',
        "Type | Name",
        "CONTAINER | Rabbitmq",
        '# deployment stage 3: "third stage"',
        "Type | Name",
        "APPLICATION | Frontend (skipped)",
    ]


TWICE = '{"stages": [{"stage_name": "a", "services": [{"name": "db", "type": "JOB"}, {"name": "db", "type": "JOB"}]}]}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not Qovery's list of stages"),
        ('{"stages": [\n}', "(line 2)"),
        ('{"stages": []}', "has no stages"),
        ("[]", "is not Qo"),
        (TWICE, "stages.json: the service 'db' occurs twice."),
    ],
)
def test_another_json_is_not_qoverys(text: str, why: str, shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "stages.json"
    file.write_text(text)
    refused = shell("import", "qovery", str(file))
    assert (refused.code, why in refused.err) == (2, True)


@pytest.mark.long
def test_every_stack_is_applied_and_planned_on_a_docker_engine(stacks: Path, tmp_path: Path) -> None:
    """The engine is away, which a plan doesn't need."""
    own = ("--docker", f"unix://{tmp_path}/none.sock")
    folder = tmp_path / "server"
    folder.mkdir()
    with serving(folder, *own) as server:
        server.stageline("project", "create", "-n", "Stacks")
        for file in sorted(stacks.glob("*.yaml")):
            name = file.stem
            scope = ("--project", "Stacks", "--environment", name)
            server.stageline("environment", "create", "-n", name, "--project", "Stacks", "--target", "docker")
            server.stageline("import", "compose", str(file), "-o", str(stacks / f"{name}.pipeline"))
            server.stageline("pipeline", "apply", "-f", str(stacks / f"{name}.pipeline"), *scope)
            planned = server.stageline("plan", *scope).stdout
            services = yaml.safe_load(file.read_text())["services"]
            assert [each for each in services if each.replace("_", "-") not in planned] == []
