"""Properties of every aggregate that all environments, tokens or people are in."""

import gc
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any
from uuid import UUID

import pytest

from domain import access, actor, project, session
from domain.access import TokenId, TokenIssued, TokenRevoked
from domain.actor import ActorForgotten, ActorId, ProfileSet
from domain.decider import Decider
from domain.project import (
    EnvironmentId,
    EnvironmentNamed,
    EnvironmentNameFreed,
    ProjectCreated,
    ProjectDeleted,
    ProjectId,
    ProjectNamed,
    ProjectNameFreed,
    ProjectRenamed,
)
from domain.session import LinkId, LinkUsed, SessionEnded, SessionId


def environments(count: int) -> list[Any]:
    ids = [EnvironmentId(UUID(int=number)) for number in range(1, count + 1)]
    named = [EnvironmentNamed(environment=id_, name=f"e{id_}") for id_ in ids]
    renamed = [EnvironmentNamed(environment=id_, name=f"f{id_}") for id_ in ids[::3]]
    freed = [EnvironmentNameFreed(environment=id_) for id_ in ids[::2]]
    last = [ProjectRenamed(name="Store"), ProjectDeleted()]
    return [ProjectCreated(name="Shop"), *named, *renamed, *freed, *named[:1], *freed[-1:], *last]


def projects(count: int) -> list[Any]:
    ids = [ProjectId(UUID(int=number)) for number in range(1, count + 1)]
    named = [ProjectNamed(project=id_, name=f"{letter}{id_}") for letter in "ab" for id_ in ids]
    return [*named, *(ProjectNameFreed(project=id_) for id_ in ids[::2])]


def tokens(count: int) -> list[Any]:
    ids = [TokenId(UUID(int=number)) for number in range(1, count + 1)]
    issued = [TokenIssued(token=id_, name="ci", actor="ada", hash=str(id_)) for id_ in ids]
    return [*issued, *(TokenRevoked(token=id_) for id_ in ids[::2])]


def actors(count: int) -> list[Any]:
    ids = [ActorId(f"ada{number}") for number in range(1, count + 1)]
    return [
        *(ProfileSet(actor=id_, sealed="sealed") for id_ in ids),
        *(ActorForgotten(actor=id_) for id_ in ids[::2]),
        *(ProfileSet(actor=id_, sealed="anew") for id_ in ids[::4]),
    ]


def sessions(count: int) -> list[Any]:
    """Somebody signs out every minute, of sessions of any age, and somebody uses a link."""
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    ended = [
        SessionEnded(
            session=SessionId(UUID(int=number % (count - 1))),
            expires_at=noon + timedelta(minutes=number * 10 + number * 37 % 720),
        )
        for number in range(count)
    ]
    used = [
        LinkUsed(link=LinkId(UUID(int=number)), expires_at=noon + timedelta(seconds=number * 60 + number * 37 % 300))
        for number in range(count)
    ]
    return [event for pair in zip(ended, used, strict=True) for event in pair]


LARGE = pytest.mark.parametrize(
    ("decider", "history"),
    [
        (project.decider, environments),
        (project.catalog, projects),
        (access.decider, tokens),
        (actor.decider, actors),
        (session.decider, sessions),
    ],
)


@LARGE
def test_facts_that_are_folded_together_come_to_the_same_as_one_after_another(
    decider: Decider[Any, Any, Any], history: Callable[[int], Sequence[Any]]
) -> None:
    state, events = decider.initial, history(12)
    for number, event in enumerate(events, 1):
        state = decider.evolve(state, event)
        assert decider.replay(events[:number]) == state
        assert decider.replay(events[number:], state) == decider.replay(events)


@LARGE
def test_twice_as_many_facts_are_twice_the_work(
    decider: Decider[Any, Any, Any], history: Callable[[int], Sequence[Any]]
) -> None:
    some, many = (_calls(decider, history(count)) for count in (100, 200))
    assert many < 2.5 * some


def _calls(decider: Decider[Any, Any, Any], events: Sequence[Any]) -> int:
    """How many functions are called, and generators asked for their next, while *events* are folded in."""
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.disable()  # others have functions called whenever it collects
    sys.setprofile(count)
    try:
        decider.replay(events)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls
