"""Roles of tokens and actors: what a token sees of others' projects, and how roles are granted and revoked."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from domain.role import Role
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Socket, Stageline, document
from tests.gql.test_rules import HERE, PROJECT, token

LISTS = """
query ($project: ID!) {
  projects(first: 500) { nodes { name } totalCount }
  named: projects(named: "Project 1") { nodes { name } }
  environments(first: 500) { nodes { id } totalCount }
  of: environments(project: $project) { nodes { id } totalCount }
  services(first: 500) { nodes { name environment { id } } }
  servicesOf: services(project: $project) { nodes { name } }
  history(first: 500) { nodes { environment { environmentId } } }
  project(id: $project) {
    environments(first: 500) { nodes { id } } history(first: 500) { nodes { environment { environmentId } } }
  }
}
"""
GRANTS = "query { roles(first: 500) { nodes { actor { id } roles { role environment { id } project { id } } } } }"


class World:
    """Two environments of one project and one of another, each with a service."""

    def __init__(self, stageline: Stageline) -> None:
        self.stageline = stageline
        self.here, self.elsewhere = Environment(stageline), Environment(stageline)
        self.beside: str = stageline.do("createEnvironment", project=self.here.project, name="Staging")["environment"][
            "id"
        ]
        for environment in (self.here.id, self.elsewhere.id, self.beside):
            stageline.do("addService", environment=environment, name="job", type="JOB", spec={"runCommand": "true"})

    def as_(self, text: str, asked: str, **variables: object) -> Data:
        answer = self.stageline.ask_as(text, asked, **variables)
        assert "errors" not in answer, answer["errors"]
        data: Data = answer["data"]
        return data

    def refused(self, text: str, field: str, **arguments: object) -> str:
        """The message of the refusal of a mutation for want of a role."""
        answer = self.stageline.mutate_as(text, field, **arguments)
        assert (answer["__typename"], answer.get("code")) == ("Refusal", "FORBIDDEN"), answer
        message: str = answer["message"]
        return message


@pytest.fixture(scope="module")
def world(stageline: Stageline) -> Iterator[World]:
    made = World(stageline)
    yield made
    made.here.close()
    made.elsewhere.close()


def seen(found: Any) -> set[str]:
    """The ids of the environments in the lists of an answer."""
    match found:
        case dict():
            own = {found["id"]} if str(found.get("id")).startswith("environment_") else set()
            own |= {found["environmentId"]} if "environmentId" in found else set()
            return own.union(*map(seen, found.values()))
        case list():
            return set().union(*map(seen, found))
    return set()


def test_lists_hold_only_what_a_token_may_see(world: World) -> None:
    mine, beside, other = world.here.id, world.beside, world.elsewhere.id
    for place, visible in ((HERE, {mine}), (PROJECT, {mine, beside})):
        text = token(world.here, place, Role.VIEWER)
        for _ in range(2):  # the second answer is from the cache
            found = world.as_(text, LISTS, project=world.here.project)
            assert seen(found) == visible
            assert found["projects"] == {"nodes": [{"name": world.here.project_name}], "totalCount": None}
            for each in ("environments", "of", "project"):
                assert seen(found[each]) == visible
            assert seen(found["history"]) == visible
            assert len(found["services"]["nodes"]) == len(found["servicesOf"]["nodes"]) == len(visible)
    admin = world.stageline.execute(LISTS, project=world.here.project)
    assert {mine, beside, other} <= seen(admin)
    assert admin["projects"]["totalCount"] >= 2


def test_a_stream_is_shared_only_by_those_who_see_the_same(world: World) -> None:
    asked = "subscription ($id: ID!) { project(id: $id) { environments(first: 10) { nodes { id } } } }"
    found = []
    with ExitStack() as stack:
        for text in (world.stageline.token, token(world.here, HERE, Role.VIEWER), world.stageline.token):
            opened = stack.enter_context(world.stageline.open())
            opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {text}"}})
            assert opened.receive()["type"] == "connection_ack"
            opened.subscribe("1", asked, id=world.here.project)
            found.append(seen(opened.receive()))
    assert found == [{world.here.id, world.beside}, {world.here.id}, {world.here.id, world.beside}]


def test_a_stream_of_a_project_is_silent_about_what_a_token_must_not_see(world: World) -> None:
    nodes = "nodes { id pipeline { version } }"
    asked = f"subscription ($id: ID!) {{ project(id: $id) {{ environments(first: 10) {{ {nodes} }} }} }}"
    with world.stageline.open() as opened, world.stageline.socket() as admin:
        text = token(world.here, HERE, Role.VIEWER)
        opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {text}"}})
        assert opened.receive()["type"] == "connection_ack"
        for each in opened, admin:
            each.subscribe("1", asked, id=world.here.project)
            each.receive()
        world.stageline.do("createStage", environment=world.beside, name="Unseen")
        admin.receive()
        made = world.stageline.do("createStage", environment=world.here.id, name="Seen")
        found = opened.receive()["payload"]["data"]["project"]["environments"]["nodes"]
    assert found == [{"id": world.here.id, "pipeline": {"version": made["version"]}}]


@pytest.mark.long
def test_a_list_of_what_is_seen_has_pages(world: World) -> None:
    text = token(world.here, PROJECT, Role.DEPLOYER)
    page = "nodes { id } pageInfo { endCursor hasNextPage }"
    asked = f"query ($after: String) {{ environments(first: 1, after: $after) {{ {page} }} }}"
    first = world.as_(text, asked)["environments"]
    second = world.as_(text, asked, after=first["pageInfo"]["endCursor"])["environments"]
    assert [each["nodes"][0]["id"] for each in (first, second)] == [world.here.id, world.beside]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


@pytest.mark.long
def test_an_object_that_a_token_must_not_see_does_not_exist_for_it(world: World) -> None:
    text = token(world.here, HERE, Role.EDITOR)
    asked = "query ($id: ID!) { node(id: $id) { __typename id } }"

    def objects(environment: Environment) -> list[str]:
        deployment = environment.end(environment.do("deploy"))
        pipeline = environment.pipeline
        stage = next(each for each in deployment["stages"] if each["services"])
        events = [
            environment.events()[-1],
            *world.stageline.everything("deploymentEvents", deployment=deployment["id"]),
        ]
        queued = next(world.stageline.follow("environmentEvents", environment=environment.id))
        parts = [pipeline["stages"][0], pipeline["stages"][1]["services"][0], deployment, stage, stage["services"][0]]
        return [environment.id, pipeline["id"], queued["id"], *(each["id"] for each in (*parts, *events))]

    for id_ in (*objects(world.here), world.here.project):
        assert world.as_(text, asked, id=id_)["node"]["id"] == id_
    changes = world.stageline.everything("projectChanges", project=world.here.project)
    unseen = [*objects(world.elsewhere), world.elsewhere.project, world.beside, changes[0]["id"], "admin"]
    for id_ in unseen:
        assert world.stageline.execute(asked, id=id_)["node"]["id"] == id_
        assert world.as_(text, asked, id=id_)["node"] is None, id_


def test_what_must_not_be_seen_is_refused_like_what_does_not_exist(world: World) -> None:
    text = token(world.here, HERE, Role.ADMIN)
    for project in (world.elsewhere.project_name, "no such project"):
        (error,) = world.stageline.ask_as(text, document("query", "project", "id"), id=project)["errors"]
        assert error["message"] == f"This needs the role viewer on project '{project}', and you have no role there."
    for environment in (world.elsewhere.id, "environment_" + "0" * 32):
        message = world.refused(text, "createStage", environment=environment, name="X")
        assert message == f"This needs the role editor on environment '{environment}', and you have no role there."


def test_a_place_in_an_argument_is_refused_like_one_that_does_not_exist(world: World) -> None:
    """Neither the roles of a token nor the project of a webhook tell what there is, and what it is called."""
    text, role = token(world.here, HERE, Role.ADMIN), {"role": "VIEWER"}
    for kind, id_ in (
        ("project", world.elsewhere.project_name),
        ("project", "no such project"),
        ("project", world.elsewhere.project),
        ("environment", world.elsewhere.id),
        ("environment", "environment_" + "0" * 32),
    ):
        message = world.refused(text, "issueToken", name="x", hash="5e88" * 16, roles=[role | {kind: id_}])
        assert message == f"This needs the role viewer on {kind} '{id_}', and you have no role there."
    hook = {"name": "x", "url": "https://hooks.example", "secret": "whsec_" + "A" * 32, "events": ["SERVICE_MOVED"]}
    for project in (world.elsewhere.project_name, "no such project", world.elsewhere.project):
        message = world.refused(text, "createWebhook", project=project, environment=world.here.id, **hook)
        assert message == f"This needs the role admin on environment '{world.here.id}', and you have no role there."


def test_a_refusal_says_which_role_is_missing_where(world: World) -> None:
    name = world.here.project_name
    viewer = token(world.here, PROJECT, Role.VIEWER)
    message = world.refused(viewer, "deploy", environment=world.here.id)
    assert message == f"This needs the role deployer on environment '{name}/Production', and you are viewer."
    message = world.refused(viewer, "renameProject", project=world.here.project, name="X")
    assert message == f"This needs the role editor on project '{name}', and you are viewer."
    message = world.refused(viewer, "createProject", name="X")
    assert message == "This needs the role editor for everything, and you have no role there."


@pytest.mark.long
def test_a_clone_needs_the_role_on_both_sides(world: World) -> None:
    """It copies the secrets of the source, which whoever edits the clone can read in a step."""
    stageline, text = world.stageline, token(world.elsewhere, PROJECT, Role.EDITOR)
    for source, project in ((world.here.id, world.elsewhere.project), (world.elsewhere.id, world.here.project)):
        world.refused(text, "cloneEnvironment", environment=source, project=project, name="Copy")
    answer = stageline.mutate_as(text, "cloneEnvironment", environment=world.elsewhere.id, name="Copy", dryRun=True)
    assert answer["__typename"] != "Refusal"


@pytest.mark.long
def test_a_document_for_several_environments_needs_the_role_on_each(world: World) -> None:
    text = token(world.here, HERE, Role.EDITOR)
    both = [world.here.id, world.beside]
    world.refused(text, "applyPipelineToAll", environments=both, document="stages: []", dryRun=True)


@pytest.mark.long
def test_a_token_lists_and_revokes_those_of_its_actor_only(world: World) -> None:
    stageline, asked = world.stageline, "{ tokens(first: 500) { nodes { id name actor { id } } } }"
    text = token(world.here, HERE, Role.ADMIN)
    token(world.elsewhere, HERE, Role.VIEWER)
    mine = world.as_(text, asked)["tokens"]["nodes"]
    assert {each["actor"]["id"] for each in mine} == {f"user {world.here.number}"}
    theirs = next(each for each in stageline.execute(asked)["tokens"]["nodes"] if each["actor"]["id"] == "admin")
    answer = stageline.mutate_as(text, "revokeToken", token=theirs["id"])
    assert (answer["__typename"], answer["code"]) == ("Refusal", "TOKEN_NOT_FOUND")
    assert world.as_(text, "query ($id: ID!) { node(id: $id) { id } }", id=theirs["id"])["node"] is None


def test_a_token_issues_none_with_more_roles(world: World) -> None:
    text, hash_ = token(world.here, HERE, Role.EDITOR), "5e88" * 16
    message = world.refused(text, "issueToken", name="x", hash=hash_, roles=[{"role": "VIEWER"}])
    assert message == "This needs the role viewer for everything, and you have no role there."
    more = [{"role": "ADMIN", "environment": world.here.id}]
    message = world.refused(text, "issueToken", name="x", hash=hash_, roles=more)
    assert message == (
        f"This needs the role admin on environment '{world.here.project_name}/Production', and you are editor."
    )
    less = [{"role": "DEPLOYER", "environment": world.here.id}]
    made = world.stageline.mutate_as(text, "issueToken", name="x", hash=hash_, roles=less, dryRun=True)
    assert [(each["role"], each["environmentId"]) for each in made["roles"]] == [("DEPLOYER", world.here.id)]


def test_roles_of_an_actor_hold_for_its_tokens_at_once(world: World) -> None:
    stageline, actor = world.stageline, f"user {world.here.number}"
    text = token(world.here, HERE, None)  # it follows its actor
    stage = world.here.pipeline["stages"][0]["id"]
    assert world.as_(text, "query ($id: ID!) { node(id: $id) { id } }", id=stage)["node"] is None
    message = world.refused(text, "deploy", environment=world.here.id)
    assert message == f"This needs the role deployer on environment '{world.here.id}', and you have no role there."
    made = stageline.do("grantRole", actor=actor, role="DEPLOYER", environment=world.here.id)
    assert [(each["role"], each["environmentId"]) for each in made["roles"]] == [("DEPLOYER", world.here.id)]
    world.here.end(stageline.mutate_as(text, "deploy", environment=world.here.id))
    held = [each for each in stageline.execute(GRANTS)["roles"]["nodes"] if each["actor"]["id"] == actor]
    assert held == [
        {
            "actor": {"id": actor},
            "roles": [
                {"role": "DEPLOYER", "environment": {"id": world.here.id}, "project": {"id": world.here.project}}
            ],
        }
    ]
    assert stageline.do("revokeRole", actor=actor, environment=world.here.id)["roles"] == []
    world.refused(text, "deploy", environment=world.here.id)
    again = stageline.mutate("revokeRole", actor=actor, environment=world.here.id)
    place = f"on environment '{world.here.project_name}/Production'"
    assert again["message"] == f"Actor '{actor}' holds no role {place}."


def test_an_open_connection_ends_when_roles_of_its_actor_change(world: World) -> None:
    stageline, actor = world.stageline, f"user {world.elsewhere.number}"
    text = token(world.elsewhere, HERE, None)
    stageline.do("grantRole", actor=actor, role="VIEWER", environment=world.elsewhere.id)
    with stageline.open() as opened:
        opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {text}"}})
        assert opened.receive()["type"] == "connection_ack"
        opened.subscribe(
            "1", "subscription ($id: ID!) { pipeline(environment: $id) { version } }", id=world.elsewhere.id
        )
        assert opened.receive()["type"] == "next"
        stageline.do("revokeRole", actor=actor, environment=world.elsewhere.id)
        with pytest.raises(ConnectionClosed, match=r"1013.*The roles of the actor were changed: connect again"):
            _read_all(opened)  # after this code clients connect again, and after 4403 they do not


def test_a_connection_stays_open_when_roles_change_that_its_token_does_not_follow(world: World) -> None:
    """Otherwise an admin of one environment could cut off all others, by roles for them there."""
    stageline, text = world.stageline, token(world.here, HERE, Role.ADMIN)
    with stageline.socket() as opened:
        opened.subscribe("1", "subscription ($id: ID!) { pipeline(environment: $id) { version } }", id=world.here.id)
        before = opened.receive()["payload"]["data"]["pipeline"]["version"]
        stageline.mutate_as(text, "grantRole", actor="admin", role="VIEWER", environment=world.here.id)
        stageline.mutate_as(text, "revokeRole", actor="admin", environment=world.here.id)
        stageline.do("createStage", environment=world.here.id, name="Later")
        assert opened.receive()["payload"]["data"]["pipeline"]["version"] == before + 1


def test_an_open_event_stream_ends_when_roles_of_its_actor_change(world: World) -> None:
    """Without an error and without its end, so that a client connects again."""
    stageline, actor = world.stageline, f"user {world.elsewhere.number}"
    text = token(world.elsewhere, HERE, None)
    stageline.do("grantRole", actor=actor, role="VIEWER", environment=world.elsewhere.id)
    headers = {"authorization": f"Bearer {text}", "accept": "text/event-stream"}
    asked = {
        "query": "subscription ($id: ID!) { pipeline(environment: $id) { version } }",
        "variables": {"id": world.elsewhere.id},
    }
    with httpx.stream("POST", f"{stageline.url}/graphql", headers=headers, json=asked, timeout=60) as answer:
        lines = answer.iter_lines()
        assert any("version" in line for line in lines)
        stageline.do("revokeRole", actor=actor, environment=world.elsewhere.id)
        rest = "\n".join(lines)
    assert "event: complete" not in rest
    assert "errors" not in rest


def _read_all(opened: Socket) -> None:
    while True:
        opened.receive()


@pytest.mark.long
def test_an_admin_of_a_place_sees_and_grants_roles_there_only(world: World) -> None:
    text, actor = token(world.here, PROJECT, Role.ADMIN), f"guest {world.here.number}"
    for place in ({}, {"environment": world.elsewhere.id}):
        world.stageline.do("grantRole", actor=actor, role="VIEWER", **place)
        world.refused(text, "grantRole", actor=actor, role="VIEWER", **place)
        world.refused(text, "revokeRole", actor=actor, **place)
    made = world.stageline.mutate_as(text, "grantRole", actor=actor, role="ADMIN", environment=world.beside)
    assert [each["environmentId"] for each in made["roles"]] == [world.beside]
    held = [each for each in world.as_(text, GRANTS)["roles"]["nodes"] if each["actor"]["id"] == actor]
    assert [each["environment"]["id"] for each in held[0]["roles"]] == [world.beside]


def test_a_viewer_knows_what_they_may_do(world: World) -> None:
    text = token(world.here, HERE, Role.DEPLOYER)
    asked = """
    query ($here: ID!, $other: ID!, $project: ID!) { viewer {
      canDeploy canEdit canGrantRoles canIssueTokensForOthers
      here: canDeploy(environment: $here) other: canDeploy(environment: $other) project: canDeploy(project: $project)
      unknown: canDeploy(project: "no such project")
      roles { role environment { name project { name } } }
    } }
    """
    found = world.as_(text, asked, here=world.here.id, other=world.elsewhere.id, project=world.here.project)["viewer"]
    assert found == {
        "canDeploy": True,
        "canEdit": False,
        "canGrantRoles": False,
        "canIssueTokensForOthers": False,
        "here": True,
        "other": False,
        "project": False,
        "unknown": False,
        "roles": [
            {"role": "DEPLOYER", "environment": {"name": "Production", "project": {"name": world.here.project_name}}}
        ],
    }


@pytest.mark.long
def test_an_actor_sets_its_own_profile_and_no_other(world: World) -> None:
    text, actor = token(world.here, HERE, Role.VIEWER), f"user {world.here.number}"
    assert world.stageline.mutate_as(text, "setActorProfile", actor=actor, name="Ann")["name"] == "Ann"
    world.refused(text, "setActorProfile", actor="admin", name="Ann")
