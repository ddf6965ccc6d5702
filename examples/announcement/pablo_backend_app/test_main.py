import unittest

from main import Reader


class ReaderTest(unittest.TestCase):
    def test_messages_are_counted(self) -> None:
        reader = Reader()
        for answer in ("MESSAGE visit 1", "EMPTY", "MESSAGE visit 2"):
            reader.take(answer)
        assert (reader.count, reader.last) == (2, "visit 2")
