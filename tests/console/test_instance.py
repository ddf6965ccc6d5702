"""The instance of a service, on its card."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import World, card
from tests.waiting import wait_until

pytestmark = pytest.mark.long

ADD = """
mutation ($environment: ID!, $name: String!, $spec: ServiceSpecInput!) {
  addService(environment: $environment, name: $name, type: APPLICATION, spec: $spec) { __typename }
}
"""


def has_words(file: Path) -> bool:
    return file.exists() and file.read_text().strip() != ""


def test_a_card_says_that_the_instance_was_killed_and_whether_it_runs_again(board: Page, world: World) -> None:
    pids = {name: world.server.folder / f"{name}.pid" for name in ("Always", "Never")}
    for name, restart in [("Always", "ALWAYS"), ("Never", "NO")]:
        spec = {"runCommand": f"echo $$ > {pids[name]}; exec sleep 3600", "restart": restart}
        world.server.execute(ADD, environment=world.id, name=name, spec=spec)
    world.do("deploy")
    for name in pids:
        expect(card(board, name)).to_contain_text("succeeded #1")
        expect(card(board, name)).not_to_contain_text("Instance:")
    for name, file in pids.items():
        wait_until(partial(has_words, file), f"{name} runs")
        os.kill(int(file.read_text()), signal.SIGKILL)
    expect(card(board, "Never")).to_contain_text("exited #1")
    expect(card(board, "Never")).to_contain_text("Instance: ended with SIGKILL")
    expect(card(board, "Always")).to_contain_text("Instance: ended with SIGKILL, restarted once")
    expect(card(board, "Always")).to_contain_text("succeeded #1")
    expect(card(board, "DB")).not_to_contain_text("Instance:")
