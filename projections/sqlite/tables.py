"""Tables of the store of read models on SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

LAYOUT = 3
"""Version of the tables. Raise it with every change to them: they are then dropped and rebuilt from the log."""

TABLES = """
    CREATE TABLE checkpoints (
        kind TEXT PRIMARY KEY, version INTEGER NOT NULL, generation INTEGER NOT NULL, epoch TEXT NOT NULL,
        position INTEGER NOT NULL, hash BLOB NOT NULL
    );
    CREATE TABLE generations (generation INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL);
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, key BLOB NOT NULL, parent TEXT, sort TEXT,
        position INTEGER NOT NULL, document BLOB NOT NULL, tags TEXT, UNIQUE (generation, key)
    );
    CREATE INDEX rows_by_place ON rows (generation, parent, sort, key) WHERE parent IS NOT NULL;
    CREATE TABLE places (
        generation INTEGER NOT NULL, parent TEXT NOT NULL, sort TEXT NOT NULL, key BLOB NOT NULL, id INTEGER NOT NULL,
        PRIMARY KEY (generation, parent, sort, key)
    ) WITHOUT ROWID;
    CREATE INDEX places_by_row ON places (id);
    CREATE VIRTUAL TABLE tagged USING fts5(
        tags, content='', detail=none, columnsize=0, tokenize='unicode61 remove_diacritics 0'
    );
    CREATE TABLE parked (
        generation INTEGER NOT NULL, position INTEGER NOT NULL, stream BLOB NOT NULL, name TEXT NOT NULL,
        error TEXT NOT NULL, PRIMARY KEY (generation, position)
    );
    CREATE VIEW documents AS
        SELECT kind, key, parent, sort, rows.position, document FROM rows JOIN checkpoints USING (generation);
"""
DROP = """
    DROP VIEW IF EXISTS documents; DROP TABLE IF EXISTS parked; DROP TABLE IF EXISTS tagged;
    DROP TABLE IF EXISTS places; DROP TABLE IF EXISTS rows;
    DROP TABLE IF EXISTS generations; DROP TABLE IF EXISTS checkpoints;
"""


def make(db: sqlite3.Connection) -> None:
    """Create the tables, and replace those of another layout."""
    with transaction(db, "IMMEDIATE"):
        ((layout,),) = db.execute("PRAGMA user_version")
        if layout != LAYOUT:
            for statement in (DROP + TABLES).split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {LAYOUT}")


@contextmanager
def transaction(db: sqlite3.Connection, mode: str) -> Iterator[None]:
    """Run the block in a transaction of that mode."""
    db.execute(f"BEGIN {mode}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite rolls back by itself after some faults, such as a full disk
            db.execute("ROLLBACK")
        raise
