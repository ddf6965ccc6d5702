import unittest
from unittest.mock import patch

import clients
import main


class BackendTest(unittest.TestCase):
    def test_a_command_is_written_as_redis_reads_it(self) -> None:
        assert clients.resp("INCR", "visits") == b"*2\r\n$4\r\nINCR\r\n$6\r\nvisits\r\n"

    def test_a_visit_is_counted_greeted_and_published(self) -> None:
        with (
            patch("clients.count_visit", return_value=3),
            patch("clients.greeting", return_value="¡Hola!"),
            patch("clients.publish") as publish,
        ):
            assert main.hello() == {"greeting": "¡Hola!", "visit": 3}
        publish.assert_called_once_with("visit 3")
