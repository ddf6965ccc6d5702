"""Any object is found by its id, and an id is that of one object."""

import hashlib

from graphql import GraphQLObjectType

from gql.schema import schema
from tests.gql.environment import Environment, services
from tests.gql.stageline import Data
from tests.gql.test_environment_event import follow
from tests.gql.test_write import webhook

NODE = schema._schema.type_map["Node"]


def _objects(environment: Environment) -> dict[str, Data]:
    """An object of each type that has an id, as another field answers it."""
    stageline = environment.stageline
    environment.add("api")
    go = stageline.folder / f"go-{environment.number}"
    run = f'until [ -e "{go}" ]; do sleep 0.01; done'
    environment.add("web", "APPLICATION", runCommand=run, restart="NO")
    deployment = environment.end(environment.do("deploy"))
    pipeline = environment.pipeline
    go.touch()
    ended = next(each for each in follow(environment) if "instanceEventType" in each)
    actor = f"actor {environment.number}"
    digest = hashlib.sha256(actor.encode()).hexdigest()
    token = stageline.do("issueToken", name="robot", hash=digest, actor=actor)
    queued = next(each for each in follow(environment) if "queueEventType" in each)
    found: dict[str, Data] = {
        "Project": stageline.query("project", id=environment.project),
        "Environment": stageline.query("environment", id=environment.id),
        "Pipeline": pipeline,
        "Stage": pipeline["stages"][1],
        "Service": services(pipeline)[0],
        "Deployment": deployment,
        "DeploymentStage": deployment["stages"][1],
        "DeploymentService": services(deployment)[0],
        "PipelineEvent": environment.events()[-1],
        "DeploymentEvent": stageline.everything("deploymentEvents", deployment=deployment["id"])[-1],
        "ProjectEvent": stageline.everything("projectChanges", project=environment.project)[-1],
        "QueueEvent": {"id": queued["id"], "cursor": queued["cursor"], "message": queued["message"]},
        "InstanceEvent": {"id": ended["id"], "cursor": ended["cursor"], "message": ended["message"]},
        "Webhook": stageline.do("createWebhook", **webhook(environment)),
        "Token": next(each for each in stageline.everything("tokens") if each["id"] == token["id"]),
        "Actor": next(each for each in stageline.everything("actors") if each["id"] == actor),
    }
    return found


def test_every_object_with_an_id_is_found_by_it(environment: Environment) -> None:
    for kind, object_ in _objects(environment).items():
        found = environment.stageline.node(kind, object_["id"])
        assert found is not None, kind
        assert found["__typename"] == kind
        assert {name: found[name] for name in object_} == object_


def test_every_type_with_an_id_is_a_node_and_is_tried_here(environment: Environment) -> None:
    types = {name: each for name, each in schema._schema.type_map.items() if isinstance(each, GraphQLObjectType)}
    with_id = {name for name, each in types.items() if "id" in each.fields}
    assert with_id == {name for name, each in types.items() if NODE in each.interfaces}
    assert with_id == _objects(environment).keys()


def test_no_reference_and_no_snapshot_has_an_id() -> None:
    types = [name for name in schema._schema.type_map if name.endswith(("Ref", "Snapshot"))]
    assert len(types) >= 9
    assert [name for name in types if "id" in getattr(schema._schema.type_map[name], "fields", {})] == []


def test_the_id_of_nothing_or_of_something_else_is_null(environment: Environment) -> None:
    uuid = environment.id.partition("_")[2]
    objects = _objects(environment)
    deployment = objects["Deployment"]["id"].partition("_")[2]
    event = objects["PipelineEvent"]["id"].rpartition("_")[0]
    kinds = ("project", "environment", "pipeline", "deployment", "stage", "service", "token", "webhook")
    for nothing in (
        *(f"{kind}_{'0' * 32}" for kind in kinds),
        *(f"{kind}_{uuid}" for kind in ("project", "deployment", "event", "thing", "stage", "service", "token")),
        f"environment_{environment.project.partition('_')[2]}",
        f"stage_{objects['Service']['id'].partition('_')[2]}",
        f"deploymentstage_{deployment}",
        f"deploymentstage_{deployment}_{uuid}",
        f"deploymentservice_{deployment}_{objects['Stage']['id'].partition('_')[2]}",
        event,
        f"{event}_0",
        f"{event}_1",
        f"{event}_{2**63}",
        f"{event}_9999999999",
        f"{environment.id}_1",
        environment.id.upper(),
        f"actor nobody {uuid}",
        uuid,
        "",
    ):
        found = environment.stageline.execute("query ($id: ID!) { node(id: $id) { id } }", id=nothing)
        assert found["node"] is None, nothing


def test_the_parts_of_a_deployment_lead_to_what_is_there_now(environment: Environment) -> None:
    environment.add("api")
    environment.add("web")
    deployment = environment.end(environment.do("deploy"))
    (stage,) = (each for each in deployment["stages"] if each["services"])
    assert stage["stage"] == {"id": stage["stageId"], "name": stage["name"]}
    environment.do("editStage", stage=stage["stageId"], name="Renamed")
    environment.do("removeService", service="web")
    (now,) = (each for each in environment.deployment(deployment)["stages"] if each["services"])
    assert (now["name"], now["stage"]["name"]) == (stage["name"], "Renamed")
    api, web = now["services"]
    assert (api["service"], web["service"], web["name"]) == ({"id": api["serviceId"], "name": "api"}, None, "web")
    environment.do("deleteStage", stage="Renamed", servicesTo="DATABASE DEFAULT")
    (now,) = (each for each in environment.deployment(deployment)["stages"] if each["services"])
    assert (now["id"], now["stage"]) == (stage["id"], None)
