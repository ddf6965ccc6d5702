"""The container of a service, in its form."""

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import LAST, World, card
from tests.console.test_policy import ADD, choose

pytestmark = pytest.mark.long

CONTAINER_OF = """
query ($environment: ID!) {
  service(environment: $environment, service: "Search") {
    spec {
      container {
        entrypoint command workingDirectory user pull publish { portIndex hostPort address }
        volumes { name path readOnly } binds { source path readOnly } labels { name value }
        memoryMib memoryRequestMib cpus cpusRequest sharedMemoryMib replicas platform
      }
    }
  }
}
"""
CONTAINER = {
    "entrypoint": ["/bin/sh", "-c", "echo one\nexec sleep 60"],
    "command": ["a b", ""],
    "workingDirectory": "/srv",
    "user": "1000:0",
    "pull": "NEVER",
    "publish": [{"portIndex": 0, "hostPort": 8080, "address": "::1"}],
    "volumes": [{"name": "data", "path": "/data", "readOnly": False}, {"name": "a", "path": "/a", "readOnly": True}],
    "binds": [{"source": "/etc/app", "path": "/etc/app", "readOnly": True}],
    "labels": [{"name": "team", "value": "shop"}],
    "memoryMib": 64,
    "memoryRequestMib": 32,
    "cpus": 0.5,
    "cpusRequest": 0.25,
    "sharedMemoryMib": 16,
    "replicas": 2,
    "platform": "linux/amd64",
}


def test_an_edit_keeps_the_whole_container(board: Page, world: World) -> None:
    spec = {"image": "redis:8", "ports": [6379], "container": CONTAINER}
    world.server.execute(ADD, environment=world.id, spec=spec)
    choose(board, "Search", "Edit …")
    board.get_by_text("Container", exact=True).click()
    board.get_by_label("Memory in MiB").fill("65")
    board.get_by_label("Labels").fill("team=shop\nrule=a=b")
    board.get_by_role("button", name="Save").click()
    expect(board.get_by_role("dialog")).to_have_count(0)
    found = world.server.execute(CONTAINER_OF, environment=world.id)["service"]["spec"]["container"]
    labels = [{"name": "team", "value": "shop"}, {"name": "rule", "value": "a=b"}]
    assert found == CONTAINER | {"memoryMib": 65, "labels": labels}


def test_limits_and_ports_of_a_container_that_cannot_be_read_are_never_left_out(board: Page, world: World) -> None:
    choose(board, f"stage {LAST}", "Add a service …")
    dialog = board.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Cache")
    dialog.get_by_label("Source").select_option("a container image")
    dialog.get_by_label("Image", exact=True).fill("redis:7")
    dialog.get_by_label("Ports", exact=True).fill("6379")
    dialog.get_by_text("Container", exact=True).click()
    for name, key, amount in [("Memory in MiB", "1e", "256"), ("Processors", "-", "2")]:
        dialog.get_by_label(name, exact=True).press_sequentially(key)
        dialog.get_by_role("button", name="Add", exact=True).click()
        expect(dialog.get_by_label(name, exact=True)).to_be_focused()  # the browser says what is wrong
        dialog.get_by_label(name, exact=True).fill(amount)
    dialog.get_by_label("Published ports").fill("8080:6379")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text('Invalid published port "8080:6379"')
    assert "Cache" not in world.order()[LAST]
    dialog.get_by_label("Published ports").fill("0=[127.0.0.1]:8080")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(card(board, "Cache")).to_be_visible()
    asked = (
        'query ($id: ID!) { service(environment: $id, service: "Cache")'
        " { spec { container { memoryMib cpus publish { portIndex hostPort address } } } } }"
    )
    assert world.server.execute(asked, id=world.id)["service"]["spec"]["container"] == {
        "memoryMib": 256,
        "cpus": 2.0,
        "publish": [{"portIndex": 0, "hostPort": 8080, "address": "127.0.0.1"}],
    }
