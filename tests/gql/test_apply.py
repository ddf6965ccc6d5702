"""Pipelines said as a whole: restored, and applied from documents."""

import json
from threading import BoundedSemaphore
from typing import Any

import httpx
import pytest
import yaml

from gql.document import pipeline as documents
from tests.gql.environment import APPLICATION, DATABASE, JOB, POLICY, STAGES, Environment, names, services, types
from tests.gql.stageline import Data

SPEC: Data = {
    "workingDirectory": "/srv/api",
    "buildCommands": ["make", "make test\nmake more"],
    "runCommand": "exec ./api",
    "env": [{"name": "MODE", "value": "é: 'x'\n"}, {"name": "A", "value": "yes"}, {"name": "N", "value": "1e5"}],
    "ports": [80, 0],
    "healthCheck": {"http": {"path": "/health", "portIndex": 1}, "startPeriodSeconds": 3.5},
    "buildTimeoutSeconds": 60.0,
    "retries": 2,
}
DOCUMENT = """
stages:
  - name: Stores            # comments may stand anywhere
    defaultForType: DATABASE
    concurrency: 1
    services:
      - {name: Redis, type: DATABASE, spec: {image: "redis:7", ports: [6379], healthCheck: {tcp: {}}}}
  - name: Everything else
    description: In no order
    services:
      - name: api
        type: APPLICATION
        isSkipped: true
        spec:
          runCommand: ./api
          env: {PORT: 80, DEBUG: "yes"}
"""

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


def export(environment: Environment, **options: object) -> str:
    document: str = environment.stageline.query("exportPipeline", environment=environment.id, **options)
    return document


@pytest.fixture
def full(environment: Environment) -> Environment:
    environment.do("addService", name="api", type="APPLICATION", spec=SPEC)
    environment.do(
        "addService",
        name="db",
        type="DATABASE",
        spec={"image": "postgres:17", "ports": [5432], "healthCheck": {"tcp": {}}},
    )
    environment.do("addService", name="true", type="JOB", spec={"runCommand": "true", "retries": 1})
    environment.do("skipService", service="db")
    environment.do("editStage", stage=JOB, name="third: stage", description="- a: b", policy={"concurrency": 2})
    return environment


# Restoring


def test_a_restored_pipeline_is_what_it_was_in_one_append(full: Environment) -> None:
    then = full.pipeline
    full.do("deleteStage", stage="third: stage", servicesTo=DATABASE)
    full.do("removeService", service="api")
    full.do("moveStage", stage=APPLICATION, to={"position": 1})
    full.do("editEnvironment", name="Live", concurrency=2)
    before = full.version
    restored = full.do("restorePipeline", version=then["version"], reason="as on Tuesday")
    assert restored["stages"] == then["stages"]
    assert (restored["environment"]["name"], restored["environment"]["concurrency"]) == ("Live", 8)
    written = full.events()[before:]
    assert len({event["recordedAt"] for event in written}) == 1
    assert {event["reason"] for event in written} == {f"restored to version {then['version']}: as on Tuesday"}
    assert types(written).count("STAGE_CREATED") == types(written).count("SERVICE_ADDED") == 1


def test_a_version_without_stages_is_no_pipeline_to_go_back_to(environment: Environment) -> None:
    assert environment.refusal("restorePipeline", version=1) == "LAST_STAGE"
    assert environment.refusal("restorePipeline", version=0) == "VERSION_NOT_FOUND"


# Documents


@pytest.mark.parametrize("options", [{}, {"format": "JSON"}, {"ids": True}, {"format": "JSON", "ids": True}])
def test_what_export_printed_changes_nothing(full: Environment, options: Data) -> None:
    before = full.pipeline
    assert full.do("applyPipeline", document=export(full, **options)) == before | {"__typename": "Pipeline"}


def test_an_exported_version_leads_back_to_it(full: Environment) -> None:
    then = full.pipeline
    full.do("removeService", service="db")
    full.do("moveService", service="api", stage=DATABASE)
    again = full.do("applyPipeline", document=export(full, version=then["version"]))
    assert [names(stage["services"]) for stage in again["stages"]] == [["db"], ["true"], [], ["api"]]
    assert again["stages"][3] == then["stages"][3]


def test_a_document_leaves_defaults_out(environment: Environment) -> None:
    environment.do("addService", name="api", type="JOB")
    environment.do("editStage", stage=DATABASE, description="")
    assert yaml.safe_load(export(environment))["stages"][:2] == [
        {"name": DATABASE, "defaultForType": "DATABASE"},
        {
            "name": JOB,
            "description": "Rename me to avoid default/legacy ordering",
            "defaultForType": "JOB",
            "services": [{"name": "api", "type": "JOB"}],
        },
    ]


def test_a_pipeline_becomes_what_a_document_says(environment: Environment) -> None:
    environment.add("api", "APPLICATION")
    before = services(environment.pipeline)[0]
    applied = environment.do("applyPipeline", document=DOCUMENT)
    stores, rest = applied["stages"]
    assert (stores["name"], stores["defaultForType"], stores["policy"]) == (
        "Stores",
        "DATABASE",
        POLICY | {"concurrency": 1},
    )
    assert rest["description"] == "In no order"
    (redis,), (api,) = stores["services"], rest["services"]
    assert redis["spec"]["healthCheck"]["tcp"] == {"portIndex": 0}
    assert (api["id"], api["isSkipped"]) == (before["id"], True)
    assert api["spec"]["env"] == [{"name": "PORT", "value": "80"}, {"name": "DEBUG", "value": "yes"}]
    position = environment.stageline.position
    environment.do("applyPipeline", document=DOCUMENT)
    assert environment.stageline.position == position


def test_an_id_says_which_is_meant_when_the_name_is_another(environment: Environment) -> None:
    api = environment.add("api")
    document: Any = json.loads(export(environment, format="JSON", ids=True))
    document["stages"][1]["name"] = "Jobs"
    document["stages"][1]["services"][0]["name"] = "backend"
    environment.do("applyPipeline", document=json.dumps(document, indent="\t"))
    assert types(environment.events()[-2:]) == ["STAGE_RENAMED", "SERVICE_RENAMED"]
    assert services(environment.pipeline)[0]["id"] == api
    document["stages"][1]["id"] = "stage_" + "0" * 32
    assert environment.refusal("applyPipeline", document=json.dumps(document)) == "STAGE_NOT_FOUND"
    del document["stages"][1]["id"]
    document["stages"][1]["services"][0]["id"] = "api"
    assert environment.refusal("applyPipeline", document=json.dumps(document)) == "SERVICE_NOT_FOUND"


def test_a_service_of_another_type_is_another_service(environment: Environment) -> None:
    api = environment.add("api", "JOB")
    document = export(environment).replace("type: JOB", "type: APPLICATION")
    applied = environment.do("applyPipeline", document=document)
    (other,) = services(applied)
    assert (other["name"], other["type"]) == ("api", "APPLICATION")
    assert other["id"] != api


def test_what_a_document_would_change_is_told(environment: Environment) -> None:
    ask = environment.stageline.query
    document = export(environment).replace(JOB, "Jobs")
    told = ask("documentDiff", environment=environment.id, document=document)
    assert [each["change"]["message"] for each in told["differences"]] == [
        "Jobs created at position 2",
        "JOB DEFAULT deleted",
    ]
    assert [each["events"]["edges"] for each in told["differences"]] == [[], []]
    assert (told["from"]["version"], told["to"]["version"]) == (environment.version, environment.version + 2)
    assert names(told["to"]["stages"])[1] == "Jobs"
    assert ask("documentDiff", environment=environment.id, document=export(environment))["differences"] == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "Line 1: expected `object`, got `null`."),
        ("stages: []", "Line 1: expected `array` of length >= 1."),
        ("stages:\n  - name: A\n  - nmae: B\n", "Line 3: object contains unknown field `nmae`."),
        ("stages:\n  - name: A\n    services:\n      - name: x\n", "Line 4: object missing required field `type`."),
        (
            "stages:\n  - name: A\n    onFailure: stop\n",
            "Line 3: invalid enum value 'stop': onFailure is one of STOP, CONTINUE, ROLL_BACK.",
        ),
        (
            "stages:\n  - name: A\npolicy:\n  onFailure: UNDO\n",
            "Line 4: invalid enum value 'UNDO': onFailure is one of STOP, CONTINUE, ROLL_BACK.",
        ),
        (
            "stages:\n  - name: A\n    defaultForType: Job\n",
            "Line 3: invalid enum value 'Job': defaultForType is one of DATABASE, JOB, CONTAINER, APPLICATION.",
        ),
        (
            "stages:\n  - name: A\n    services:\n      - name: x\n        type: CRON\n",
            "Line 5: invalid enum value 'CRON': type is one of DATABASE, JOB, CONTAINER, APPLICATION.",
        ),
        ("stages:\n  - name: A\n    name: B\n", "Line 3: the field 'name' occurs twice."),
        (
            "stages:\n  - name: A\n  - name: B\n  - name: ' a'\n",
            "Line 4: the stage 'a' occurs twice, first in line 2.",
        ),
        (
            "stages:\n- name: A\n  services:\n  - {name: x, type: JOB}\n  - type: DATABASE\n    name: X",
            "Line 6: the service 'X' occurs twice, first in line 4.",
        ),
        ("stages:\n  - name: A\n    concurrency: many\n", "Line 3: expected `int | null`, got `str`."),
        (
            "stages:\n- name: A\n  services:\n  - name: x\n    type: JOB\n    spec:\n      retries: 99\n",
            "Line 7: invalid service specification: retries: 99 is not between 0 and 10.",
        ),
        ("stages:\n  - name: A\n    services: [\n", "Line 4: did not find expected node content."),
        ("stages:\n  - name: ''\n", "Line 2: invalid name '': it is empty."),
        ("a: &a [b]\nstages: *c\n", "Line 2: the alias 'c' has no anchor before it."),
        ('{"stages": [{"name": "A"},\n\t{"name": "A"}]}', "Line 2: the stage 'A' occurs twice, first in line 1."),
        ("- " * 2000, "Line 1: the document is nested more than 20 levels deep."),
        (BOMB, "Line 6: the document has more than 200,000 values."),
        ("x" * 1_000_001, "Line 1: the document has 1,000,001 characters; at most 1,000,000 are allowed."),
        (
            'stages:\n- name: A\n- name: B\n  description: "\\0"\n',
            "Line 4: invalid description: control characters are not allowed.",
        ),
        ("stages:\n- name: A\n  concurrency: 101\n", "Line 3: invalid concurrency 101: it must be between 1 and 100."),
    ],
)
def test_what_is_wrong_with_a_document_is_told_with_its_line(
    environment: Environment, document: str, message: str
) -> None:
    refused = environment.stageline.mutate("applyPipeline", environment=environment.id, document=document)
    assert refused["code"] == "INVALID_DOCUMENT"
    assert refused["message"][: len(message)] == message


# Several environments


def test_one_document_is_applied_to_several_environments_in_one_append(full: Environment) -> None:
    stageline = full.stageline
    others = [
        stageline.do("createEnvironment", project=full.project, name=name)["environment"]["id"]
        for name in ("Staging", "Testing")
    ]
    answer = stageline.do("applyPipelineToAll", environments=[full.id, *others], document=export(full))
    told = [[names(stage["services"]) for stage in each["stages"]] for each in answer["pipelines"]]
    assert told == [[["db"], ["true"], [], ["api"]]] * 3
    first, second = (stageline.everything("pipelineEvents", environment=each)[-1] for each in others)
    assert first["recordedAt"] == second["recordedAt"]
    position = stageline.position
    broken = [*others, "environment_" + "0" * 32]
    assert stageline.refusal("applyPipelineToAll", environments=broken, document=DOCUMENT) == "ENVIRONMENT_NOT_FOUND"
    assert stageline.refusal("applyPipelineToAll", environments=[], document=DOCUMENT) == "INVALID_ARGUMENT"
    assert stageline.position == position


def test_a_clone_is_the_same_under_ids_of_its_own(full: Environment) -> None:
    full.do("editEnvironment", concurrency=3)
    clone = full.do("cloneEnvironment", name="Clone")
    assert (clone["environment"]["name"], clone["environment"]["concurrency"]) == ("Clone", 3)
    assert clone["environment"]["project"]["id"] == full.project
    copies = yaml.safe_load(full.stageline.query("exportPipeline", environment=clone["environment"]["id"]))
    assert copies == yaml.safe_load(export(full))
    ids = {thing["id"] for each in (full.pipeline, clone) for thing in (*each["stages"], *services(each))}
    assert len(ids) == 2 * (4 + 3)
    assert full.refusal("cloneEnvironment", name="clone") == "NAME_TAKEN"
    elsewhere = full.stageline.do("createProject", name=f"{full.project_name} elsewhere")["name"]
    assert full.do("cloneEnvironment", name="clone", project=elsewhere)["stages"][0]["name"] == STAGES[0]


def test_what_is_not_there_has_no_document(environment: Environment) -> None:
    ask = environment.stageline.query
    assert ask("exportPipeline", environment="nowhere") is None
    assert ask("exportPipeline", environment=environment.id, version=99) is None
    error = environment.stageline.error("documentDiff", environment="nowhere", document=DOCUMENT)
    assert error["code"] == "ENVIRONMENT_NOT_FOUND"


def test_the_schema_of_documents_is_served_to_editors(environment: Environment) -> None:
    answer: httpx.Response = environment.stageline.send("GET", "/schemas/pipeline.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json()["$defs"]["StageDocument"]["additionalProperties"] is False


def test_so_many_documents_wait_for_their_turn(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    stageline = environment.stageline
    field = "applyPipeline(environment: $id, document: $document, dryRun: true) { __typename }"
    asked = f"mutation ($id: ID!, $document: String!) {{ {field} }}"
    request: Data = {
        "json": {"query": asked, "variables": {"id": environment.id, "document": DOCUMENT}},
        "headers": {"authorization": f"Bearer {stageline.token}"},
    }
    with monkeypatch.context() as full:
        full.setattr(documents, "_places", BoundedSemaphore(1))
        documents._places.acquire()
        answer = stageline.send(**request)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "at most 50 may wait" in answer.json()["errors"][0]["message"]
    assert stageline.send(**request).status_code == 200


def test_a_document_may_have_the_policy_of_the_environment(environment: Environment) -> None:
    policy = {
        "onFailure": "CONTINUE",
        "buildBarrier": True,
        "deploymentTimeoutSeconds": 600.0,
        "onRequest": "WAIT",
        "freezes": [{"cron": "0 18 * * FRI", "durationSeconds": 3600.0, "timeZone": "Europe/Rome", "action": "HOLD"}],
    }
    environment.add("api", "APPLICATION")
    bare = export(environment)
    assert "policy" not in bare
    with_policy = bare + "policy:\n  onFailure: CONTINUE\n  buildBarrier: true\n  deploymentTimeoutSeconds: 600\n"
    freeze = "{cron: 0 18 * * FRI, durationSeconds: 3600, timeZone: Europe/Rome, action: HOLD}"
    with_policy += f"  onRequest: WAIT\n  freezes:\n    - {freeze}\n"
    applied = environment.do("applyPipeline", document=with_policy)
    assert applied["environment"]["policy"] == policy
    assert [event["pipelineEventType"] for event in environment.events()][-1] == "ENVIRONMENT_POLICY_CHANGED"
    assert yaml.safe_load(export(environment))["policy"] == policy
    assert environment.do("applyPipeline", document=bare)["environment"]["policy"] == policy, "left out is unchanged"
    reset = environment.do("applyPipeline", document=bare + "policy: {}\n")
    assert reset["environment"]["policy"] == {
        "onFailure": "STOP",
        "buildBarrier": False,
        "deploymentTimeoutSeconds": None,
        "onRequest": "MERGE",
        "freezes": [],
    }
    environment.refusal("applyPipeline", document=bare + "policy: {onFailure: WAIT}\n")
