"""The history: complete, searchable, and in pages of any size, on every store."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest

from domain import pipeline as pipelines
from domain.access import ACCESS, TokenId, TokenIssued, TokenRevoked
from domain.pipeline.state import PipelineEvent
from domain.project import EnvironmentId
from domain.role import Place
from projections import history, pipeline
from projections.engine.projector import Projector
from projections.engine.views import Slice, Views
from projections.event import PipelineStory
from projections.history import History, HistoryQuery, HistoryView
from projections.pipeline import Pipelines
from projections.words.pipeline import pipeline_event_words
from store import ids
from store.log import Event, EventLog, Origin, RecordedEvent, StreamChange
from store.memory import MemoryLog
from tests.projections.world import RandomWorld
from tests.store.sample import ANN

EVENTS = pipelines.decider.events


async def settle(log: EventLog, views: Views) -> list[RecordedEvent]:
    """Project all events, and return those of pipelines, newest first."""
    projector = Projector(log, views, [pipeline.projection])
    await projector.start()
    await projector.wait_for(await log.position(), timeout=60)
    await projector.stop()
    return [each for each in reversed(await log.read_all(limit=10_000)) if isinstance(each.event, EVENTS)]


async def everything(rows: History, wanted: HistoryQuery, size: int) -> list[HistoryView]:
    """Read all pages from the newest to the oldest, and check that the other direction gives the same."""
    found: list[HistoryView] = []
    after: str | None = None
    while True:
        page = await rows.list(wanted, Slice(first=size, after=after))
        found += [edge.node for edge in page.edges]
        assert page.has_previous == (after is not None)
        if not page.has_next:
            break
        after = page.edges[-1].cursor
    backward: list[HistoryView] = []
    before: str | None = None
    while True:
        page = await rows.list(wanted, Slice(last=size, before=before))
        backward[:0] = [edge.node for edge in page.edges]
        if not page.has_previous:
            break
        before = page.edges[0].cursor
    assert backward == found
    return found


async def test_every_event_has_a_row_with_the_words_of_its_story(memory: MemoryLog, views: Views) -> None:
    world = RandomWorld(memory, seed=5)
    await world.begin()
    await world.live(150)
    events = await settle(memory, views)
    found = await everything(History(views, memory), HistoryQuery(), 50)
    assert [(view.id, view.position, view.version, view.recorded_at, view.by) for view in found] == [
        (each.id, each.position, each.version, each.recorded_at, each.by) for each in events
    ]
    assert [view.event for view in found] == [each.event for each in events]
    stories: dict[UUID, PipelineStory] = {}
    for each, view in zip(reversed(events), reversed(found), strict=True):
        message = stories.setdefault(each.stream, PipelineStory()).describe(each).message
        assert pipeline_event_words(view.before, view.event).message == message


def _subjects(event: PipelineEvent) -> set[object]:
    return {getattr(event, field, None) for field in ("stage", "service", "source", "target")}


async def test_a_query_finds_the_matching_events(log: EventLog, views: Views) -> None:
    world = RandomWorld(log, seed=11)
    await world.begin()
    await world.live(120)
    events, rows = await settle(log, views), History(views, log)
    chance = Random(1)

    async def check(wanted: HistoryQuery, is_wanted: Callable[[RecordedEvent], bool]) -> None:
        found = await everything(rows, wanted, chance.choice([1, 7, 50]))
        assert [view.position for view in found] == [each.position for each in events if is_wanted(each)]

    some, other = chance.choice(events), chance.choice(events)
    types = (type(some.event).__name__, type(other.event).__name__)
    early, late = sorted((some.position, other.position))
    await check(HistoryQuery(types=types), lambda each: type(each.event).__name__ in types)
    await check(
        HistoryQuery(environment=world.environments[0], types=types[:1]),
        lambda each: each.stream == world.environments[0] and type(each.event).__name__ == types[0],
    )
    await check(HistoryQuery(origins=(Origin.API,), actors=("ada",)), lambda each: each.by.actor == "ada")
    await check(HistoryQuery(actors=("nobody",)), lambda _: False)
    await check(HistoryQuery(first=early, last=late), lambda each: early <= each.position <= late)
    times = sorted((some.recorded_at, other.recorded_at))
    await check(HistoryQuery(since=times[0], until=times[1]), lambda each: times[0] <= each.recorded_at <= times[1])
    moment = timedelta(microseconds=1)
    await check(
        HistoryQuery(since=times[0] + moment, until=times[1] - moment),
        lambda each: times[0] < each.recorded_at < times[1],
    )
    project = world.projects[0]
    owned = {stream for stream in world.environments if await _project(log, views, stream) == project}
    await check(HistoryQuery(project=project), lambda each: each.stream in owned)
    here = Place(project=project, environment=world.environments[0])
    await check(HistoryQuery(seen=(here,)), lambda each: each.stream == world.environments[0])
    await check(HistoryQuery(seen=(Place(project=project),)), lambda each: each.stream in owned)
    await check(HistoryQuery(seen=()), lambda _: False)


async def _project(log: EventLog, views: Views, stream: UUID) -> object:
    view = await Pipelines(log, views).get(EnvironmentId(stream))
    return view and view.project


TEXTS = [
    "moved",
    "MOVED  from",
    "strasse ärger",
    "日本",
    "a reason",
    "\"'&|!:*()",
    "a rea",
    "mov from",
    "nothing of it",
    *"xgwt",
    "g1",
]


def _has(own: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Return whether *own* has all of *wanted*; the last may be a prefix."""
    *whole, last = wanted or ("",)
    return set(whole) <= set(own) and any(word.startswith(last) for word in own)


async def test_words_are_found_and_the_last_one_by_its_prefix(log: EventLog, views: Views) -> None:
    world = RandomWorld(log, seed=2)
    await world.begin()
    await world.live(150)
    stories: dict[UUID, PipelineStory] = {}
    words: dict[int, tuple[str, ...]] = {}
    for each in reversed(await settle(log, views)):
        message = stories.setdefault(each.stream, PipelineStory()).describe(each).message
        words[each.position] = history.words(f"{message} {each.by.reason}")
    for text in TEXTS:
        found = await everything(History(views, log), HistoryQuery(text=text), 500)
        assert [view.position for view in reversed(found)] == [
            position for position, own in words.items() if _has(own, history.words(text))
        ]


def test_a_tag_of_a_word_has_ascii_letters_and_digits_only() -> None:
    assert history.words("Straße_X2 – ÄRGER, 日本!") == ("wstrasse", "wx2", "wu0000e4rger", "wu0065e5u00672c")


async def test_the_names_of_tokens_are_read_once(
    memory: MemoryLog, views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of revoked tokens, and of tokens that another node issued meanwhile."""
    tokens = [TokenId(ids.new()) for _ in range(3)]
    issued = [TokenIssued(token=token, name=f"token {n}", actor="ann", hash=str(n)) for n, token in enumerate(tokens)]
    await memory.append(
        [StreamChange(stream=ACCESS, expected=0, events=(*issued[:2], TokenRevoked(token=tokens[0])))], ANN
    )
    read, events = [], memory.events

    async def counted(stream: UUID, after: int = 0) -> Sequence[Event]:
        found = await events(stream, after)
        read.append(len(found))
        return found

    monkeypatch.setattr(memory, "events", counted)
    rows = History(views, memory)
    for _ in range(3):
        names = await rows.token_names(set(tokens[:2]))
        assert [names[token] for token in tokens[:2]] == ["token 0", "token 1"]
    await memory.append([StreamChange(stream=ACCESS, expected=3, events=(issued[2],))], ANN)
    assert (await rows.token_names(set(tokens)))[tokens[2]] == "token 2"
    assert tokens[0] not in await History(views, MemoryLog()).token_names(set(tokens))
    assert read == [3, 1]
