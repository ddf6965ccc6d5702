"""
What happened to pipelines, the newest first: to one environment's, to those of a project, or to all.

Every event has a row of its own, written once beside its pipeline's, with what the pipeline was before it. A row is
found by its tags: whose it is, what it is about, who did it, and the words that tell it.
"""

import re
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from functools import cache, lru_cache
from hashlib import blake2b
from typing import cast, get_args, get_type_hints
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from domain import name as names
from domain.access import ACCESS, TokenIssued
from domain.pipeline import Pipeline, PipelineEvent
from domain.project import EnvironmentId, ProjectId
from domain.service import Service, ServiceId
from domain.stage import StageId
from projections.views import Edge, Filter, Page, Place, Row, Slice, Views
from projections.words import pipeline_words
from store import codec
from store.log import Author, EventLog, Origin, Recorded

KIND = "pipeline"  # whose rows these stand beside
PARENT = "history"

WORD = re.compile(r"[^\W_]+")


class HistoryView(Struct, frozen=True, kw_only=True):
    """An event as it is stored, of a pipeline that was *before*: of that there is only what the event speaks of."""

    id: UUID
    position: int
    environment: EnvironmentId
    project: ProjectId
    version: int
    name: str
    state: Raw
    recorded_at: datetime
    by: Author
    before: Pipeline

    @property
    def event(self) -> PipelineEvent:
        return cast("PipelineEvent", codec.decode(self.name, bytes(self.state)))

    @property
    def type(self) -> str:
        """The event's name without that of its family."""
        return _type(self.name)


class HistoryFilter(Struct, frozen=True, kw_only=True):
    """Which events are asked for: each field narrows, within one any value will do, and an empty one lets all through.

    *text*: its words are words of the message or the reason, or, the last of them, begins one. *since* and *until* are
    times, *first* and *last* positions; each is included.
    """

    environment: EnvironmentId | None = None
    project: ProjectId | None = None
    types: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    stages: tuple[StageId, ...] = ()
    services: tuple[ServiceId, ...] = ()
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    first: int = 1
    last: int | None = None


def row(before: Pipeline, project: ProjectId, recorded: Recorded) -> Row:
    """The row of an event of a pipeline that was *before*."""
    event = cast("PipelineEvent", recorded.event)
    subjects = _subjects(event)
    cut = _cut(before, subjects)
    view = HistoryView(
        id=recorded.id,
        position=recorded.position,
        environment=EnvironmentId(recorded.stream),
        project=project,
        version=recorded.version,
        name=recorded.name,
        state=Raw(codec.encode(event)),
        recorded_at=recorded.recorded_at,
        by=recorded.by,
        before=cut,
    )
    return Row(
        key=recorded.id,
        place=Place(PARENT, _sort(recorded.position)),
        position=recorded.position,
        document=_encoder.encode(view),
        tags=_tags(view, event, subjects),
    )


def _type(name: str) -> str:
    return name.rpartition(".")[2]


def _sort(position: int) -> str:
    return f"{position:016}"


def _subjects(event: PipelineEvent) -> set[int]:
    """The stages and services that *event* speaks of: their ids' integers, compared much quicker than UUIDs."""
    return {id_.int for field in _fields(type(event)) if (id_ := getattr(event, field)) is not None}


@cache
def _fields(event: type[PipelineEvent]) -> tuple[str, ...]:
    """Those that hold the id of a stage or a service."""
    hints = get_type_hints(event)
    return tuple(field for field, hint in hints.items() if {StageId, ServiceId} & {hint, *get_args(hint)})


def _cut(before: Pipeline, subjects: set[int]) -> Pipeline:
    stages = []
    for stage in before.stages:
        services: tuple[Service, ...] = ()
        for service in stage.services:  # a comprehension for every stage takes longer
            if service.id.int in subjects:
                services = (*services, service)
        if services or stage.id.int in subjects:
            stages.append(replace(stage, services=services))
    return replace(before, stages=tuple(stages))


def _tags(view: HistoryView, event: PipelineEvent, subjects: set[int]) -> tuple[str, ...]:
    """The stages of *view* are those that *event* speaks of, or where a service stands of which it does."""
    text, by = pipeline_words(view.before, event), view.by
    about = subjects.union([stage.id.int for stage in view.before.stages])
    facets = _facets(view.environment.int, view.project.int, by.actor, by.origin, view.name, *about)
    return facets + _told(f"{text} {by.reason}" if by.reason else text)


@lru_cache(10_000)  # the same few come again and again
def _facets(environment: int, project: int, actor: str, origin: Origin, name: str, *subjects: int) -> tuple[str, ...]:
    return (
        _id_tag("environment", environment),
        _id_tag("project", project),
        _tag("actor", actor),
        _tag("origin", origin),
        _tag("type", _type(name)),
        *[_id_tag("subject", id_) for id_ in subjects],
    )


@lru_cache(50_000)
def _id_tag(facet: str, id_: int) -> str:
    return _tag(facet, UUID(int=id_))


@lru_cache(1_000)
def _tag(facet: str, value: object) -> str:
    return "x" + blake2b(f"{facet}:{value}".encode(), digest_size=8).hexdigest()


@lru_cache(1_000)
def _told(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words(text)))


def words(text: str) -> tuple[str, ...]:
    """The tags of the words in *text*, in letters that every database takes for letters.

    What begins a word begins its tag; a `w` tells them from other tags.
    """
    return tuple(f"w{word if word.isascii() else _spelt(word)}" for word in WORD.findall(names.key(text)))


def _spelt(word: str) -> str:
    return "".join(letter if letter.isascii() else f"u{ord(letter):06x}" for letter in word)


class History:
    """Rows of events; as new as the read models are."""

    def __init__(self, views: Views, log: EventLog) -> None:
        self._views = views
        self._log = log
        self._token_names: dict[UUID, str] = {}  # the revoked ones as well; no name ever changes
        self._named = 0  # the version of the stream of tokens up to which those are all

    async def token_names(self, tokens: Set[UUID]) -> Mapping[UUID, str]:
        """The names of *tokens*, and of any others; a token that isn't among them there never was."""
        if not self._token_names.keys() >= tokens:
            after = self._named
            events = await self._log.events(ACCESS, after)
            self._token_names |= {event.token: event.name for event in events if isinstance(event, TokenIssued)}
            self._named = max(self._named, after + len(events))
        return self._token_names

    async def list(self, wanted: HistoryFilter, part: Slice) -> Page[HistoryView]:
        """The newest first; raises `InvalidArgument` for what is no cursor."""
        (page,) = await self.list_all([wanted], part)
        return page

    async def list_all(self, wanted: Sequence[HistoryFilter], part: Slice) -> Sequence[Page[HistoryView]]:
        """The same for each of *wanted*, as soon as for one."""
        narrowed = [Filter(tags=_groups(each), **await self._bounds(each)) for each in wanted]
        pages = await self._views.list_all(KIND, PARENT, part, narrowed, is_descending=True)
        return [
            Page(
                edges=tuple(Edge(edge.cursor, _decoder.decode(edge.node)) for edge in page.edges),
                has_previous=page.has_previous,
                has_next=page.has_next,
            )
            for page in pages
        ]

    async def _bounds(self, wanted: HistoryFilter) -> dict[str, str]:
        bounds = {}
        first, last = wanted.first, wanted.last
        if wanted.since is not None:
            first = max(first, await self._first(wanted.since, is_included=True))
        if wanted.until is not None:
            end = await self._first(wanted.until, is_included=False) - 1
            last = end if last is None else min(last, end)
        if first > 1:
            bounds["since"] = _sort(first)
        if last is not None:
            bounds["until"] = _sort(last)
        return bounds

    async def _first(self, moment: datetime, *, is_included: bool) -> int:
        """The position of the first event after *moment* (or at it); times never go back in the log."""
        low, high = 1, await self._log.position() + 1
        while low < high:
            middle = (low + high) // 2
            (recorded,) = await self._log.read_all(after=middle - 1, limit=1)
            at = recorded.recorded_at
            if at > moment or (is_included and at == moment):
                high = middle
            else:
                low = middle + 1
        return low


def _groups(wanted: HistoryFilter) -> tuple[tuple[str, ...], ...]:
    facets: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("environment", (wanted.environment,) if wanted.environment else ()),
        ("project", (wanted.project,) if wanted.project else ()),
        ("type", wanted.types),
        ("actor", wanted.actors),
        ("origin", wanted.origins),
        ("subject", wanted.stages),
        ("subject", wanted.services),
    )
    groups = [tuple(_tag(facet, value) for value in values) for facet, values in facets if values]
    *whole, last = words(wanted.text) or ("",)
    return (*groups, *((word,) for word in whole), *([(f"{last}*",)] if last else []))


_decoder = msgspec.json.Decoder(HistoryView)
_encoder = msgspec.json.Encoder()
