"""The announcement's example, as it tells it: three listings, line for line, and the answers in between."""

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


def test_the_announcements_example_reads_as_announced(staging: Shell) -> None:
    for name, kind in SERVICES:
        staging.done("service", "add", "-n", name, "-t", kind, "--run", "true")
    assert staging.done("environment", "stage", "list").out == FIRST

    for old, new in [
        ("DATABASE DEFAULT", "first stage"),
        ("JOB DEFAULT", "second stage"),
        ("CONTAINER DEFAULT", "third stage"),
        ("APPLICATION DEFAULT", "fourth stage"),
    ]:
        edited = staging.done("environment", "stage", "edit", "-n", old, "--new-name", new)
        assert edited.out == "Stage updated successfully\n"
    assert staging.done("environment", "stage", "list").out == RENAMED

    moved = staging.done("environment", "stage", "move", "-n", "Rabbitmq", "-s", "second stage")
    assert moved.out == 'Application moved into stage "second stage"\n'
    moved = staging.done("environment", "stage", "move", "-n", "Backend", "--stage", "third stage")
    assert moved.out == 'Application moved into stage "third stage"\n'
    assert staging.done("environment", "stage", "list").out == MOVED

    created = staging.done("environment", "stage", "create", "-n", "fifth stage")
    assert created.out == "Stage created successfully\n"
    fifth = '# deployment stage 5: "fifth stage"\n<no service>\n'
    assert MOVED + fifth == staging.done("environment", "stage", "list").out
    deleted = staging.done("environment", "stage", "delete", "-n", "fifth stage")
    assert deleted.out == "Stage deleted successfully\n"
    assert staging.done("environment", "stage", "list").out == MOVED
