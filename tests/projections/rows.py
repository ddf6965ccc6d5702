"""Stored rows, byte for byte."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from projections.engine.projection import Projection
from projections.engine.projector import Projector
from projections.engine.rows import StoredRow, stored_row
from projections.engine.views import ListPlace, Views
from projections.postgres.views import PostgresViews
from projections.sqlite.views import SqliteViews
from store.log import EventLog, RecordedEvent

Rows = dict[tuple[str, UUID], StoredRow]
"""Rows by kind and key, without their tags."""


def stored(path: Path) -> Rows:
    """Return the rows that can be read in the store at *path*."""
    with sqlite3.connect(path) as db:
        found = db.execute(
            "SELECT kind, key, parent, sort, position, document, ("
            "   SELECT json_group_array(json_array(p.parent, p.sort))"
            "   FROM places p JOIN checkpoints c USING (generation)"
            "   WHERE c.kind = documents.kind AND p.key = documents.key"
            ") FROM documents"
        ).fetchall()
    db.close()
    return {
        (kind, UUID(bytes=key)): stored_row(parent, sort, position, document, (), map(tuple, json.loads(places)))
        for kind, key, parent, sort, position, document, places in found
    }


def rows_of(views: Views) -> Rows:
    """Return the rows that can be read in *views*, also when the store is closed."""
    if isinstance(views, SqliteViews):
        return stored(Path(views._path))
    assert isinstance(views, PostgresViews)
    with psycopg.connect(views._pool.dsn) as db:
        found = db.execute(
            "SELECT kind, key, parent, sort, documents.position, document, ARRAY("
            "   SELECT ARRAY[p.parent, p.sort] FROM places p"
            "   WHERE p.generation = documents.generation AND p.key = documents.key"
            ") FROM documents JOIN checkpoints USING (generation)"
        ).fetchall()
    return {
        (kind, key): stored_row(parent, sort, position, document, (), map(tuple, places))
        for kind, key, parent, sort, position, document, places in found
    }


def expected(events: Sequence[RecordedEvent], projections: Sequence[Projection[Any]]) -> Rows:
    """Return the rows that must exist after *events*, each folded by itself."""
    rows: Rows = {}
    for each in projections:
        histories: dict[UUID, list[RecordedEvent]] = {}
        for recorded in events:
            key = each.key(recorded)
            if key is not None:
                histories.setdefault(key, []).append(recorded)
        for key, history in histories.items():
            view: Any = None
            for recorded in history:
                before, view = view, each.replay([recorded], view)
                for row in each.beside(before, view, recorded) if each.beside else ():
                    rows[each.name, row.key] = _row(row.place, row.position, row.document, row.places)
                for part, changed in (each.parts(before, view, recorded) if each.parts else {}).items():
                    rows.pop((each.name, part), None)
                    if changed is not None:
                        rows[each.name, part] = _row(changed.place, changed.position, changed.document, changed.places)
            if view is not None:
                places = each.places(view) if each.places else ()
                rows[each.name, key] = _row(each.place(view), history[-1].position, each.encode(view), places)
    return rows


def _row(place: ListPlace | None, position: int, document: bytes, places: Iterable[ListPlace]) -> StoredRow:
    parent, sort = (None, None) if place is None else (place.parent, place.sort)
    return stored_row(parent, sort, position, document, (), [(each.parent, each.sort) for each in places])


async def project(log: EventLog, path: Path, projections: Sequence[Projection[Any]]) -> Rows:
    """Project the log into the store at *path*, and return its rows."""
    views = await SqliteViews.open(path)
    projector = Projector(log, views, projections)
    await projector.start()
    await projector.wait_for(await log.position(), timeout=60)
    await projector.stop()
    await views.close()
    return stored(path)
