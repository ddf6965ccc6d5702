import pytest

from tests.gql.environment import APPLICATION, CONTAINER, DATABASE, JOB, POLICY, STAGES, Environment, names, services
from tests.gql.stageline import Data, document


def _order(pipeline: Data) -> list[str]:
    assert [stage["position"] for stage in pipeline["stages"]] == list(range(1, len(pipeline["stages"]) + 1))
    return names(pipeline["stages"])


@pytest.mark.parametrize(
    ("place", "order"),
    [
        (None, [*STAGES, "New"]),
        ({"position": 1}, ["New", *STAGES]),
        ({"before": "job default"}, [DATABASE, "New", JOB, CONTAINER, APPLICATION]),
        ({"after": JOB}, [DATABASE, JOB, "New", CONTAINER, APPLICATION]),
    ],
)
def test_a_stage_is_made_where_it_is_asked_for(environment: Environment, place: Data | None, order: list[str]) -> None:
    made = environment.do("createStage", name=" New ", description="what is new", **({"to": place} if place else {}))
    assert _order(made) == order
    new = next(stage for stage in made["stages"] if stage["name"] == "New")
    assert new["description"] == "what is new"
    assert (new["defaultForType"], new["policy"], new["services"]) == (None, POLICY, [])
    assert environment.pipeline | {"__typename": "Pipeline"} == made


def test_a_place_is_one_place(environment: Environment) -> None:
    for wrong in ({}, {"position": 1, "before": JOB}, {"position": None}):
        arguments: Data = {"environment": environment.id, "name": "New", "to": wrong}
        answer = environment.stageline.ask(document("mutation", "createStage", *arguments), **arguments)
        assert answer.keys() == {"errors"}


def test_a_stage_is_edited_by_its_id_or_its_name_and_the_rest_stays(environment: Environment) -> None:
    id_ = environment.pipeline["stages"][1]["id"]
    renamed = environment.do("editStage", stage="job default", name="Migrations")["stages"][1]
    assert (renamed["id"], renamed["name"], renamed["description"]) == (id_, "Migrations", "")
    described = environment.do("editStage", stage=id_, description="Before anything starts")["stages"][1]
    assert described == renamed | {"description": "Before anything starts"}
    limited = environment.do("editStage", stage="MIGRATIONS", policy={"concurrency": 2})["stages"][1]
    assert limited == described | {"policy": POLICY | {"concurrency": 2}}
    assert environment.do("editStage", stage=id_, policy={})["stages"][1] == described


@pytest.mark.parametrize(
    ("place", "order"),
    [
        ({"position": 4}, [JOB, CONTAINER, APPLICATION, DATABASE]),
        ({"before": APPLICATION}, [JOB, CONTAINER, DATABASE, APPLICATION]),
        ({"after": "Application Default"}, [JOB, CONTAINER, APPLICATION, DATABASE]),
    ],
)
def test_a_stage_moves(environment: Environment, place: Data, order: list[str]) -> None:
    assert _order(environment.do("moveStage", stage=DATABASE, to=place)) == order


def test_a_stage_moves_by_ids(environment: Environment) -> None:
    first, *_, last = (stage["id"] for stage in environment.pipeline["stages"])
    moved = environment.do("moveStage", stage=last, to={"before": first})
    assert _order(moved) == [APPLICATION, DATABASE, JOB, CONTAINER]


def test_a_deleted_stage_leaves_its_services_to_another(environment: Environment) -> None:
    environment.add("api")
    environment.add("web", "APPLICATION")
    deleted = environment.do("deleteStage", stage=JOB, servicesTo=APPLICATION)
    assert _order(deleted) == [DATABASE, CONTAINER, APPLICATION]
    assert {(service["name"], service["stage"]["name"]) for service in services(deleted)} == {
        ("api", APPLICATION),
        ("web", APPLICATION),
    }
    assert names(environment.do("deleteStage", stage=CONTAINER)["stages"]) == [DATABASE, APPLICATION]


def test_the_id_of_something_else_is_no_stage(environment: Environment) -> None:
    service = environment.add("api")
    for wrong in (service, environment.id, f"stage_{service.partition('_')[2]}"):
        assert environment.refusal("moveStage", stage=wrong, to={"position": 1}) == "STAGE_NOT_FOUND"
