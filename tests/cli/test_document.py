import json
from pathlib import Path

import pytest
import yaml

from tests.cli.shell import Answer, Shell

DOCUMENT = """\
# the shop
stages:
  - name: first
    services:
      - {name: Redis, type: DATABASE, spec: {workingDirectory: redis, runCommand: "true"}}
  - name: second
    concurrency: 2
    services:
      - name: Api   # serves
        type: APPLICATION
        spec:
          workingDirectory: ./api
          runCommand: "true"
"""


def pipeline(shell: Shell, *words: str) -> Answer:
    return shell("pipeline", *words)


@pytest.fixture
def applied(staging: Shell) -> Shell:
    Path("pipeline.yaml").write_text(DOCUMENT)
    assert pipeline(staging, "apply", "-f", "pipeline.yaml").code == 0
    return staging


def test_a_document_is_applied(applied: Shell) -> None:
    assert applied.done("environment", "stage", "list").lines == [
        '# deployment stage 1: "first"',
        "Type | Name",
        "DATABASE | Redis",
        '# deployment stage 2: "second"',
        "Policy: 2 services at once",
        "Type | Name",
        "APPLICATION | Api",
    ]
    specs = [each["spec"] for each in applied.done("service", "list", "--json").json["services"]]
    assert {each["workingDirectory"] for each in specs} == {str(applied.home / "redis"), str(applied.home / "api")}


ALIASES = """\
stages:
- name: "caf\u00e9 \U0001f680"
  services:
  - name: one
    type: APPLICATION
    spec: &spec {workingDirectory: &here ./one, runCommand: "true", env: {WRITTEN: *here}}
  - {name: two, type: APPLICATION, spec: *spec}
  - {name: three, type: APPLICATION, spec: {<<: *spec, runCommand: other}}
  - {name: four, type: APPLICATION, spec: {workingDirectory: *here, runCommand: "true"}}
  - {name: five, type: CONTAINER, spec: {image: x, container: {binds: [{source: *here, path: /etc}]}}}
"""


def test_aliases_mean_the_same_directory(staging: Shell) -> None:
    Path("pipeline.yaml").write_text(ALIASES)
    applied = pipeline(staging, "apply", "-f", "pipeline.yaml")
    assert applied.code == 0, applied.err
    specs = {each["name"]: each["spec"] for each in staging.done("service", "list", "--json").json["services"]}
    folders = {each["workingDirectory"] for name, each in specs.items() if name != "five"}
    assert folders == {str(staging.home / "one")}
    assert specs["five"]["container"]["binds"] == [
        {"source": str(staging.home / "one"), "path": "/etc", "readOnly": False}
    ]
    assert specs["two"]["env"] == [{"name": "WRITTEN", "value": "./one"}]
    assert (specs["three"]["runCommand"], specs["two"]["runCommand"]) == ("other", "true")


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 50_000, "{a: " * 50_000, "- " * 50_000, "[" * 50_000 + "]" * 50_000, '{"stages":' * 50_000]
)
def test_a_document_that_is_nested_deeply_is_refused(staging: Shell, text: str) -> None:
    Path("pipeline.yaml").write_text(text)
    for words in ("apply",), ("diff",), ("apply", "--to", "staging"):
        answer = pipeline(staging, *words, "-f", "pipeline.yaml")
        assert (answer.code, answer.out) == (1, "")
        assert "Line 1: the document is nested more than 20 levels deep." in answer.err
        assert "Traceback" not in answer.err


def test_what_was_exported_changes_nothing(applied: Shell) -> None:
    version = applied.done("environment", "stage", "list", "--json").json["version"]
    applied.done("pipeline", "export", "-o", "again.yaml")
    assert applied.done("pipeline", "diff", "-f", "again.yaml", "--exit-code").out == "<no difference>\n"
    assert applied.done("pipeline", "apply", "-f", "again.yaml", "--json").json["version"] == version
    as_json = applied.done("pipeline", "export", "--json").json
    assert as_json == yaml.safe_load(applied.done("pipeline", "export").out)
    Path("again.json").write_text(json.dumps(as_json))
    assert applied.done("pipeline", "apply", "-f", "again.json", "--json").json["version"] == version


def test_a_document_tells_what_it_would_change(applied: Shell) -> None:
    Path("pipeline.yaml").write_text(DOCUMENT.replace("name: first", "name: zeroth"))
    before = applied.done("environment", "stage", "list").out
    answer = pipeline(applied, "diff", "-f", "pipeline.yaml", "--exit-code")
    assert answer.code == 1
    assert any(line.startswith("+ ") and "zeroth" in line for line in answer.lines)
    trial = pipeline(applied, "apply", "-f", "pipeline.yaml", "--dry-run")
    assert (trial.code, trial.out) == (0, answer.out)
    assert applied.done("environment", "stage", "list").out == before


def test_a_document_that_can_not_be_meant_is_refused_by_its_line(applied: Shell) -> None:
    Path("pipeline.yaml").write_text(DOCUMENT.replace("concurrency: 2", "concurency: 2"))
    answer = pipeline(applied, "apply", "-f", "pipeline.yaml")
    assert answer.code == 1
    assert "Line 7" in answer.err
    Path("pipeline.yaml").write_text("stages: [")
    assert pipeline(applied, "apply", "-f", "pipeline.yaml").code == 1
    assert pipeline(applied, "apply", "-f", "missing.yaml").code == 2


def test_a_document_is_applied_to_several_environments_at_once(applied: Shell, project: str) -> None:
    for name in ("qa", "production"):
        applied.done("environment", "create", "-n", name)
    answer = applied.done("pipeline", "apply", "-f", "pipeline.yaml", "--to", "qa", "--to", "production", "--json")
    assert [each["environment"]["name"] for each in answer.json["pipelines"]] == ["qa", "production"]
    listing = applied.done("environment", "stage", "list").out
    assert listing == applied.done("environment", "stage", "list", "--environment", "qa").out


def test_an_environment_is_copied(applied: Shell) -> None:
    assert applied.done("pipeline", "clone", "-n", "copy").out == "Environment copy created successfully\n"
    listing = applied.done("environment", "stage", "list").out
    assert listing == applied.done("environment", "stage", "list", "--environment", "copy").out


def test_a_pipeline_is_exported_as_it_was(applied: Shell) -> None:
    first = yaml.safe_load(applied.done("pipeline", "export", "--at-version", "5").out)
    assert first["stages"][0]["name"] == "DATABASE DEFAULT"
    assert "stage_" in applied.done("pipeline", "export", "--ids").out
    assert pipeline(applied, "export", "--at-version", "999").code == 1


def test_an_export_is_fit_for_a_repository(staging: Shell) -> None:
    """Directories in the repository are relative, defaults are left out."""
    for name, directory in (("a", "./app"), ("b", "../else"), ("c", "."), ("d", "ä b: #"), ("e", "/srv/away")):
        staging.done(
            "service", "add", "-n", name, "-t", "database", "--directory", directory, "--run", "x", "--port", "0"
        )
    staging.done("service", "edit", "-n", "a", "--health-http", "/", "--health-interval", "2")
    staging.done("service", "edit", "-n", "b", "--health-tcp", "--retries", "0", "--build-timeout", "1800")

    def specs(*words: str) -> dict[str, dict[str, object]]:
        document = yaml.safe_load(staging.done("pipeline", "export", *words).out)
        return {each["name"]: each["spec"] for stage in document["stages"] for each in stage.get("services", ())}

    found = specs()
    assert {name: spec["workingDirectory"] for name, spec in found.items()} == {
        "a": "./app",
        "b": str(staging.home.parent / "else"),
        "c": ".",
        "d": "./ä b: #",
        "e": "/srv/away",
    }
    assert "      workingDirectory: ./app\n" in staging.done("pipeline", "export").out
    assert specs("--json") == found
    assert set(found["a"]) == {"workingDirectory", "runCommand", "ports", "healthCheck"}
    assert (found["a"]["healthCheck"], found["b"]["healthCheck"]) == ({"http": {}, "intervalSeconds": 2.0}, {"tcp": {}})

    Path(".git").mkdir()
    Path("deploy").mkdir()
    staging.done("pipeline", "export", "-o", "deploy/pipeline.yaml")
    text = Path("deploy/pipeline.yaml").read_text()
    assert "      workingDirectory: ../app\n" in text
    assert "      workingDirectory: ..\n" in text
    assert staging.done("pipeline", "diff", "-f", "deploy/pipeline.yaml").out == "<no difference>\n"
    staging.done("pipeline", "export", "--json", "-o", "pipeline.json")
    assert staging.done("pipeline", "diff", "-f", "pipeline.json").out == "<no difference>\n"


def test_a_directory_is_kept_without_steps_up(staging: Shell) -> None:
    Path("spec.yaml").write_text("workingDirectory: ../x/./y\nrunCommand: a\n")
    staging.done("service", "add", "-n", "a", "-t", "job", "-f", "spec.yaml")
    staging.done("service", "add", "-n", "b", "-t", "job", "--directory", "../x/z/../y", "--run", "a")
    for name in "ab":
        assert staging.done("service", "show", "-n", name).json["workingDirectory"] == str(
            staging.home.parent / "x" / "y"
        )
