from tests.gql.environment import Environment
from tests.gql.stageline import Stageline


def test_a_made_project_is_found_by_its_id_and_by_its_name_in_any_case(stageline: Stageline) -> None:
    made = stageline.do("createProject", name="  Straße 7 ")
    assert made.pop("__typename") == "Project"
    assert made["name"] == "Straße 7"
    for ref in (made["id"], "Straße 7", "STRASSE 7 "):
        assert stageline.query("project", id=ref) == made
    assert made in stageline.everything("projects")


def test_a_project_is_renamed_wherever_it_is_named(environment: Environment) -> None:
    stageline, old = environment.stageline, environment.project_name
    before = environment.pipeline
    renamed = stageline.do("renameProject", project=old, name=f"{old} renamed")
    assert stageline.query("project", id=f"{old} RENAMED")["id"] == renamed["id"] == environment.project
    assert stageline.query("project", id=old) is None
    assert environment.pipeline["environment"]["project"]["name"] == f"{old} renamed"
    assert environment.pipeline["version"] == before["version"]
    other = stageline.do("createProject", name=old)
    assert stageline.refusal("renameProject", project=other["id"], name=f"{old} renamed") == "NAME_TAKEN"
    stageline.do("deleteProject", project=other["id"])


def test_a_project_with_environments_is_not_deleted_and_they_are_named(environment: Environment) -> None:
    stageline = environment.stageline
    refused = stageline.mutate("deleteProject", project=environment.project)
    assert (refused["code"], refused["message"]) == (
        "PROJECT_NOT_EMPTY",
        f"Project '{environment.project_name}' still has environments (Production): delete them first.",
    )
    environment.do("deleteEnvironment")
    deleted = stageline.do("deleteProject", project=environment.project)
    assert deleted["isDeleted"]
    assert deleted["id"] not in [each["id"] for each in stageline.everything("projects")]
    del deleted["__typename"]
    assert stageline.query("project", id=environment.project) == deleted
    assert stageline.query("project", id=environment.project_name) is None
    asked = {"project": environment.project, "name": "Staging"}
    for field, arguments in [
        ("createEnvironment", asked),
        ("renameProject", asked),
        ("deleteProject", {"project": environment.project_name}),
    ]:
        assert stageline.refusal(field, **arguments) == "PROJECT_NOT_FOUND"
    again = stageline.do("createProject", name=environment.project_name)
    assert again["id"] != deleted["id"]


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
