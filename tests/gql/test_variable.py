"""Variables of projects and environments, through the API."""

from tests.gql.environment import APPLICATION, Environment

EU, US = {"name": "REGION", "value": "eu"}, {"name": "REGION", "value": "us"}
BLUE = {"name": "COLOUR", "value": "blue"}
NEEDS = """
query ($id: ID!) { pipeline(environment: $id) { stages { services { name needs { name } neededBy { name } } } } }
"""


def refused(environment: Environment, field: str, **arguments: object) -> str:
    """The message of the refusal of a mutation."""
    answer = environment.stageline.mutate(field, environment=environment.id, **arguments)
    assert answer["__typename"] == "Refusal", answer
    message: str = answer["message"]
    return message


def test_the_variables_of_an_environment_are_set_and_deleted_one_by_one(environment: Environment) -> None:
    after = environment.do("setEnvironmentVariables", variables=[EU, BLUE])
    assert after["environment"]["variables"] == [BLUE, EU]
    assert environment.do("setEnvironmentVariables", variables=[US])["environment"]["variables"] == [BLUE, US]
    assert environment.do("deleteEnvironmentVariables", names=["COLOUR"])["environment"]["variables"] == [US]
    assert environment.stageline.query("environment", id=environment.id)["variables"] == [US]
    (listed,) = environment.stageline.everything("environments", project=environment.project)
    assert listed["variables"] == [US]


def test_the_variables_of_a_project_are_read_with_it_and_with_its_environments(environment: Environment) -> None:
    stageline = environment.stageline
    set_ = stageline.do("setProjectVariables", project=environment.project, variables=[EU, BLUE])
    assert set_["variables"] == [BLUE, EU]
    assert stageline.query("project", id=environment.project)["variables"] == [BLUE, EU]
    assert environment.pipeline["environment"]["project"]["variables"] == [BLUE, EU]
    left = stageline.do("deleteProjectVariables", project=environment.project, names=["REGION"])
    assert left["variables"] == [BLUE]
    assert environment.pipeline["environment"]["project"]["variables"] == [BLUE]


def test_a_dry_run_shows_the_variables_and_sets_none(environment: Environment) -> None:
    would = environment.do("setEnvironmentVariables", variables=[EU], dryRun=True)
    assert would["environment"]["variables"] == [EU]
    project = environment.project
    would = environment.stageline.do("setProjectVariables", project=project, variables=[EU], dryRun=True)
    assert would["variables"] == [EU]
    assert environment.pipeline["environment"]["variables"] == []
    assert environment.stageline.query("project", id=project)["variables"] == []


def test_a_change_of_a_variable_is_an_event_in_words_and_can_be_undone(environment: Environment) -> None:
    environment.do("setEnvironmentVariables", variables=[EU])
    environment.do("setEnvironmentVariables", variables=[US])
    environment.do("deleteEnvironmentVariables", names=["REGION"])
    last = environment.events()[-3:]
    assert [event["message"] for event in last] == [
        "Production: variable REGION: – → eu",
        "Production: variable REGION: eu → us",
        "Production: variable REGION deleted",
    ]
    assert [event["change"]["previousValue"] for event in last] == [None, "eu", "us"]
    assert environment.do("undoPipelineChange")["environment"]["variables"] == [US]
    version = environment.version
    environment.do("setEnvironmentVariables", variables=[EU, BLUE])
    at = environment.at(version=version)
    assert at is not None
    assert at["environment"]["variables"] == [US]
    assert environment.do("restorePipeline", version=version)["environment"]["variables"] == [US]


def test_two_people_set_different_variables_without_a_conflict(environment: Environment) -> None:
    since = environment.version
    environment.do("setEnvironmentVariables", variables=[EU])
    environment.do("setEnvironmentVariables", variables=[BLUE], unchangedSince=since)
    message = refused(environment, "setEnvironmentVariables", variables=[US], unchangedSince=since)
    assert message.startswith(f"The same was changed after version {since}: Production: variable REGION: – → eu")


def test_a_clone_has_the_variables_of_the_environment(environment: Environment) -> None:
    environment.do("setEnvironmentVariables", variables=[EU])
    clone = environment.do("cloneEnvironment", name="Copy")
    assert clone["environment"]["variables"] == [EU]


def test_a_document_has_no_variables_and_keeps_those_of_the_environment(environment: Environment) -> None:
    environment.do("setEnvironmentVariables", variables=[EU])
    assert "REGION" not in str(environment.stageline.query("exportPipeline", environment=environment.id))
    applied = environment.do("applyPipeline", document="stages: [{name: Only}]")
    assert applied["environment"]["variables"] == [EU]


def test_an_unknown_variable_in_a_specification_is_refused_by_its_name(environment: Environment) -> None:
    spec = {"runCommand": "./web ${{ variables.REGION }}"}
    message = refused(environment, "addService", name="web", type="APPLICATION", spec=spec)
    assert message == (
        "Service 'web' refers to variables.REGION in runCommand, but neither the environment nor its project has a"
        " variable 'REGION': set it first, or correct or remove the reference."
    )
    document = "stages: [{name: A, services: [{name: web, type: JOB, spec: {runCommand: '${{ variables.REGION }}'}}]}]"
    assert refused(environment, "applyPipeline", document=document).startswith(
        "Service 'web' refers to variables.REGION"
    )
    environment.stageline.do("setProjectVariables", project=environment.project, variables=[EU])
    environment.do("addService", name="web", type="APPLICATION", spec=spec)


def test_a_variable_that_a_service_needs_is_not_deleted_unless_the_project_has_it(environment: Environment) -> None:
    environment.do("setEnvironmentVariables", variables=[US])
    environment.add("web", runCommand="echo ${{ variables.REGION }}")
    message = refused(environment, "deleteEnvironmentVariables", names=["REGION"])
    assert message.startswith("Service 'web' refers to variables.REGION in runCommand, but neither")
    environment.stageline.do("setProjectVariables", project=environment.project, variables=[EU])
    environment.do("deleteEnvironmentVariables", names=["REGION"])


def test_a_shared_variable_is_not_deleted_while_a_service_of_any_environment_needs_it(environment: Environment) -> None:
    stageline, project = environment.stageline, environment.project
    stageline.do("setProjectVariables", project=project, variables=[EU, BLUE])
    environment.add("web", runCommand="echo ${{ variables.REGION }} ${{ variables.COLOUR }}")
    environment.add("api", runCommand="echo ${{ variables.REGION }}")
    qa = environment.do("cloneEnvironment", name="QA")["environment"]["id"]
    answer = stageline.mutate("deleteProjectVariables", project=project, names=["REGION", "COLOUR"])
    assert (answer["code"], answer["message"]) == (
        "UNMET_REFERENCE",
        (
            "Service 'web' refers to variables.REGION in runCommand, but neither its environment 'Production' nor the"
            " project would have a variable 'REGION': set it there first, or correct or remove the reference; the same"
            " for 'api' of 'Production', 'web' of 'QA', 'api' of 'QA'."
        ),
    )
    environment.do("setEnvironmentVariables", variables=[US, BLUE])
    answer = stageline.mutate("deleteProjectVariables", project=project, names=["REGION"])
    assert (
        "Service 'web' refers to variables.REGION in runCommand, but neither its environment 'QA'" in answer["message"]
    )
    stageline.do("deleteEnvironment", environment=qa)
    assert stageline.do("deleteProjectVariables", project=project, names=["REGION", "COLOUR"])["variables"] == []


def test_the_graph_shows_who_needs_whom(environment: Environment) -> None:
    environment.add("db", "DATABASE", runCommand="./db", ports=[0])
    env = [{"name": "URL", "value": "${{ services['DB'].url }}"}]
    environment.add("api", "APPLICATION", runCommand="./api", env=env)
    environment.add("web", "APPLICATION", runCommand="./web ${{ services['db'].host }}")
    stages = environment.stageline.execute(NEEDS, id=environment.id)["pipeline"]["stages"]
    found = {
        service["name"]: ([each["name"] for each in service["needs"]], [each["name"] for each in service["neededBy"]])
        for stage in stages
        for service in stage["services"]
    }
    assert found == {"db": ([], ["api", "web"]), "api": (["db"], []), "web": (["db"], [])}
    message = refused(environment, "moveService", service="db", stage=APPLICATION)
    assert message.endswith(f"'db' stands in the same stage {APPLICATION!r}: move 'db' to stage 'CONTAINER DEFAULT'.")
    assert refused(environment, "removeService", service="db").startswith("Service 'api' refers to services['DB'].url")
    renamed = environment.do("editService", service="db", name="Postgres")
    texts = [service["spec"]["env"] for stage in renamed["stages"] for service in stage["services"]]
    assert [{"name": "URL", "value": "${{ services['Postgres'].url }}"}] in texts
