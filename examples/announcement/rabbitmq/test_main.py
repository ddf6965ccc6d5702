import unittest

from main import Broker


class BrokerTest(unittest.TestCase):
    def test_messages_come_out_in_their_order(self) -> None:
        broker = Broker()
        for text in ("first", "the second"):
            assert broker.answer(f"PUBLISH visits {text}") == "OK"
        assert broker.answer("GET visits") == "MESSAGE first"
        assert broker.answer("GET visits") == "MESSAGE the second"

    def test_queues_are_apart(self) -> None:
        broker = Broker()
        broker.answer("PUBLISH visits one")
        assert broker.answer("GET orders", patience=0.01) == "EMPTY"

    def test_what_it_does_not_know_is_an_error(self) -> None:
        assert Broker().answer("SUBSCRIBE visits").startswith("ERROR")
