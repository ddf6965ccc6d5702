from tests.gql.environment import STAGES, Environment, names


def test_a_new_environment_has_the_four_default_stages(environment: Environment) -> None:
    made = environment.stageline.do("createEnvironment", project=environment.project, name="Staging", concurrency=3)
    assert made.pop("__typename") == "Pipeline"
    assert names(made["stages"]) == STAGES
    assert [stage["defaultForType"] for stage in made["stages"]] == ["DATABASE", "JOB", "CONTAINER", "APPLICATION"]
    assert {stage["description"] for stage in made["stages"]} == {"Rename me to avoid default/legacy ordering"}
    assert [stage["position"] for stage in made["stages"]] == [1, 2, 3, 4]
    about = made["environment"]
    assert (about["name"], about["target"], about["concurrency"], about["isDeleted"]) == (
        "Staging",
        "PROCESS",
        3,
        False,
    )
    assert about["project"] == environment.stageline.query("project", id=environment.project)
    assert made == environment.stageline.query("pipeline", environment=about["id"])


def test_an_environment_is_found_by_its_id_and_by_its_project_and_name(environment: Environment) -> None:
    wanted = environment.pipeline["environment"]
    project, name = environment.project, environment.project_name
    for named in (
        {"id": environment.id},
        {"project": project, "name": "Production"},
        {"project": name.lower(), "name": " PRODUCTION"},
    ):
        assert environment.stageline.query("environment", **named) == wanted
    for nothing in (
        {"id": f"environment_{'0' * 32}"},
        {"id": environment.project},
        {"id": f"environment_{project.partition('_')[2]}"},
        {"project": project, "name": "Staging"},
        {"project": "Nowhere", "name": "Production"},
    ):
        assert environment.stageline.query("environment", **nothing) is None


def test_an_environment_is_asked_for_in_one_way(environment: Environment) -> None:
    for wrong in ({}, {"name": "Production"}, {"project": environment.project}, {"id": environment.id, "name": "x"}):
        error = environment.stageline.error("environment", **wrong)
        assert error["code"] == "INVALID_ARGUMENT"
        assert error["message"] == "Invalid environment: either an id, or a project and a name, is required."


def test_an_edited_environment_is_found_by_its_new_name_only(environment: Environment) -> None:
    edited = environment.do("editEnvironment", name="Live", concurrency=2)["environment"]
    assert (edited["name"], edited["concurrency"]) == ("Live", 2)
    find = environment.stageline.query
    assert find("environment", project=environment.project, name="live") == edited
    assert find("environment", project=environment.project, name="Production") is None
    assert environment.stageline.do("createEnvironment", project=environment.project, name="Production")


def test_a_deleted_environment_leaves_the_list_and_its_name_free_and_its_history_behind(
    environment: Environment,
) -> None:
    stageline, project = environment.stageline, environment.project
    events = environment.events()
    deleted = environment.do("deleteEnvironment")
    assert deleted["environment"]["isDeleted"]
    assert stageline.everything("environments", project=project) == []
    assert stageline.query("environment", project=project, name="Production") is None
    assert environment.pipeline["version"] == deleted["version"]
    assert environment.events()[:-1] == events
    assert environment.events()[-1]["pipelineEventType"] == "ENVIRONMENT_DELETED"
    again = stageline.do("createEnvironment", project=project, name="Production")
    assert stageline.everything("environments", project=project) == [again["environment"]]


def test_environments_are_listed_by_name(environment: Environment) -> None:
    for name in ("staging", "Alpha", "QA"):
        environment.stageline.do("createEnvironment", project=environment.project, name=name)
    for project in (environment.project, environment.project_name.upper()):
        listed = environment.stageline.everything("environments", project=project)
        assert names(listed) == ["Alpha", "Production", "QA", "staging"]


def test_the_environments_of_no_project_are_an_error(environment: Environment) -> None:
    for nothing in ("Nowhere", f"project_{'0' * 32}", environment.id):
        assert environment.stageline.error("environments", project=nothing) == {
            "code": "PROJECT_NOT_FOUND",
            "message": f"There is no project {nothing!r}.",
        }
