import io
import unittest

from main import Store, read_command


class RedisTest(unittest.TestCase):
    def test_a_value_is_kept(self) -> None:
        store = Store()
        assert store.answer([b"GET", b"name"]) == b"$-1\r\n"
        assert store.answer([b"SET", b"name", b"Pablo"]) == b"+OK\r\n"
        assert store.answer([b"get", b"name"]) == b"$5\r\nPablo\r\n"

    def test_a_counter_counts_from_one(self) -> None:
        store = Store()
        assert [store.answer([b"INCR", b"visits"]) for _ in range(2)] == [b":1\r\n", b":2\r\n"]

    def test_a_command_is_read_from_a_client_and_from_a_hand(self) -> None:
        stream = io.BytesIO(b"*2\r\n$3\r\nGET\r\n$4\r\nname\r\nPING\r\n")
        assert [read_command(stream) for _ in range(3)] == [[b"GET", b"name"], [b"PING"], []]
