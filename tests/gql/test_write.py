"""What every mutation has in common: dry runs, expected versions, reasons, and keys that make it safe to ask twice."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from gql.schema import schema
from tests.gql.environment import APPLICATION, DATABASE, JOB, Environment, deployment_snapshot, snapshot
from tests.gql.stageline import Data, Stageline

Asked = Callable[[Environment], Data]


def _skipped(environment: Environment) -> str:
    service = environment.add("api")
    environment.do("skipService", service=service)
    return service


def _known(environment: Environment) -> str:
    actor: str = environment.stageline.do("setActorProfile", actor=f"actor {environment.number}", name="Ann")["id"]
    return actor


def _hash(environment: Environment) -> str:
    return hashlib.sha256(f"token {environment.number}".encode()).hexdigest()


def _good(environment: Environment) -> str:
    token: str = environment.stageline.do("issueToken", name="robot", hash=_hash(environment))["id"]
    return token


def _holder(environment: Environment) -> str:
    actor = f"actor {environment.number}"
    environment.stageline.do("grantRole", actor=actor, role="VIEWER", project=environment.project)
    return actor


def _waiting(environment: Environment) -> str:
    environment.block()
    deployment: str = environment.do("deploy")["id"]
    return deployment


def _cancelled(environment: Environment) -> str:
    deployment: str = environment.block()["id"]
    environment.stageline.do("cancelDeployment", deployment=deployment)
    return deployment


def _held(environment: Environment) -> str:
    deployment = _waiting(environment)
    environment.stageline.do("holdDeployment", deployment=deployment)
    return deployment


def _approved(environment: Environment) -> str:
    """A deployment whose last stage the same actor has approved."""
    deployment: str = environment.ask(count=2)["id"]
    environment.stageline.do("approveStage", deployment=deployment, stage=APPLICATION)
    return deployment


def _cancelled_while_another_runs(environment: Environment) -> str:
    waiting = _waiting(environment)
    environment.stageline.do("cancelDeployment", deployment=waiting)
    return waiting


def _added_to(environment: Environment) -> Data:
    environment.add("api")
    return {"environment": environment.id}


def _variables(environment: Environment) -> Data:
    """A variable that is set in the environment."""
    variables = [{"name": "COLOUR", "value": "red"}]
    environment.do("setEnvironmentVariables", variables=variables)
    return {"environment": environment.id, "variables": variables}


def _shared_variables(environment: Environment) -> Data:
    """A variable that is set in the project."""
    given = {"project": environment.project, "variables": [{"name": "COLOUR", "value": "red"}]}
    environment.stageline.do("setProjectVariables", **given)
    return given


def _created(environment: Environment) -> str:
    environment.do("createStage", name="Jobs")
    return "Jobs"


def _secret(environment: Environment) -> Data:
    """A secret that is set in the environment."""
    environment.do("setEnvironmentSecret", name="KEY", value="value of the key")
    return {"environment": environment.id}


def _shared_secret(environment: Environment) -> Data:
    """A secret that is set in the project."""
    environment.stageline.do("setProjectSecret", project=environment.project, name="KEY", value="value of the key")
    return {"project": environment.project}


def _running(environment: Environment) -> Data:
    """A service that runs, while a deployment blocks its environment."""
    environment.add("api", "APPLICATION", runCommand="exec sleep 60")
    assert environment.end(environment.do("deploy"))["status"] == "SUCCEEDED"
    environment.block()
    return {"environment": environment.id}


def _stopped(environment: Environment) -> Data:
    """A service that was stopped, while a deployment blocks its environment."""
    environment.add("api", "APPLICATION", runCommand="exec sleep 60")
    for mutation in ("deploy", "stopServices"):
        assert environment.end(environment.do(mutation))["status"] == "SUCCEEDED"
    environment.block()
    return {"environment": environment.id}


def _last_in_queue(environment: Environment) -> str:
    """The second of two deployments that wait."""
    environment.do("editEnvironment", policy={"onRequest": "WAIT"})
    environment.block()
    environment.do("deploy")
    deployment: str = environment.do("deploy")["id"]
    return deployment


def _empty(environment: Environment) -> str:
    name: str = environment.stageline.do("createProject", name=f"Empty {environment.number}")["name"]
    return name


def _document(environment: Environment, **arguments: object) -> str:
    """The pipeline as it is now."""
    exported: str = environment.stageline.query("exportPipeline", environment=environment.id, **arguments)
    return exported


# For every mutation, arguments with which it changes something.
def webhook(environment: Environment) -> Data:
    """The arguments of a webhook, each with a name of its own."""
    return {
        "project": environment.project,
        "environment": environment.id,
        "name": f"chat {environment.number}",
        "url": "https://hooks.example/path",
        "secret": "whsec_" + "A" * 32,
        "events": ["DEPLOYMENT_FAILED"],
    }


def _webhook_of(environment: Environment) -> str:
    made: str = environment.stageline.do("createWebhook", **webhook(environment))["id"]
    return made


CHANGES: dict[str, Asked] = {
    "setActorProfile": lambda e: {"actor": f"actor {e.number}", "name": "Ann"},
    "forgetActor": lambda e: {"actor": _known(e)},
    "issueToken": lambda e: {"name": "robot", "hash": _hash(e), "actor": "robot", "expiresAt": "2100-01-01T00:00:00Z"},
    "revokeToken": lambda e: {"token": _good(e)},
    "grantRole": lambda e: {"actor": f"actor {e.number}", "role": "EDITOR", "environment": e.id},
    "revokeRole": lambda e: {"actor": _holder(e), "project": e.project},
    "createWebhook": lambda e: webhook(e),
    "editWebhook": lambda e: {"webhook": _webhook_of(e), "name": f"talk {e.number}"},
    "deleteWebhook": lambda e: {"webhook": _webhook_of(e)},
    "parkWebhook": lambda e: {"webhook": _webhook_of(e)},
    "resumeWebhook": lambda e: {"webhook": e.stageline.do("parkWebhook", webhook=_webhook_of(e))["id"]},
    "redeliverEvent": lambda e: {"webhook": _webhook_of(e), "event": e.events()[0]["id"]},
    "createProject": lambda e: {"name": f"{e.project_name} again"},
    "renameProject": lambda e: {"project": e.project, "name": f"{e.project_name} renamed"},
    "deleteProject": lambda e: {"project": _empty(e)},
    "createEnvironment": lambda e: {"project": e.project, "name": "Staging", "concurrency": 3},
    "editEnvironment": lambda e: {"environment": e.id, "name": "Live", "concurrency": 2},
    "setEnvironmentVariables": lambda e: _variables(e) | {"variables": [{"name": "COLOUR", "value": "blue"}]},
    "deleteEnvironmentVariables": lambda e: {"environment": _variables(e)["environment"], "names": ["COLOUR"]},
    "setProjectVariables": lambda e: _shared_variables(e) | {"variables": [{"name": "COLOUR", "value": "blue"}]},
    "deleteProjectVariables": lambda e: {"project": _shared_variables(e)["project"], "names": ["COLOUR"]},
    "setEnvironmentSecret": lambda e: _secret(e) | {"name": "KEY", "value": "another value"},
    "deleteEnvironmentSecrets": lambda e: _secret(e) | {"names": ["KEY"]},
    "rotateEnvironmentKey": _secret,
    "setProjectSecret": lambda e: _shared_secret(e) | {"name": "KEY", "value": "another value"},
    "deleteProjectSecrets": lambda e: _shared_secret(e) | {"names": ["KEY"]},
    "rotateProjectKey": _shared_secret,
    "deleteEnvironment": lambda e: {"environment": e.id},
    "createStage": lambda e: {"environment": e.id, "name": "Checks", "to": {"before": DATABASE}},
    "editStage": lambda e: {"environment": e.id, "stage": DATABASE, "name": "First", "policy": {"concurrency": 1}},
    "moveStage": lambda e: {"environment": e.id, "stage": DATABASE, "to": {"position": 4}},
    "deleteStage": lambda e: {"environment": e.id, "stage": DATABASE},
    "setDefaultStage": lambda e: {"environment": e.id, "type": "JOB", "stage": _created(e)},
    "addService": lambda e: {"environment": e.id, "name": "web", "type": "APPLICATION", "spec": {"runCommand": "true"}},
    "editService": lambda e: {"environment": e.id, "service": e.add("api"), "name": "API"},
    "moveService": lambda e: {"environment": e.id, "service": e.add("api"), "stage": DATABASE},
    "skipService": lambda e: {"environment": e.id, "service": e.add("api")},
    "unskipService": lambda e: {"environment": e.id, "service": _skipped(e)},
    "removeService": lambda e: {"environment": e.id, "service": e.add("api")},
    "restorePipeline": lambda e: _added_to(e) | {"version": 5},
    "undoPipelineChange": _added_to,
    "applyPipeline": lambda e: _added_to(e) | {"document": _document(e, version=5)},
    "applyPipelineToAll": lambda e: {"environments": [e.id], "document": "stages: [{name: Only}]"},
    "cloneEnvironment": lambda e: _added_to(e) | {"name": "Clone"},
    "redeploy": lambda e: {"environment": e.block()["environment"]["id"]},
    "deploy": lambda e: {"environment": e.block()["environment"]["id"]},
    "restartServices": _running,
    "startServices": _stopped,
    "stopServices": _running,
    "deleteInstances": _running,
    "cancelDeployment": lambda e: {"deployment": _waiting(e)},
    "moveDeployment": lambda e: {"deployment": _last_in_queue(e), "position": 1},
    "holdDeployment": lambda e: {"deployment": _waiting(e)},
    "releaseDeployment": lambda e: {"deployment": _held(e)},
    "approveStage": lambda e: {"deployment": e.ask(count=2)["id"], "stage": APPLICATION},
    "rejectStage": lambda e: {"deployment": e.ask()["id"], "stage": APPLICATION},
    "retryDeployment": lambda e: {"deployment": _cancelled_while_another_runs(e)},
    "rollBackTo": lambda e: {"deployment": _cancelled_while_another_runs(e)},
}

# For every mutation that can come to nothing, arguments with which it does.
SILENT: dict[str, Asked] = {
    "renameProject": lambda e: {"project": e.project, "name": f" {e.project_name} "},
    "editEnvironment": lambda e: {"environment": e.id, "name": " Production ", "concurrency": 8, "target": "PROCESS"},
    "setEnvironmentVariables": _variables,
    "setProjectVariables": _shared_variables,
    "editStage": lambda e: {"environment": e.id, "stage": DATABASE, "name": DATABASE, "policy": {"concurrency": None}},
    "moveStage": lambda e: {"environment": e.id, "stage": DATABASE, "to": {"before": JOB}},
    "setDefaultStage": lambda e: {"environment": e.id, "type": "JOB", "stage": JOB},
    "editService": lambda e: {
        "environment": e.id,
        "service": e.add("api"),
        "name": "api",
        "spec": {"runCommand": "true"},
    },
    "moveService": lambda e: {"environment": e.id, "service": e.add("api"), "stage": JOB},
    "skipService": lambda e: {"environment": e.id, "service": _skipped(e)},
    "unskipService": lambda e: {"environment": e.id, "service": e.add("api")},
    "restorePipeline": lambda e: {"environment": e.id, "version": 5},
    "applyPipeline": lambda e: _added_to(e) | {"document": _document(e)},
    "applyPipelineToAll": lambda e: {"environments": [e.id, e.id], "document": _document(e, format="JSON", ids=True)},
    "cancelDeployment": lambda e: {"deployment": _cancelled(e)},
    "moveDeployment": lambda e: {"deployment": _waiting(e), "position": 1},
    "holdDeployment": lambda e: {"deployment": _held(e)},
    "releaseDeployment": lambda e: {"deployment": _waiting(e)},
    "approveStage": lambda e: {"deployment": _approved(e), "stage": APPLICATION},
}

GIVEN_ANEW = {"id", "cursor", "createdAt", "updatedAt", "requestedAt", "finishedAt", "issuedAt", "revokedAt"}
GIVEN_ANEW |= {
    "pipelineId",
    "environmentId",
    "stageId",
    "serviceId",
    "deploymentId",
    "tokenId",
    "projectId",
    "webhookId",
}

ROOT = schema._schema.mutation_type
assert ROOT is not None

AS_STOP = {"restartServices", "startServices", "deleteInstances"}
"""Mutations that are made by the same function as `stopServices`."""


def each(names: Iterable[str]) -> pytest.MarkDecorator:
    """Try each mutation; in the short form one of those that the same function makes."""
    return pytest.mark.parametrize(
        "mutation", [pytest.param(name, marks=pytest.mark.long) if name in AS_STOP else name for name in names]
    )


def sample(names: Iterable[str]) -> pytest.MarkDecorator:
    """As *each*, where all mutations share what is tried: the short form has one of eight."""
    return pytest.mark.parametrize(
        "mutation",
        [pytest.param(name, marks=[pytest.mark.long] if number % 8 else []) for number, name in enumerate(names)],
    )


changes = each(CHANGES)
silent = pytest.mark.parametrize("mutation", SILENT)


def told(answer: Any) -> Any:
    """*answer* without what is given anew each time: ids, cursors and times."""
    match answer:
        case dict():
            return {key: told(value) for key, value in answer.items() if key not in GIVEN_ANEW}
        case list():
            return [told(each) for each in answer]
        case _:
            return answer


def as_snapshot(answer: Data) -> Data:
    """*answer*, a pipeline as the snapshot that a dry run or a repeat answers instead."""
    match answer:
        case {"__typename": "Pipeline"}:
            return snapshot(answer) | {"__typename": "PipelineSnapshot"}
        case {"__typename": "Deployment"}:
            return deployment_snapshot(answer) | {"__typename": "DeploymentSnapshot"}
        case {"__typename": "Pipelines", "pipelines": pipelines}:
            return {"__typename": "PipelineSnapshots", "pipelines": [snapshot(each) for each in pipelines]}
        case {"__typename": "Webhook", "id": id_, "delivery": _, **rest}:
            return rest | {"__typename": "WebhookSnapshot", "webhookId": id_}
        case {"__typename": "Token", "id": id_, "lastUsedAt": _, **rest}:
            return rest | {"__typename": "TokenSnapshot", "tokenId": id_}
        case {"__typename": "Project" | "Actor" as kind, "id": id_, **rest}:
            return rest | {"__typename": f"{kind}Snapshot", f"{kind.lower()}Id": id_}
        case _:
            return answer


def now(answer: Data, environment: Environment) -> Data:
    """*answer*, whose live environment is as it is now."""
    if not answer["__typename"].startswith("Deployment"):
        return answer
    return answer | {"environment": environment.pipeline["environment"]}


def test_every_mutation_is_here() -> None:
    mutations = schema._schema.mutation_type
    assert mutations is not None
    assert CHANGES.keys() == mutations.fields.keys()


@changes
def test_a_dry_run_answers_with_what_would_be_and_writes_nothing(environment: Environment, mutation: str) -> None:
    stageline, arguments = environment.stageline, CHANGES[mutation](environment)
    before = stageline.position
    imagined = stageline.do(mutation, **arguments, dryRun=True, idempotencyKey=f"dry {mutation} {environment.id}")
    assert stageline.position == before
    done = stageline.do(mutation, **arguments)
    assert stageline.position > before
    assert told(imagined) == told(as_snapshot(done))


VERSIONED = [name for name in CHANGES if "expectedVersion" in ROOT.fields[name].args]


def test_only_what_has_a_version_is_expected_to_be_at_one() -> None:
    """A new thing has no version yet; a project, a token and a role have none, and several environments several."""
    without = {"issueToken", "revokeToken", "createProject", "createEnvironment", "applyPipelineToAll"}
    without |= {"grantRole", "revokeRole"}
    without |= {"createWebhook", "editWebhook", "deleteWebhook", "parkWebhook", "resumeWebhook", "redeliverEvent"}
    without |= {"renameProject", "deleteProject", "setProjectVariables", "deleteProjectVariables"}
    without |= {"setProjectSecret", "deleteProjectSecrets", "rotateProjectKey"}
    assert set(VERSIONED) == CHANGES.keys() - without


@each(VERSIONED)
def test_another_version_than_the_expected_one_refuses_the_change_and_says_which_it_is(
    environment: Environment, mutation: str
) -> None:
    stageline, arguments = environment.stageline, CHANGES[mutation](environment)
    before = stageline.position
    refused = stageline.mutate(mutation, **arguments, expectedVersion=99)
    assert refused == {
        "__typename": "Refusal",
        "code": "VERSION_MISMATCH",
        "message": f"Version 99 was expected, but the current version is {refused['currentVersion']}: "
        "read it again, then retry.",
        "currentVersion": refused["currentVersion"],
        "events": [],
    }
    assert stageline.position == before
    stageline.do(mutation, **arguments, expectedVersion=refused["currentVersion"])
    assert stageline.position > before


# Reasons of what is no part of a project are in exports of the log only.
NOT_IN_HISTORY = {
    name for name in CHANGES if name.endswith(("Profile", "Actor", "Token", "Role", "Webhook", "redeliverEvent"))
}


@each(sorted(CHANGES.keys() - NOT_IN_HISTORY))
def test_a_reason_is_kept_with_the_change(environment: Environment, mutation: str) -> None:
    stageline, arguments = environment.stageline, CHANGES[mutation](environment)
    cursor = stageline.execute("{ cursor }")["cursor"]
    changed = stageline.do(mutation, **arguments, reason="because …")
    if mutation == "moveDeployment":  # its event is one of the queue
        events = [next(stageline.follow("environmentEvents", environment=environment.id, after=cursor))]
    elif changed["__typename"] == "Deployment":
        events = stageline.everything("deploymentEvents", deployment=changed["id"])
    elif changed["__typename"] == "Project":
        events = stageline.everything("projectChanges", project=changed["id"])
    else:
        (changed,) = changed.get("pipelines", [changed])
        events = stageline.everything("pipelineEvents", environment=changed["environment"]["id"])
    last = [event for event in events if event["recordedAt"] == events[-1]["recordedAt"]]
    assert {(event["actor"]["id"], event["origin"]) for event in last} == {("admin", "API")}
    (reason,) = {event["reason"] for event in last}
    what = {"restorePipeline": "restored to version 5: ", "undoPipelineChange": "undo: "}.get(mutation, "")
    assert reason == f"{what}because …"


@changes
def test_the_same_key_gives_the_first_answer_again_whatever_has_come_since(
    environment: Environment, mutation: str
) -> None:
    stageline, key = environment.stageline, f"{mutation} {environment.id}"
    arguments = CHANGES[mutation](environment)
    first = stageline.do(mutation, **arguments, idempotencyKey=key)
    later = stageline.mutate("createStage", environment=environment.id, name="Later")
    before = stageline.position
    is_pipeline = first["__typename"].startswith("Pipeline")
    is_own = first.get("environment", {}).get("id", environment.id) == environment.id
    has_changed = is_pipeline and is_own and later["__typename"] != "Refusal"
    again = now(as_snapshot(first) if has_changed else first, environment)
    assert stageline.do(mutation, **arguments, idempotencyKey=key) == again
    dry = stageline.do(mutation, **arguments, idempotencyKey=key, dryRun=True)
    assert dry == now(as_snapshot(first), environment)
    assert stageline.position == before


@sample(CHANGES)
def test_the_same_key_for_something_else_is_refused(environment: Environment, mutation: str) -> None:
    stageline, key = environment.stageline, f"{mutation} {environment.id}"
    arguments = CHANGES[mutation](environment)
    stageline.do(mutation, **arguments, idempotencyKey=key)
    before = stageline.position
    for asked, other in [("createProject", {"name": "Other"}), ("createProject", {"name": "Another"})]:
        refused = stageline.mutate(asked, **other, idempotencyKey=key)
        assert refused["code"] == "IDEMPOTENCY_KEY_REUSED"
        assert refused["message"] == f"The idempotency key {key!r} was already used for another request."
    assert stageline.position == before


@changes
def test_every_answer_says_that_something_changed_also_before_it_does_and_when_it_is_repeated(
    environment: Environment, mutation: str
) -> None:
    stageline, key = environment.stageline, f"{mutation} {environment.id}"
    arguments = CHANGES[mutation](environment)
    assert stageline.payload(mutation, **arguments, dryRun=True)["changed"] is True
    assert stageline.payload(mutation, **arguments, idempotencyKey=key)["changed"] is True
    stageline.mutate("createStage", environment=environment.id, name="Later")
    assert stageline.payload(mutation, **arguments, idempotencyKey=key)["changed"] is True


@silent
def test_every_answer_says_that_nothing_changed_also_before_and_when_it_is_repeated(
    environment: Environment, mutation: str
) -> None:
    stageline, key = environment.stageline, f"{mutation} {environment.id}"
    arguments = SILENT[mutation](environment)
    assert stageline.payload(mutation, **arguments, dryRun=True)["changed"] is False
    assert stageline.payload(mutation, **arguments, idempotencyKey=key)["changed"] is False
    assert stageline.payload(mutation, **arguments, idempotencyKey=key)["changed"] is False
    stageline.mutate("createStage", environment=environment.id, name="Later")
    assert stageline.payload(mutation, **arguments, idempotencyKey=key)["changed"] is False


def test_a_merged_request_says_so_also_when_it_is_repeated(environment: Environment) -> None:
    environment.block()
    asked: Data = {"environment": environment.id}
    waiting = environment.stageline.payload("deploy", **asked, idempotencyKey=f"first {environment.id}")
    assert (waiting["changed"], waiting["merged"]) == (True, False)
    key = f"second {environment.id}"
    for more in ({"dryRun": True}, {"idempotencyKey": key}, {"idempotencyKey": key}):
        again = environment.stageline.payload("deploy", **asked, **more)
        assert (again["changed"], again["merged"]) == (True, True)
        number = again["snapshot" if again["deployment"] is None else "deployment"]["number"]
        assert number == waiting["deployment"]["number"]
    again = environment.stageline.payload("deploy", **asked, idempotencyKey=f"first {environment.id}")
    assert again["merged"] is False


@silent
def test_nothing_is_written_where_there_is_nothing_to_change(environment: Environment, mutation: str) -> None:
    stageline, arguments = environment.stageline, SILENT[mutation](environment)
    before, pipeline = stageline.position, environment.pipeline
    answer = stageline.do(mutation, **arguments)
    assert stageline.position == before
    if answer.pop("__typename") == "Pipeline":
        assert answer == pipeline


def test_a_key_remembers_that_there_was_nothing_to_change(environment: Environment) -> None:
    stay: Data = {"stage": DATABASE, "to": {"position": 1}, "idempotencyKey": f"stay {environment.id}"}
    first = environment.do("moveStage", **stay)
    environment.do("moveStage", stage=DATABASE, to={"position": 3})
    before = environment.stageline.position
    assert environment.do("moveStage", **stay) == as_snapshot(first)
    assert environment.stageline.position == before


def test_a_mismatch_carries_the_events_in_between(environment: Environment) -> None:
    environment.add("api")
    seen = environment.version
    assert environment.stageline.mutate("deploy", environment=environment.id, expectedVersion=seen + 1)["events"] == []
    environment.do("moveService", service="api", stage=APPLICATION)
    environment.do("editStage", stage=JOB, name="jobs", description="")
    refused = environment.stageline.mutate("deploy", environment=environment.id, expectedVersion=seen)
    assert (refused["code"], refused["currentVersion"]) == ("VERSION_MISMATCH", seen + 3)
    assert [event["message"] for event in refused["events"]] == [
        "api moved from JOB DEFAULT to APPLICATION DEFAULT",
        "JOB DEFAULT renamed to jobs",
        "jobs: description removed",
    ]
    assert [event["version"] for event in refused["events"]] == [seen + 1, seen + 2, seen + 3]


def test_a_mismatch_of_a_deployment_carries_its_events(environment: Environment) -> None:
    running = environment.block()
    asked: Data = {"deployment": running["id"], "expectedVersion": running["version"] - 2}
    refused = environment.stageline.mutate("cancelDeployment", **asked)
    assert [event["message"] for event in refused["events"]][-1] == "gate: deploy started"
    assert len(refused["events"]) == 2


def test_a_mismatch_carries_the_last_of_many_events(environment: Environment) -> None:
    where = f'environment: "{environment.id}", stage: "{JOB}"'
    fields = [f'n{number}: editStage({where}, description: "{number}") {{ __typename }}' for number in range(99)]
    environment.stageline.execute(f"mutation {{ {' '.join(fields)} }}")
    refused = environment.stageline.mutate("deploy", environment=environment.id, expectedVersion=2)
    assert [event["version"] for event in refused["events"]] == list(range(5, 105))


def test_moves_of_two_services_seen_at_one_version_both_succeed_if_they_ask_for_it(environment: Environment) -> None:
    for name in ("api", "web"):
        environment.add(name)
    seen = environment.version
    first: Data = {"service": "api", "stage": APPLICATION}
    second: Data = {"service": "web", "stage": APPLICATION}
    environment.do("moveService", **first, expectedVersion=seen)
    assert environment.refusal("moveService", **second, expectedVersion=seen) == "VERSION_MISMATCH"
    after = environment.do("moveService", **second, unchangedSince=seen)
    assert [service["name"] for service in after["stages"][3]["services"]] == ["api", "web"]


def test_a_change_of_the_same_property_is_refused_and_named(environment: Environment) -> None:
    environment.add("api")
    environment.add("web")
    seen = environment.version
    environment.do("editService", service="api", name="API")
    environment.do("moveService", service="web", stage=DATABASE)
    environment.do("moveService", service="api", stage=APPLICATION)
    asked: Data = {"environment": environment.id, "service": "api", "stage": DATABASE, "unchangedSince": seen}
    refused = environment.stageline.mutate("moveService", **asked)
    assert (refused["code"], refused["currentVersion"]) == ("CHANGED_MEANWHILE", seen + 3)
    assert refused["message"] == (
        f"The same was changed after version {seen}: API moved from JOB DEFAULT to APPLICATION DEFAULT"
        f" (version {seen + 3}). Read it again, then retry."
    )
    assert [event["version"] for event in refused["events"]] == [seen + 3]
    assert environment.stageline.mutate("moveService", **asked, dryRun=True) == refused
    assert environment.do("skipService", service="api", unchangedSince=seen)
    assert environment.refusal("removeService", service="api", unchangedSince=seen) == "CHANGED_MEANWHILE"
    assert environment.refusal("skipService", service="web", unchangedSince=99) == "VERSION_NOT_FOUND"
    already = environment.stageline.payload(
        "moveService", environment=environment.id, service="web", stage=DATABASE, unchangedSince=seen
    )
    assert already["changed"] is False


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reason": "x" * 1001}, "Invalid reason: 1,001 characters; at most 1,000 are allowed."),
        ({"idempotencyKey": ""}, "Invalid idempotencyKey: 0 characters; 1 to 200 are allowed."),
        ({"idempotencyKey": "x" * 201}, "Invalid idempotencyKey: 201 characters; 1 to 200 are allowed."),
        ({"reason": "nobody\0knows"}, "Invalid reason: control characters are not allowed."),
        ({"reason": "as before\nv99  admin  all is well"}, "Invalid reason: control characters are not allowed."),
        ({"reason": "\x1b[2Jgone"}, "Invalid reason: control characters are not allowed."),
        ({"reason": "\x9b2J"}, "Invalid reason: control characters are not allowed."),
        ({"reason": "\u202edesrever"}, "Invalid reason: control characters are not allowed."),
        ({"idempotencyKey": "\0"}, "Invalid idempotencyKey: control characters are not allowed."),
        ({"idempotencyKey": "a\nb"}, "Invalid idempotencyKey: control characters are not allowed."),
    ],
)
def test_reasons_and_keys_have_limits(environment: Environment, given: Data, message: str) -> None:
    before = environment.stageline.position
    refused = environment.stageline.mutate("deleteEnvironment", environment=environment.id, **given)
    assert (refused["code"], refused["message"]) == ("INVALID_ARGUMENT", message)
    assert environment.stageline.position == before


def test_keys_are_known_again_after_a_restart_and_to_their_own_token_only(own: Stageline) -> None:
    environment = Environment(own)
    requests: list[tuple[str, Data]] = [
        ("createProject", {"name": "Second"}),
        ("createStage", {"environment": environment.id, "name": "Checks"}),
        ("moveStage", {"environment": environment.id, "stage": APPLICATION, "to": {"position": 4}}),
        ("moveStage", {"environment": environment.id, "stage": "Checks", "to": {"after": JOB}}),
        ("deleteEnvironment", {"environment": environment.id}),
    ]
    keyed = [(asked, arguments | {"idempotencyKey": str(at)}) for at, (asked, arguments) in enumerate(requests)]
    first = [own.do(asked, **arguments) for asked, arguments in keyed]
    token, before = own.token, own.position
    own.restart(issue_token=True)
    again = [own.mutate_as(token, asked, **arguments) for asked, arguments in keyed]
    assert again == [*first[:1], *map(as_snapshot, first[1:4]), *first[4:]]
    assert own.position == before + 1  # the new token
    assert own.token != token
    assert own.mutate("createProject", name="Third", idempotencyKey="0")["name"] == "Third"
