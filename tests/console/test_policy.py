"""The last deployment on the cards, the whole specification of a service, and the policies of failures."""

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import LAST, ORDER, SECOND, OpenPage, World, card, column

pytestmark = pytest.mark.long

SPEC = """
query ($environment: ID!, $service: ID!) {
  service(environment: $environment, service: $service) {
    name
    spec {
      runCommand buildCommands workingDirectory ports env { name value }
      healthCheck { command also { tcp { portIndex } command } intervalSeconds timeoutSeconds startPeriodSeconds
        watchIntervalSeconds failureThreshold }
      buildTimeoutSeconds deployTimeoutSeconds stopGraceSeconds stopSignal stopFirst
      restart restartBackoff { initialSeconds factor maxSeconds jitter } restartLimit restartWindowSeconds
      retries backoff { initialSeconds factor maxSeconds jitter } allowFailure once
    }
  }
}
"""
ADD = """
mutation ($environment: ID!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: "Search", type: APPLICATION, spec: $spec) { __typename }
}
"""
RESTART = """
mutation ($environment: ID!) { restartServices(environment: $environment, services: ["DB"]) { __typename } }
"""
APPROVALS = "query ($id: ID!) { pipeline(environment: $id) { stages { policy { approval { count role } } } } }"
POLICIES = """
query ($id: ID!) {
  environment(id: $id) {
    concurrency
    policy {
      onFailure buildBarrier deploymentTimeoutSeconds onRequest
      freezes { cron durationSeconds timeZone action }
    }
    pipeline { stages { name policy { concurrency onFailure always } } }
  }
}
"""
WHOLE = {
    "runCommand": "echo one\nexec sleep 3600",
    "buildCommands": ["echo 'first\nline'", "echo second"],
    "workingDirectory": None,
    "ports": [0, 0],
    "env": [{"name": "MODE", "value": "two\nlines"}, {"name": "EMPTY", "value": ""}],
    "healthCheck": {
        "command": "true\ntrue",
        "also": [{"tcp": {"portIndex": 1}, "command": None}, {"tcp": None, "command": "true"}],
        "intervalSeconds": 2.5,
        "timeoutSeconds": 4.0,
        "startPeriodSeconds": 30.0,
        "watchIntervalSeconds": 12.0,
        "failureThreshold": 5,
    },
    "buildTimeoutSeconds": 12.5,
    "deployTimeoutSeconds": 34.0,
    "stopGraceSeconds": 1.0,
    "stopSignal": "INT",
    "stopFirst": True,
    "restart": "ON_FAILURE",
    "restartBackoff": {"initialSeconds": 2.0, "factor": 4.0, "maxSeconds": 20.0, "jitter": 0.5},
    "restartLimit": 3,
    "restartWindowSeconds": 60.0,
    "retries": 3,
    "backoff": {"initialSeconds": 0.5, "factor": 1.5, "maxSeconds": 9.0, "jitter": 0.25},
    "allowFailure": True,
    "once": False,
}


def choose(page: Page, of: str, item: str) -> None:
    page.get_by_role("button", name=f"Actions for {of}", exact=True).click()
    page.get_by_role("menuitem", name=item).click()


def test_a_card_says_what_its_service_does_and_waits_for(board: Page, world: World) -> None:
    gate = world.server.folder / "card"
    world.add("Migrations", "JOB", f"until [ -e {gate} ]; do sleep 0.05; done")
    expect(card(board, "Migrations")).to_be_visible()
    world.do("deploy")
    expect(card(board, "Migrations")).to_contain_text("deploying #1")
    expect(card(board, "DB")).to_contain_text("succeeded #1")
    expect(card(board, "Backend")).to_contain_text(f"Waits: stage {SECOND} must end first")
    world.do("deploy", reason="again")
    expect(card(board, "DB")).to_contain_text("Waits: deployment 1 of the environment must end first")
    gate.touch()
    expect(card(board, "Backend")).to_contain_text("succeeded #2")
    expect(board.get_by_text("Waits:")).to_have_count(0)
    choose(board, "Backend", "Its log")
    expect(board.get_by_role("heading", name="Deployment #2")).to_be_visible()
    expect(board.get_by_role("combobox", name="Service")).to_have_value(board.url.partition("service=")[2])


def test_a_card_keeps_its_deployment_when_later_ones_chose_other_services(board: Page, world: World) -> None:
    world.do("deploy")
    expect(card(board, "Backend")).to_contain_text("succeeded #1")
    for number in range(2, 5):
        world.server.execute(RESTART, environment=world.id)
        expect(card(board, "DB")).to_contain_text(f"succeeded #{number}")
    board.reload()
    expect(card(board, "DB")).to_contain_text("succeeded #4")
    expect(card(board, "Backend")).to_contain_text("succeeded #1")


def test_an_edit_keeps_the_whole_specification(board: Page, world: World) -> None:
    world.server.execute(ADD, environment=world.id, spec=WHOLE)
    expect(card(board, "Search")).to_contain_text("may fail")
    choose(board, "Search", "Edit …")
    board.get_by_label("Name", exact=True).fill("Finder")
    board.get_by_text("When a step fails").click()
    board.get_by_label("Retries").fill("5")
    board.get_by_role("button", name="Save").click()
    expect(card(board, "Finder")).to_be_visible()
    found = world.server.execute(SPEC, environment=world.id, service="Finder")["service"]
    assert found == {"name": "Finder", "spec": WHOLE | {"retries": 5}}


def test_an_edit_never_overwrites_somebody_elses(board: Page, world: World) -> None:
    choose(board, "Backend", "Edit …")
    board.get_by_role("textbox", name="Command").fill("exec sleep 1")
    world.server.execute(
        f'mutation {{ editService(environment: "{world.id}", service: "Backend", spec: {{runCommand: "exec sleep 2"}}) '
        "{ __typename } }"
    )
    version = world.server.execute(ORDER, id=world.id)["pipeline"]["version"]
    expect(board.get_by_text(f"version {version}", exact=True)).to_be_visible()
    board.get_by_role("button", name="Save").click()
    expect(board.get_by_role("heading", name="Somebody changed this meanwhile")).to_be_visible()
    board.get_by_role("button", name="Keep theirs").click()
    found = world.server.execute(SPEC, environment=world.id, service="Backend")["service"]
    assert found["spec"]["runCommand"] == "exec sleep 2"


def test_a_service_is_added_with_a_policy(board: Page, world: World) -> None:
    choose(board, f"stage {LAST}", "Add a service …")
    board.get_by_label("Name", exact=True).fill("Search")
    board.get_by_label("Command", exact=True).fill("exec sleep 3600")
    board.get_by_role("button", name="Add a variable").click()
    board.get_by_label("Name of variable 1").fill("MODE")
    board.get_by_label("Value of variable 1").fill("fast")
    board.get_by_text("When a step fails").click()
    board.get_by_label("It may fail").check()
    board.get_by_role("button", name="Add", exact=True).click()
    expect(card(board, "Search")).to_contain_text("may fail")
    spec = world.server.execute(SPEC, environment=world.id, service="Search")["service"]["spec"]
    assert (spec["env"], spec["allowFailure"], spec["retries"]) == ([{"name": "MODE", "value": "fast"}], True, 0)


def test_the_form_offers_a_job_and_other_services_only_what_they_can_have(board: Page, world: World) -> None:
    choose(board, f"stage {SECOND}", "Add a service …")
    board.get_by_text("Health check and times").click()
    expect(board.get_by_label("The old instance stops before")).to_be_visible()
    expect(board.get_by_label("It runs once for each revision")).to_have_count(0)
    board.get_by_label("Healthy when").select_option("tcp")
    board.get_by_label("Type").select_option("JOB")
    for absent in "The old instance stops before", "Healthy when", "Start it again", "Health command":
        expect(board.get_by_label(absent)).to_have_count(0)
    board.get_by_label("It runs once for each revision").check()
    board.get_by_label("Name", exact=True).fill("Migrate")
    board.get_by_label("Command", exact=True).fill("true")
    board.get_by_role("button", name="Add", exact=True).click()
    expect(card(board, "Migrate")).to_be_visible()
    spec = world.server.execute(SPEC, environment=world.id, service="Migrate")["service"]["spec"]
    assert (spec["once"], spec["healthCheck"], spec["restart"]) == (True, None, "ALWAYS")
    choose(board, "Migrate", "Edit …")
    board.get_by_text("Times", exact=True).click()
    board.get_by_label("It runs once for each revision").uncheck()
    board.get_by_role("button", name="Save").click()
    expect(board.get_by_role("dialog")).to_have_count(0)
    edited = world.server.execute(SPEC, environment=world.id, service="Migrate")["service"]["spec"]
    assert edited == spec | {"once": False}


def test_a_service_is_removed_after_a_question(board: Page, world: World) -> None:
    choose(board, "Backend", "Remove …")
    board.get_by_role("button", name="Remove", exact=True).click()
    expect(card(board, "Backend")).to_have_count(0)
    assert "Backend" not in world.order()[LAST]


def test_a_stage_and_an_environment_have_policies(open_page: OpenPage, board: Page, world: World) -> None:
    other = open_page(f"/environments/{world.id}")
    choose(board, f"stage {SECOND}", "Policy …")
    board.get_by_label("Services at once").fill("3")
    board.get_by_label("When a service fails").select_option("CONTINUE")
    board.get_by_label("Run it also after a failure").check()
    board.get_by_role("button", name="Save").click()
    for page in (board, other):
        expect(column(page, SECOND)).to_contain_text("3 at once, goes on after a failure, always runs")
    board.get_by_role("button", name="Policy …", exact=True).click()
    board.get_by_label("Services at once").fill("7")
    board.get_by_label("End all builds").check()
    board.get_by_label("Longest duration of a deployment").fill("900")
    board.get_by_label("Freezes").fill("0 18 * * FRI; 60h; Europe/Berlin; hold")
    board.get_by_label("requested while another runs").select_option("SUPERSEDE")
    board.get_by_role("button", name="Save").click()
    expect(board.get_by_role("dialog")).to_have_count(0)
    found = world.server.execute(POLICIES, id=world.id)["environment"]
    assert found["concurrency"] == 7
    assert found["policy"] == {
        "onFailure": "STOP",
        "buildBarrier": True,
        "deploymentTimeoutSeconds": 900.0,
        "onRequest": "SUPERSEDE",
        "freezes": [
            {"cron": "0 18 * * FRI", "durationSeconds": 216000.0, "timeZone": "Europe/Berlin", "action": "HOLD"}
        ],
    }
    policies = {stage["name"]: stage["policy"] for stage in found["pipeline"]["stages"]}
    assert policies[SECOND] == {"concurrency": 3, "onFailure": "CONTINUE", "always": True}
    assert policies[LAST] == {"concurrency": None, "onFailure": None, "always": False}


@pytest.mark.parametrize(
    ("duration", "shown"), [(61, "61s"), (1800, "30m"), (9000, "150m"), (216_000, "60h"), (172_800, "2d")]
)
def test_a_policy_keeps_its_freeze_whatever_else_is_changed(
    board: Page, world: World, duration: int, shown: str
) -> None:
    freeze = f'{{cron: "0 18 * * FRI", durationSeconds: {duration}, timeZone: "Europe/Berlin", action: HOLD}}'
    world.server.execute(
        f'mutation {{ editEnvironment(environment: "{world.id}", policy: {{freezes: [{freeze}]}}) {{ __typename }} }}'
    )
    before = world.server.execute(POLICIES, id=world.id)["environment"]["policy"]
    board.reload()
    board.get_by_role("button", name="Policy …", exact=True).click()
    expect(board.get_by_label("Freezes")).to_have_value(f"0 18 * * FRI; {shown}; Europe/Berlin; hold")
    board.get_by_label("Services at once").fill("7")
    board.get_by_role("button", name="Save").click()
    expect(board.get_by_role("dialog")).to_have_count(0)
    found = world.server.execute(POLICIES, id=world.id)["environment"]
    assert (found["concurrency"], found["policy"]) == (7, before)


@pytest.mark.parametrize("freeze", ["nonsense", "0 18 * * FRI; 2; UTC; hold", "0 18 * * FRI; 2h; UTC; hodl"])
def test_a_freeze_that_cannot_be_read_is_refused_by_name(board: Page, world: World, freeze: str) -> None:
    board.get_by_role("button", name="Policy …", exact=True).click()
    board.get_by_label("Freezes").fill(freeze)
    board.get_by_role("button", name="Save").click()
    expect(board.get_by_role("alert")).to_contain_text(f'Invalid freeze "{freeze}"')
    assert world.server.execute(POLICIES, id=world.id)["environment"]["policy"]["freezes"] == []


def test_the_approval_of_a_stage_has_a_role(board: Page, world: World) -> None:
    choose(board, f"stage {SECOND}", "Policy …")
    board.get_by_label("People who must approve it before it starts").fill("1")
    board.get_by_label("Role of those who approve it").select_option("ADMIN")
    board.get_by_role("button", name="Save").click()
    expect(column(board, SECOND)).to_contain_text("needs an approval")
    choose(board, f"stage {SECOND}", "Policy …")
    board.get_by_label("People who must approve it before it starts").fill("2")
    board.get_by_role("button", name="Save").click()
    expect(column(board, SECOND)).to_contain_text("needs 2 approvals")
    stages = world.server.execute(APPROVALS, id=world.id)["pipeline"]["stages"]
    assert [stage["policy"]["approval"] for stage in stages] == [None, {"count": 2, "role": "ADMIN"}, None, None]
