"""Brings the database to its newest schema: the build. What is there already is left as it is."""

import sqlite3
from pathlib import Path

FILE = Path(__file__).parent / "data" / "shop.db"

MIGRATIONS = [
    "CREATE TABLE greeting (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    "INSERT INTO greeting (text) VALUES ('Hello'), ('Bonjour'), ('¡Hola!'), ('Guten Tag'), ('Ciao')",
    "CREATE UNIQUE INDEX greeting_text ON greeting (text)",
]


def migrate(database: sqlite3.Connection) -> None:
    (done,) = database.execute("PRAGMA user_version").fetchone()
    for number, statement in enumerate(MIGRATIONS[done:], start=done + 1):
        with database:
            database.execute(statement)
            database.execute(f"PRAGMA user_version = {number}")
        print(f"migration {number}: {statement}", flush=True)
    print(f"the schema is at version {len(MIGRATIONS)}")


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    migrate(sqlite3.connect(FILE))
