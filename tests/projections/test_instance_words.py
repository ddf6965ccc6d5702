"""Words of the events of instances."""

from typing import get_args

import pytest
from msgspec.structs import replace

from domain.instance import InstanceDrifted, InstanceEvent, InstanceExit, InstanceLost, InstanceStatus
from projections.words.instance import instance_event_words
from tests.domain.test_instance import AT, ended, given_up, recovered, restarted, unhealthy

DOWN = replace(ended, status=InstanceStatus.EXITED)
ONE = "the instance of deployment 1"
WORDS: list[tuple[InstanceEvent, str]] = [
    (ended, f"{ONE} ended with exit code 1; it is restarted"),
    (
        replace(DOWN, last=InstanceExit(at=AT, signal="SIGSEGV")),
        f"{ONE} ended by SIGSEGV; it stays down",
    ),
    (
        replace(ended, last=InstanceExit(at=AT)),
        f"{ONE} ended without an exit code; it is restarted",
    ),
    (replace(ended, count=12), f"{ONE} ended 12 times, last with exit code 1; it is restarted"),
    (restarted, "restarted, 1 time in all"),
    (replace(restarted, count=12, restarts=40), "restarted 12 times, 40 in all"),
    (given_up, "given up after 1 restart"),
    (replace(given_up, restarts=10, problem="port 80 is in use"), "given up after 10 restarts: port 80 is in use"),
    (unhealthy, "unhealthy: no response"),
    (recovered, "healthy again"),
    (InstanceDrifted(instance=ended.instance, at=AT), "as it was applied again"),
    (
        InstanceDrifted(instance=ended.instance, at=AT, drift=("replicas 3, applied 2", "env KEY changed")),
        "changed on the target: replicas 3, applied 2; env KEY changed",
    ),
    (
        InstanceLost(instance=ended.instance, at=AT, problem="no container is left"),
        f"{ONE} is lost: no container is left",
    ),
]


@pytest.mark.parametrize(("event", "words"), WORDS, ids=[words for _, words in WORDS])
def test_every_event_of_an_instance_has_its_words(event: InstanceEvent, words: str) -> None:
    told = instance_event_words(event)
    assert told.message == f"web: {words}"
    assert told.subject.service is not None
    assert (told.subject.service.id, told.subject.service.name) == (event.instance.service, "web")


def test_no_event_is_left_out() -> None:
    assert {type(event) for event, _ in WORDS} == set(get_args(InstanceEvent))
