import pytest

from tests.gql.environment import APPLICATION, DATABASE, JOB, Environment, names, services
from tests.gql.stageline import Data

WHOLE: Data = {
    "buildCommands": ["make", "make install"],
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
    "ports": [0, 8080],
    "buildTimeoutSeconds": 60.5,
    "deployTimeoutSeconds": 30.0,
    "stopGraceSeconds": 45.0,
    "stopFirst": False,
    "retries": 2,
    "backoff": {"initialSeconds": 1.0, "factor": 2.0, "maxSeconds": 30.0, "jitter": 0.0},
    "stopSignal": "INT",
    "restart": "ON_FAILURE",
    "restartBackoff": {"initialSeconds": 2.0, "factor": 4.0, "maxSeconds": 20.0, "jitter": 0.5},
    "restartLimit": 3,
    "restartWindowSeconds": 60.0,
    "allowFailure": False,
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
    "image": None,
    "buildContext": None,
    "dockerfile": None,
    "workingDirectory": "api",
    "runCommand": "./api",
    "healthCheck": {
        "intervalSeconds": 0.5,
        "timeoutSeconds": 2.0,
        "startPeriodSeconds": 20.0,
        "watchIntervalSeconds": 15.0,
        "failureThreshold": 4,
        "http": {"path": "/health", "portIndex": 1},
        "also": [
            {"http": None, "tcp": {"portIndex": 0}, "command": None},
            {"http": None, "tcp": None, "command": "./check"},
        ],
        "tcp": None,
        "command": None,
    },
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"healthCheck": WHOLE["healthCheck"] | {"http": None, "tcp": {"portIndex": 0}}},
        {"healthCheck": WHOLE["healthCheck"] | {"http": None, "command": "./check"}},
        {"healthCheck": None},
        {"workingDirectory": None, "buildCommands": [], "runCommand": None, "image": "postgres:17"},
        {
            "workingDirectory": None,
            "buildCommands": [],
            "runCommand": None,
            "buildContext": ".",
            "dockerfile": "api.Dockerfile",
        },
        {
            "runCommand": None,
            "workingDirectory": None,
            "buildCommands": [],
            "image": "registry.example/api",
            "container": {
                "entrypoint": ["/bin/sh", ""],
                "command": ["serve", ""],
                "workingDirectory": "/srv",
                "user": "1000:1000",
                "pull": "ALWAYS",
                "publish": [{"portIndex": 1, "hostPort": 80, "address": "127.0.0.1"}],
                "volumes": [{"name": "data", "path": "/data", "readOnly": True}],
                "binds": [{"source": "/etc/app", "path": "/etc/app", "readOnly": False}],
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
            },
        },
    ],
)
def test_a_specification_comes_back_as_it_was_given(environment: Environment, changed: Data) -> None:
    given = WHOLE | changed
    environment.do("addService", name="api", type="APPLICATION", spec=given)
    service = environment.stageline.query("service", environment=environment.id, service="API")
    assert service["spec"] == given


def test_a_service_is_moved_to_a_place_in_its_stage(environment: Environment) -> None:
    for name in ("one", "two", "three"):
        environment.add(name)
    moved = environment.do("moveService", service="three", stage=JOB, to={"position": 1})
    assert names(services(moved)) == ["three", "one", "two"]
    moved = environment.do("moveService", service="three", stage=JOB, to={"after": "one"})
    assert names(services(moved)) == ["one", "three", "two"]
    moved = environment.do("moveService", service="two", stage=JOB, to={"before": "one"})
    assert names(services(moved)) == ["two", "one", "three"]
    last = environment.stageline.query("pipelineHistory", environment=environment.id, first=1)["edges"][0]["node"]
    assert last["message"] == "two moved to position 1 of JOB DEFAULT"
    assert (last["change"]["positionInStage"], last["change"]["toStage"]["name"]) == (1, JOB)
    undone = environment.do("undoPipelineChange")
    assert names(services(undone)) == ["one", "three", "two"]
    exported = environment.stageline.query("exportPipeline", environment=environment.id)
    environment.do("moveService", service="one", stage=APPLICATION)
    applied = environment.do("applyPipeline", document=exported)
    assert names(services(applied)) == ["one", "three", "two"]


def test_a_service_of_a_type_lands_in_the_default_stage_that_was_set(environment: Environment) -> None:
    environment.do("createStage", name="Jobs")
    set_ = environment.do("setDefaultStage", type="JOB", stage="jobs")
    assert [stage["defaultForType"] for stage in set_["stages"]] == [
        "DATABASE",
        None,
        "CONTAINER",
        "APPLICATION",
        "JOB",
    ]
    environment.add("api")
    assert names(environment.pipeline["stages"][4]["services"]) == ["api"]
    environment.do("setDefaultStage", type="DATABASE", stage=None)
    environment.add("db", "DATABASE")
    assert names(environment.pipeline["stages"][4]["services"]) == ["api", "db"]


def test_a_service_lands_where_its_type_has_its_home_or_where_it_is_asked_to(environment: Environment) -> None:
    environment.do("editStage", stage=DATABASE, name="First")
    environment.do("addService", name="db", type="DATABASE")
    added = environment.do("addService", name="cache", type="DATABASE", stage="application default")
    assert {service["name"]: service["stage"]["name"] for service in services(added)} == {
        "db": "First",
        "cache": APPLICATION,
    }
    assert services(added)[0]["spec"]["buildTimeoutSeconds"] == 1800.0


def test_a_service_is_found_by_its_id_and_by_its_name(environment: Environment) -> None:
    id_ = environment.add("api", "APPLICATION")
    (wanted,) = services(environment.pipeline)
    for ref in (id_, "api", " API"):
        assert environment.stageline.query("service", environment=environment.id, service=ref) == wanted
    stage = wanted["stage"]["id"]
    for nothing in ("web", stage, f"service_{'0' * 32}", f"service_{stage.partition('_')[2]}", environment.id):
        assert environment.stageline.query("service", environment=environment.id, service=nothing) is None
    assert environment.stageline.query("service", environment=environment.project, service=id_) is None


def test_a_service_is_edited_and_a_new_specification_replaces_the_whole_one(environment: Environment) -> None:
    id_ = environment.add("api", "APPLICATION", workingDirectory="api", retries=3)
    (renamed,) = services(environment.do("editService", service="api", name="Backend"))
    assert (renamed["id"], renamed["name"]) == (id_, "Backend")
    assert renamed["spec"]["retries"] == 3
    (edited,) = services(environment.do("editService", service=id_, spec={"runCommand": "./other"}))
    assert (edited["spec"]["runCommand"], edited["spec"]["retries"], edited["spec"]["workingDirectory"]) == (
        "./other",
        0,
        None,
    )


def test_a_service_moves_by_names_or_ids(environment: Environment) -> None:
    id_ = environment.add("api", "APPLICATION")
    (moved,) = services(environment.do("moveService", service=" Api", stage="job default"))
    assert moved["stage"]["name"] == JOB
    first = environment.pipeline["stages"][0]
    (moved,) = services(environment.do("moveService", service=id_, stage=first["id"]))
    assert moved["stage"] == {"id": first["id"], "name": first["name"]}


def test_a_service_is_skipped_and_taken_in_again(environment: Environment) -> None:
    id_ = environment.add("api")
    (skipped,) = services(environment.do("skipService", service=id_))
    assert skipped["isSkipped"]
    (taken,) = services(environment.do("unskipService", service="API"))
    assert not taken["isSkipped"]


def test_a_removed_service_is_gone_and_its_name_is_free(environment: Environment) -> None:
    id_ = environment.add("api")
    assert services(environment.do("removeService", service="api")) == []
    assert environment.refusal("removeService", service=id_) == "SERVICE_NOT_FOUND"
    again = environment.do("addService", name="API", type="JOB")
    assert names(services(again)) == ["API"]


def test_the_id_of_something_else_is_no_service(environment: Environment) -> None:
    environment.add("api")
    stage = environment.pipeline["stages"][0]["id"]
    for wrong in (stage, environment.id, f"service_{stage.partition('_')[2]}"):
        assert environment.refusal("skipService", service=wrong) == "SERVICE_NOT_FOUND"
