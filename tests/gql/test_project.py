from tests.gql.environment import Environment
from tests.gql.stageline import Stageline


def test_a_made_project_is_found_by_its_id_and_by_its_name_in_any_case(stageline: Stageline) -> None:
    made = stageline.do("createProject", name="  Straße 7 ")
    assert made.pop("__typename") == "Project"
    assert made["name"] == "Straße 7"
    for ref in (made["id"], "Straße 7", "STRASSE 7 "):
        assert stageline.query("project", id=ref) == made
    assert made in stageline.everything("projects")


def test_no_project_is_an_answer(environment: Environment) -> None:
    nobody = f"project_{'0' * 32}"
    for ref in ("Nowhere", nobody, environment.id, "", f"project_{environment.id.partition('_')[2]}"):
        assert environment.stageline.query("project", id=ref) is None


def test_projects_are_listed_by_name_without_regard_to_case(own: Stageline) -> None:
    for name in ("beta", "Gamma", "alpha", "Alpha 2"):
        own.do("createProject", name=name)
    assert [project["name"] for project in own.everything("projects")] == ["alpha", "Alpha 2", "beta", "Gamma"]


def test_what_was_written_is_read_at_once(stageline: Stageline) -> None:
    for number in range(5):
        made = stageline.do("createProject", name=f"Read {number}")
        assert stageline.query("project", id=made["id"])["name"] == f"Read {number}"
