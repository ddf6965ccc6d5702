import sqlite3
import unittest

from main import query
from migrate import migrate


class DatabaseTest(unittest.TestCase):
    def setUp(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.addCleanup(self.database.close)
        migrate(self.database)

    def test_the_greetings_go_round(self) -> None:
        texts = [query(f"/greeting/{visit}", self.database)[1] for visit in (1, 2, 6)]
        assert texts == ["Hello", "Bonjour", "Hello"]

    def test_migrating_twice_changes_nothing(self) -> None:
        migrate(self.database)
        assert self.database.execute("SELECT count(*) FROM greeting").fetchone() == (5,)
