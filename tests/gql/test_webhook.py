"""Webhooks are made, changed and deleted, and their addresses and secrets come out nowhere."""

from domain.role import Role
from tests.gql.environment import Environment
from tests.gql.stageline import Data
from tests.gql.test_rules import HERE, PROJECT, token

SECRET = "whsec_" + "A" * 32
URL = "https://hooks.example/T0/path-that-nobody-sees"


def name(environment: Environment) -> str:
    return f"chat {environment.number}"


def listed(environment: Environment) -> list[Data]:
    nodes = [edge["node"] for edge in environment.stageline.query("webhooks")["edges"]]
    return [each for each in nodes if each["environmentId"] == environment.id]


def create(environment: Environment, **changed: object) -> Data:
    arguments: Data = {
        "project": environment.project,
        "environment": environment.id,
        "name": name(environment),
        "url": URL,
        "secret": SECRET,
        "events": ["DEPLOYMENT_FAILED", "SERVICE_MOVED"],
    }
    made: Data = environment.stageline.do("createWebhook", **(arguments | changed))
    return made


def test_a_webhook_shows_its_origin_and_neither_path_nor_secret(environment: Environment) -> None:
    made = create(environment)
    assert (made["name"], made["origin"], made["isParked"]) == (name(environment), "https://hooks.example", False)
    assert (made["environmentId"], made["events"]) == (environment.id, ["DEPLOYMENT_FAILED", "SERVICE_MOVED"])
    assert [each["id"] for each in listed(environment)] == [made["id"]]
    export = environment.stageline.send(
        "GET", "/audit/export", headers={"authorization": f"Bearer {environment.stageline.token}"}
    ).text
    assert "webhook.WebhookCreated" in export
    assert "path-that-nobody-sees" not in export
    assert SECRET not in export


def test_a_webhook_is_seen_by_admins_of_its_place_only(environment: Environment) -> None:
    made, asked = create(environment), "query ($id: ID!) { node(id: $id) { id } webhooks(first: 500) { nodes { id } } }"
    for place, role in ((HERE, Role.EDITOR), (PROJECT, Role.ADMIN), (HERE, Role.ADMIN)):
        answer = environment.stageline.ask_as(token(environment, place, role), asked, id=made["id"])
        is_seen = role is Role.ADMIN
        assert ((answer.get("data") or {}).get("node") is not None) is is_seen
        if is_seen:
            assert answer["data"]["webhooks"] == {"nodes": [{"id": made["id"]}]}


def test_a_webhook_is_changed_and_deleted(environment: Environment) -> None:
    made = create(environment)
    edited = environment.stageline.do(
        "editWebhook", webhook=made["id"], name="talk", url="http://other.example:8080/x", template="SLACK"
    )
    assert (edited["name"], edited["origin"], edited["template"]) == ("talk", "http://other.example:8080", "SLACK")
    assert edited["events"] == made["events"]
    gone = environment.stageline.do("deleteWebhook", webhook=made["id"])
    assert (gone["__typename"], gone["name"]) == ("WebhookSnapshot", "talk")
    assert listed(environment) == []


def test_a_dry_run_creates_nothing_and_a_repeat_creates_one(environment: Environment) -> None:
    assert create(environment, dryRun=True)["__typename"] == "WebhookSnapshot"
    assert listed(environment) == []
    request = {"name": f"Cafe\u0301 {environment.number}", "idempotencyKey": f"hook {environment.id}"}
    first = create(environment, **request)
    assert create(environment, **request)["id"] == first["id"]


def test_an_event_that_a_webhook_may_not_have_is_not_redelivered(environment: Environment) -> None:
    """Others have no message, so the webhook would try it for ever."""
    made, own, other = create(environment), environment.events()[0]["id"], Environment(environment.stageline)
    of_project = environment.stageline.everything("projectChanges", project=environment.project)[0]["id"]
    not_its_own = "event_" + "0" * 32 + "_" + own.rpartition("_")[2]
    theirs = [other.events()[0]["id"], of_project, not_its_own]
    for event in "event_1", "event_" + "0" * 32 + "_999999", "event_" + "0" * 32 + "_0", environment.id, *theirs:
        refusal = environment.stageline.refusal("redeliverEvent", webhook=made["id"], event=event)
        assert refusal == "INVALID_ARGUMENT"
    assert environment.stageline.mutate("redeliverEvent", webhook=made["id"], event=own)["id"] == made["id"]
