"""The announcement's example, as it tells it: three listings, line for line, and the answers in between."""

import shlex

import pytest

from tests.cli.shell import Shell

SERVICES = [
    ("Redis", "database"),
    ("DB", "database"),
    ("Rabbitmq", "container"),
    ("Backend", "application"),
    ("Frontend", "application"),
    ("Pablo Backend App", "application"),
    ("API gateway", "application"),
]

FIRST = """\
# deployment stage 1: "DATABASE DEFAULT"
Rename me to avoid default/legacy ordering
Type | Name
DATABASE | Redis
DATABASE | DB
# deployment stage 2: "JOB DEFAULT"
Rename me to avoid default/legacy ordering
<no service>
# deployment stage 3: "CONTAINER DEFAULT"
Rename me to avoid default/legacy ordering
Type | Name
CONTAINER | Rabbitmq
# deployment stage 4: "APPLICATION DEFAULT"
Rename me to avoid default/legacy ordering
Type | Name
APPLICATION | Backend
APPLICATION | Frontend
APPLICATION | Pablo Backend App
APPLICATION | API gateway
"""

RENAMED = """\
# deployment stage 1: "first stage"
Type | Name
DATABASE | Redis
DATABASE | DB
# deployment stage 2: "second stage"
<no service>
# deployment stage 3: "third stage"
Type | Name
CONTAINER | Rabbitmq
# deployment stage 4: "fourth stage"
Type | Name
APPLICATION | Backend
APPLICATION | Frontend
APPLICATION | Pablo Backend App
APPLICATION | API gateway
"""

MOVED = """\
# deployment stage 1: "first stage"
Type | Name
DATABASE | Redis
DATABASE | DB
# deployment stage 2: "second stage"
Type | Name
CONTAINER | Rabbitmq
# deployment stage 3: "third stage"
Type | Name
APPLICATION | Backend
# deployment stage 4: "fourth stage"
Type | Name
APPLICATION | Frontend
APPLICATION | Pablo Backend App
APPLICATION | API gateway
"""

EXAMPLE = f"""\
~ $ qovery environment stage list
{FIRST}\
~ $ qovery environment stage edit -n "DATABASE DEFAULT" --new-name "first stage"
Stage updated successfully
~ $ qovery environment stage edit -n "JOB DEFAULT" --new-name "second stage"
Stage updated successfully
~ $ qovery environment stage edit -n "CONTAINER DEFAULT" --new-name "third stage"
Stage updated successfully
~ $ qovery environment stage edit -n "APPLICATION DEFAULT" --new-name "fourth stage"
Stage updated successfully
~ $ qovery environment stage list
{RENAMED}\
~ $ qovery environment stage move -n Rabbitmq -s "second stage"
Application moved into stage "second stage"
~ $ qovery environment stage move -n Backend -s "third stage"
Application moved into stage "third stage"
~ $ qovery environment stage list
{MOVED}"""
"""The announcement's example: each command, and the output that it shows."""

COMMANDS = [
    "qovery auth",
    "qovery context set",
    "qovery environment stage list",
    "qovery environment stage create -n <name> -d <description>",
    "qovery environment stage edit -n <original name> --new-name <new name> --new-description <new description>",
    "qovery environment stage delete -n <name>",
    "qovery environment stage move -n <service name> --stage <stage name>",
    "qovery environment deploy",
    'qovery environment stage create -n "fifth stage"',
]
"""Each command that the announcement's text explains."""

VALUES = {
    "<name>": '"APPLICATION DEFAULT"',
    "<description>": '"smoke tests"',
    "<original name>": '"JOB DEFAULT"',
    "<new name>": '"second stage"',
    "<new description>": '"migrations"',
    "<service name>": "Redis",
    "<stage name>": '"JOB DEFAULT"',
}


def words(command: str) -> list[str]:
    """Return the words of a command as a shell splits them, without the program."""
    program, *rest = shlex.split(command)
    assert program == "qovery"
    return rest


def test_the_announcements_example_reads_as_announced(staging: Shell) -> None:
    for name, kind in SERVICES:
        staging.done("service", "add", "-n", name, "-t", kind, "--run", "true")
    for step in EXAMPLE.split("~ $ ")[1:]:
        command, _, output = step.partition("\n")
        assert output == staging.done(*words(command)).out, command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_announcement_works_word_for_word(staging: Shell, command: str) -> None:
    staging.done("service", "add", "-n", "Redis", "-t", "database", "--run", "true")
    for placeholder, value in VALUES.items():
        is_new = placeholder == "<name>" and " create " in command
        command = command.replace(placeholder, '"fifth stage"' if is_new else value)
    if command == "qovery context set":
        with staging.terminal(*words(command)) as terminal:  # it asks for both
            terminal.wait_for("Project (number or name)")
            terminal.type(staging.done("context", "current", "--json").json["project"])
            terminal.wait_for("Environment (number or name)")
            terminal.type("staging")
            assert terminal.end() == 0
        return
    staging.done(*words(command))


def test_a_new_stage_is_the_last_one_until_it_is_deleted(staging: Shell) -> None:
    before = staging.done("environment", "stage", "list").out
    created = staging.done("environment", "stage", "create", "-n", "fifth stage")
    assert created.out == "Stage created successfully\n"
    fifth = '# deployment stage 5: "fifth stage"\n<no service>\n'
    assert before + fifth == staging.done("environment", "stage", "list").out
    deleted = staging.done("environment", "stage", "delete", "-n", "fifth stage")
    assert deleted.out == "Stage deleted successfully\n"
    assert before == staging.done("environment", "stage", "list").out
