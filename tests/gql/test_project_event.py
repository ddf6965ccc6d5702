"""The events of a project itself, in words."""

from tests.gql.environment import Environment


def test_each_change_of_a_project_is_an_event_in_words(environment: Environment) -> None:
    stageline, project = environment.stageline, environment.project
    region = {"name": "REGION", "value": "eu"}
    stageline.do("setProjectVariables", project=project, variables=[region], reason="near the users")
    stageline.do("setProjectVariables", project=project, variables=[region | {"value": "us"}])
    stageline.do("deleteProjectVariables", project=project, names=["REGION"])
    for _ in range(2):
        stageline.do("setProjectSecret", project=project, name="KEY", value="a value that is long")
    stageline.do("deleteProjectSecrets", project=project, names=["KEY"])
    environment.do("editEnvironment", name="Live")
    environment.do("deleteEnvironment")
    stageline.do("renameProject", project=project, name=f"Renamed {environment.number}")
    stageline.do("deleteProject", project=project)
    events = stageline.everything("projectChanges", project=project)
    name = environment.project_name
    assert [event["message"] for event in events] == [
        f"{name} created",
        f"{name}: environment Production added",
        f"{name}: variable REGION: – → eu",
        f"{name}: variable REGION: eu → us",
        f"{name}: variable REGION deleted",
        f"{name}: secret KEY set",
        f"{name}: secret KEY changed",
        f"{name}: secret KEY deleted",
        f"{name}: key of the secrets rotated; key 2 is in use",
        f"{name}: environment Production renamed to Live",
        f"{name}: environment Live deleted",
        f"{name} renamed to Renamed {environment.number}",
        f"Renamed {environment.number} deleted",
    ]
    assert [event["version"] for event in events] == list(range(1, 14))
    third = events[2]
    assert (third["reason"], third["actor"]["id"], third["projectEventType"]) == (
        "near the users",
        "admin",
        "PROJECT_VARIABLE_SET",
    )
    assert stageline.node("ProjectEvent", third["id"]) == {"__typename": "ProjectEvent", **third}


def test_the_events_of_a_project_come_in_pages(environment: Environment) -> None:
    for value in "abc":
        variable = {"name": "A", "value": value}
        environment.stageline.do("setProjectVariables", project=environment.project, variables=[variable])
    page = environment.stageline.query("projectChanges", project=environment.project, last=2)
    assert [edge["node"]["message"].rpartition(": ")[2] for edge in page["edges"]] == ["a → b", "b → c"]
    before = environment.stageline.query(
        "projectChanges", project=environment.project, last=1, before=page["edges"][0]["cursor"]
    )
    assert before["edges"][0]["node"]["message"].endswith(": – → a")


def test_what_is_no_project_has_no_events(environment: Environment) -> None:
    error = environment.stageline.error("projectChanges", project="Nowhere")
    assert error == {"code": "PROJECT_NOT_FOUND", "message": "There is no project 'Nowhere'."}
