"""The root field `server`."""

from tests.gql.stageline import Stageline


def test_the_server_says_which_targets_it_offers(stageline: Stageline) -> None:
    assert stageline.ask("{ server { targets } }")["data"] == {"server": {"targets": ["PROCESS"]}}
