"""
The history of pipelines, newest first: of one environment, of a project, or of all.

Every event has its own row, written once beside the row of its pipeline, with the pipeline before the event. Tags find
a row: environment, project, subjects, actor, origin, type, and the words of the event.
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
from domain.pipeline.ref import ServiceId, StageId
from domain.pipeline.service import Service
from domain.pipeline.state import Pipeline, PipelineEvent
from domain.project import EnvironmentId, ProjectId
from domain.role import Place
from domain.secret import Secrets
from projections.engine.views import ListPlace, Page, PageEdge, RowFilter, Slice, ViewRow, Views
from projections.words.pipeline import pipeline_event_words
from store import codec
from store.log import Author, EventLog, Origin, RecordedEvent

KIND = "pipeline"
"""Kind of the rows; they stand beside those of the pipelines."""

PARENT = "history"
"""Parent of the rows in their list."""

WORD = re.compile(r"[^\W_]+")
"""A word of a text."""

NO_ROW = "x"
"""A tag that no row has."""


class HistoryView(Struct, frozen=True, kw_only=True):
    """An event in its stored form, with the pipeline *before* it, cut down to the subjects of the event."""

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
        """Name of the event without its family."""
        return _type(self.name)


class HistoryQuery(Struct, frozen=True, kw_only=True):
    """A query of the history. Each field narrows it; any value of a field matches; an empty field matches all events.

    Every word of *text* is a word of the message or of the reason; the last may be the beginning of one. *since* and
    *until* are times, *first* and *last* positions, all inclusive. *seen* are the places that the reader may see; None
    for everything.
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
    seen: tuple[Place, ...] | None = None


def row(before: Pipeline, project: ProjectId, recorded: RecordedEvent) -> ViewRow:
    """Return the row of an event; *before* is the pipeline before it."""
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
    return ViewRow(
        key=recorded.id,
        place=ListPlace(PARENT, _sort(recorded.position)),
        position=recorded.position,
        document=_encoder.encode(view),
        tags=_tags(view, event, subjects),
    )


def _type(name: str) -> str:
    return name.rpartition(".")[2]


def _sort(position: int) -> str:
    return f"{position:016}"


def _subjects(event: PipelineEvent) -> set[int]:
    """Return the ids of the stages and services in *event*, as integers, which are faster to compare than UUIDs."""
    return {id_.int for field in _fields(type(event)) if (id_ := getattr(event, field)) is not None}


@cache
def _fields(event: type[PipelineEvent]) -> tuple[str, ...]:
    """Return the fields that hold the id of a stage or a service."""
    hints = get_type_hints(event)
    return tuple(field for field, hint in hints.items() if {StageId, ServiceId} & {hint, *get_args(hint)})


def _cut(before: Pipeline, subjects: set[int]) -> Pipeline:
    """Return *before* with the *subjects*, and the stages of those that are services."""
    stages = []
    for stage in before.stages:
        services: tuple[Service, ...] = ()
        for service in stage.services:  # faster than a comprehension for every stage
            if service.id.int in subjects:
                services = (*services, service)
        if services or stage.id.int in subjects:
            stages.append(replace(stage, services=services))
    return replace(before, stages=tuple(stages), secrets=_named(before.secrets))


def _named(secrets: Secrets) -> Secrets:
    """Return *secrets* without what is sealed: the words of an event need only their names."""
    entries = tuple(replace(secret, sealed="") for secret in secrets.entries)
    return replace(secrets, entries=entries, replaced=()) if entries or secrets.replaced else secrets


def _tags(view: HistoryView, event: PipelineEvent, subjects: set[int]) -> tuple[str, ...]:
    text, by = pipeline_event_words(view.before, event).message, view.by
    ids = subjects.union([stage.id.int for stage in view.before.stages])
    facets = _facets(view.environment.int, view.project.int, by.actor, by.origin, view.name, *ids)
    return facets + _word_tags(f"{text} {by.reason}" if by.reason else text)


@lru_cache(1_000)  # a few values come again and again
def _facets(environment: int, project: int, actor: str, origin: Origin, name: str, *subjects: int) -> tuple[str, ...]:
    return (
        _id_tag("environment", environment),
        _id_tag("project", project),
        _tag("actor", actor),
        _tag("origin", origin),
        _tag("type", _type(name)),
        *[_id_tag("subject", id_) for id_ in subjects],
    )


@lru_cache(5_000)
def _id_tag(facet: str, id_: int) -> str:
    return _tag(facet, UUID(int=id_))


@lru_cache(1_000)
def _tag(facet: str, value: object) -> str:
    return "x" + blake2b(f"{facet}:{value}".encode(), digest_size=8).hexdigest()


@lru_cache(1_000)
def _word_tags(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words(text)))


def words(text: str) -> tuple[str, ...]:
    """Return the tags of the words in *text*, in letters and digits of ASCII, which every database accepts.

    A prefix of a word is a prefix of its tag, without the `w` that tells them from other tags.
    """
    return tuple(f"w{word if word.isascii() else _spell(word)}" for word in WORD.findall(names.key(text)))


def _spell(word: str) -> str:
    return "".join(letter if letter.isascii() else f"u{ord(letter):06x}" for letter in word)


class History:
    """Reads the history, as new as the read models."""

    def __init__(self, views: Views, log: EventLog) -> None:
        self._views = views
        self._log = log
        self._token_names: dict[UUID, str] = {}  # also of revoked tokens; no name ever changes
        self._token_version = 0  # version of the stream of tokens that the names are from

    async def token_names(self, tokens: Set[UUID]) -> Mapping[UUID, str]:
        """Return the names of *tokens*, and of others; a token without a name never existed."""
        if not self._token_names.keys() >= tokens:
            after = self._token_version
            events = await self._log.events(ACCESS, after)
            self._token_names |= {event.token: event.name for event in events if isinstance(event, TokenIssued)}
            self._token_version = max(self._token_version, after + len(events))
        return self._token_names

    async def list(self, query: HistoryQuery, part: Slice) -> Page[HistoryView]:
        """Return a page, newest first; raise `InvalidArgument` for an invalid cursor."""
        (page,) = await self.list_all([query], part)
        return page

    async def list_all(self, queries: Sequence[HistoryQuery], part: Slice) -> Sequence[Page[HistoryView]]:
        """Return a page for each query, in the time of one."""
        filters = [RowFilter(tags=_groups(each), **await self._bounds(each)) for each in queries]
        pages = await self._views.list_all(KIND, PARENT, part, filters, is_descending=True)
        return [
            Page(
                edges=tuple(PageEdge(edge.cursor, _decoder.decode(edge.node)) for edge in page.edges),
                has_previous=page.has_previous,
                has_next=page.has_next,
            )
            for page in pages
        ]

    async def _bounds(self, query: HistoryQuery) -> dict[str, str]:
        bounds = {}
        first, last = query.first, query.last
        if query.since is not None:
            first = max(first, await self._first(query.since, is_included=True))
        if query.until is not None:
            end = await self._first(query.until, is_included=False) - 1
            last = end if last is None else min(last, end)
        if first > 1:
            bounds["since"] = _sort(first)
        if last is not None:
            bounds["until"] = _sort(last)
        return bounds

    async def _first(self, moment: datetime, *, is_included: bool) -> int:
        """Return the position of the first event after *moment*, or at it if *is_included*.

        It is found by bisection, because times never decrease in the log.
        """
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


def _groups(query: HistoryQuery) -> tuple[tuple[str, ...], ...]:
    facets: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("environment", (query.environment,) if query.environment else ()),
        ("project", (query.project,) if query.project else ()),
        ("type", query.types),
        ("actor", query.actors),
        ("origin", query.origins),
        ("subject", query.stages),
        ("subject", query.services),
    )
    groups = [tuple(_tag(facet, value) for value in values) for facet, values in facets if values]
    if query.seen is not None:
        groups.append(tuple(_seen(place) for place in query.seen) or (NO_ROW,))
    *whole, last = words(query.text) or ("",)
    return (*groups, *((word,) for word in whole), *([(f"{last}*",)] if last else []))


def _seen(place: Place) -> str:
    return _tag("project", place.project) if place.environment is None else _tag("environment", place.environment)


_decoder = msgspec.json.Decoder(HistoryView)
_encoder = msgspec.json.Encoder()
