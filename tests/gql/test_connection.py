"""Lists in pages: every one of them forwards and backwards, their limits, and cursors that are none of theirs.

The lists are those of the schema: a new one fails here until `Lists` knows one to read.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from gql.schema import schema
from tests.gql.environment import Environment
from tests.gql.stageline import Data, Stageline, served
from tests.gql.test_write import webhook

QUERY = schema._schema.query_type
assert QUERY is not None
LISTS = [name for name, field in QUERY.fields.items() if str(field.type).rstrip("!").endswith("Connection")]
PAGE = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"

lists = pytest.mark.parametrize("field", LISTS)


class Lists:
    """An environment with several of everything."""

    def __init__(self, stageline: Stageline) -> None:
        self.stageline = stageline
        self.environment = environment = Environment(stageline)
        environment.add("printing", runCommand="for line in one two three four five; do echo $line; done")
        for number in range(2):
            stageline.do("createProject", name=f"{environment.project_name} {number}")
        for name in ("QA", "Staging", "Beta"):
            made = stageline.do("createEnvironment", project=environment.project, name=name)["environment"]
            stageline.do("addService", environment=made["id"], name="job", type="JOB", spec={"runCommand": "true"})
        for name in ("ann", "bob", "cid"):
            stageline.do("issueToken", name=name, hash=hashlib.sha256(name.encode()).hexdigest())
            stageline.do("setActorProfile", actor=name, name=name)
            stageline.do("grantRole", actor=name, role="VIEWER")
            stageline.do("createWebhook", **webhook(environment) | {"name": name})
        for _ in range(3):
            self.deployment: str = environment.end(environment.do("deploy"))["id"]

    def query(self, field: str, **part: object) -> Any:
        return self.stageline.query(field, **self._of(field), **part)

    def error(self, field: str, **part: object) -> Data:
        """The one error of a page."""
        given = self._of(field) | part
        (error,) = self.stageline.ask(_paged(field, given), **given)["errors"]
        return {"code": error["extensions"]["code"], "message": error["message"]}

    def _of(self, field: str) -> Data:
        match field:
            case "projects" | "actors" | "tokens" | "history" | "roles" | "webhooks":
                return {}
            case "environments" | "services" | "projectChanges":
                return {"project": self.environment.project}
            case "deploymentEvents" | "deploymentLogs":
                return {"deployment": self.deployment}
            case "deployments" | "pipelineEvents" | "pipelineHistory":
                return {"environment": self.environment.id}
            case _:
                raise AssertionError(f"{field} is not read by these tests yet")

    def walk(self, field: str, size: int, *, forwards: bool) -> list[str]:
        """All cursors of the list, by pages of that *size*; their own word is kept to for when it ends."""
        count, beyond, more, less, end = (
            ("first", "after", "hasNextPage", "hasPreviousPage", "endCursor")
            if forwards
            else ("last", "before", "hasPreviousPage", "hasNextPage", "startCursor")
        )
        found: list[str] = []
        part: Data = {count: size}
        while True:
            page = self._page(field, **part)
            cursors = [edge["cursor"] for edge in page["edges"]]
            info = page["pageInfo"]
            assert (info["startCursor"], info["endCursor"]) == (cursors[0], cursors[-1])
            assert info[less] == (part.get(beyond) is not None)
            found = found + cursors if forwards else cursors + found
            if not info[more]:
                return found
            assert len(cursors) == size
            part[beyond] = info[end]

    def _page(self, field: str, **arguments: object) -> Data:
        given = self._of(field) | arguments
        page: Data = self.stageline.execute(_paged(field, given), **given)[field]
        return page


def _paged(field: str, given: Data) -> str:
    """The document that asks for a page of cursors."""
    assert QUERY is not None
    variables = ", ".join(f"${name}: {QUERY.fields[field].args[name].type}" for name in given)
    passed = ", ".join(f"{name}: ${name}" for name in given)
    return f"query ({variables}) {{ {field}({passed}) {{ {PAGE} }} }}"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    """In an application of their own, where every list is short."""
    with served(tmp_path_factory.mktemp("lists")) as stageline:
        made = Lists(stageline)
        yield made
        made.environment.close()


@lists
@pytest.mark.parametrize("forwards", [True, False], ids=["forwards", "backwards"])
def test_no_page_size_leaves_anything_out_or_gives_it_twice(several: Lists, field: str, forwards: bool) -> None:
    whole = [edge["cursor"] for edge in several.query(field, first=50)["edges"]]
    assert len(whole) == len(set(whole)) >= 3
    for size in range(1, len(whole) + 2):
        assert several.walk(field, size, forwards=forwards) == whole, size


@lists
def test_a_list_is_read_forwards_page_by_page(several: Lists, field: str) -> None:
    whole = several.query(field, first=50)
    assert len(whole["edges"]) >= 3
    assert whole["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": whole["edges"][0]["cursor"],
        "endCursor": whole["edges"][-1]["cursor"],
    }
    read: list[Data] = []
    part: Data = {}
    while True:
        page = several.query(field, first=2, **part)
        assert page["pageInfo"]["hasPreviousPage"] == bool(read)
        read += page["edges"]
        assert page["pageInfo"]["hasNextPage"] == (len(read) < len(whole["edges"]))
        if not page["pageInfo"]["hasNextPage"]:
            break
        part = {"after": page["pageInfo"]["endCursor"]}
    assert read == whole["edges"]
    after_the_end = several.query(field, first=2, after=whole["pageInfo"]["endCursor"])
    assert after_the_end["edges"] == []
    assert after_the_end["pageInfo"]["startCursor"] is None


@lists
def test_a_list_is_read_backwards_page_by_page(several: Lists, field: str) -> None:
    whole = several.query(field, first=50)
    read: list[Data] = []
    part: Data = {}
    while True:
        page = several.query(field, last=2, **part)
        assert page["pageInfo"]["hasNextPage"] == bool(read)
        read[:0] = page["edges"]
        assert page["pageInfo"]["hasPreviousPage"] == (len(read) < len(whole["edges"]))
        if not page["pageInfo"]["hasPreviousPage"]:
            break
        part = {"before": page["pageInfo"]["startCursor"]}
    assert read == whole["edges"]


@lists
def test_a_list_is_cut_on_both_sides(several: Lists, field: str) -> None:
    edges = several.query(field)["edges"]
    inner = {"after": edges[0]["cursor"], "before": edges[-1]["cursor"]}
    assert several.query(field, **inner)["edges"] == edges[1:-1]
    assert several.query(field, first=1, **inner)["edges"] == edges[1:2]
    assert several.query(field, last=1, **inner)["edges"] == edges[-2:-1]


@lists
def test_a_page_has_its_limits(several: Lists, field: str) -> None:
    for part, message in [
        ({"first": 0}, "Invalid first: 0 is not between 1 and 500."),
        ({"first": 501}, "Invalid first: 501 is not between 1 and 500."),
        ({"last": -1}, "Invalid last: -1 is not between 1 and 500."),
        ({"first": 1, "last": 1}, "Invalid first: it must not be given together with last."),
    ]:
        assert several.error(field, **part) == {"code": "INVALID_ARGUMENT", "message": message}


@lists
@pytest.mark.parametrize("side", ["after", "before"])
def test_a_cursor_of_another_list_or_a_damaged_one_is_refused(several: Lists, field: str, side: str) -> None:
    own = several.query(field, first=1)["pageInfo"]["endCursor"]
    another = several.query("deploymentLogs" if field != "deploymentLogs" else "deploymentEvents", first=1)
    others = [another["pageInfo"]["endCursor"], own[:-2], f"{own}AAAA", "", "x", "\N{SNOWMAN}", "WzEsMl0", "e30"]
    for cursor in others:
        assert several.error(field, **{side: cursor})["code"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("field", ["deploymentEvents", "deploymentLogs"])
def test_the_list_of_no_deployment_is_an_error(several: Lists, field: str) -> None:
    for nothing in (f"deployment_{'0' * 32}", several.environment.id, "1"):
        error = several.stageline.error(field, deployment=nothing)
        assert error == {"code": "DEPLOYMENT_NOT_FOUND", "message": f"There is no deployment {nothing!r}."}


@pytest.mark.parametrize("field", ["deployments", "pipelineEvents"])
def test_the_list_of_no_environment_is_an_error(several: Lists, field: str) -> None:
    something_else = f"environment_{several.deployment.partition('_')[2]}"
    for nothing in (f"environment_{'0' * 32}", something_else, several.deployment, "Production"):
        error = several.stageline.error(field, environment=nothing)
        assert error == {"code": "ENVIRONMENT_NOT_FOUND", "message": f"There is no environment {nothing!r}."}
