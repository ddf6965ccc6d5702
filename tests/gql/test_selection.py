"""Deployments of chosen services and stages."""

from tests.gql.environment import Environment
from tests.gql.stageline import Data
from tests.gql.test_instance import PLAN


def _statuses(deployment: Data) -> dict[str, str]:
    return {each["name"]: each["status"] for stage in deployment["stages"] for each in stage["services"]}


def _message(environment: Environment, **arguments: object) -> str:
    return str(environment.stageline.mutate("deploy", environment=environment.id, **arguments)["message"])


def test_chosen_services_are_deployed_alone_or_with_their_dependencies(environment: Environment) -> None:
    database = environment.add("DB", "DATABASE", runCommand="exec python3 -m http.server $PORT", ports=[0])
    url = "${{ services['DB'].url }}"
    environment.add("API", "APPLICATION", runCommand="exec sleep 60", env=[{"name": "DB", "value": url}])
    environment.add("web", "APPLICATION", runCommand="exec sleep 60")
    refused = _message(environment, services=["api"])
    assert "refers to services['DB'].url in env DB, but 'DB' does not run: deploy 'DB', too" in refused
    both = environment.end(environment.do("deploy", services=["api"], withDependencies=True))
    assert (both["status"], _statuses(both)) == ("SUCCEEDED", {"DB": "SUCCEEDED", "API": "SUCCEEDED"})
    alone = environment.end(environment.do("redeploy", services=["api"]))
    assert (alone["status"], _statuses(alone)) == ("SUCCEEDED", {"DB": "SKIPPED", "API": "SUCCEEDED"})
    staged = environment.end(environment.do("deploy", stages=["DATABASE DEFAULT"]))
    assert _statuses(staged) == {"DB": "SUCCEEDED"}
    answer = environment.stageline.execute(PLAN, environment=environment.id, revision=None)["deploy"]["snapshot"]
    services = {each["name"]: each for stage in answer["stages"] for each in stage["services"]}
    numbers = {name: each["plan"]["instance"] for name, each in services.items()}
    assert numbers == {"DB": {"deployment": {"number": 3}}, "API": {"deployment": {"number": 2}}, "web": None}
    assert environment.refusal("deploy", services=[database, "nobody"]) == "SERVICE_NOT_FOUND"


def test_requests_merge_only_if_they_choose_the_same_services(environment: Environment) -> None:
    for name in ("one", "two"):
        environment.add(name)
    running = environment.block()
    one, two = (environment.do("deploy", services=[name]) for name in ("one", "two"))
    again = environment.do("deploy", services=["two"])
    assert (again["id"] == two["id"], one["id"] == two["id"]) == (True, False)
    environment.let_end(running)
