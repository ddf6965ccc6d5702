"""Statements that look into the database of a test."""

from typing import LiteralString

import psycopg


def select_number(database: str, statement: LiteralString) -> int:
    """Return the number that *statement* selects."""
    with psycopg.connect(database) as db:
        found = db.execute(statement).fetchone()
    assert found is not None
    return int(found[0])
