"""Streams on a PostgreSQL that two nodes share: what is essential of them, and to go on at the other node."""

from collections.abc import Iterator
from itertools import islice

import pytest

from tests.endpoint import test_broadcast, test_sse
from tests.endpoint.test_broadcast import EVENTS, change, event, frames
from tests.gql.environment import Environment
from tests.gql.stageline import Stageline, served
from tests.postgres import created

rendered = test_broadcast.rendered

test_an_event_is_rendered_once = test_broadcast.test_an_event_is_rendered_once_for_all_followers
test_who_asks_for_more = test_broadcast.test_a_follower_with_an_earlier_cursor_than_the_first_gets_all_events
test_a_cursor_is_followed = test_broadcast.test_the_cursor_of_an_answer_is_followed_without_a_gap_or_a_repeat
test_a_slow_client_misses_nothing = test_broadcast.test_a_slow_client_misses_nothing_and_delays_nobody
test_what_is_over_ends = test_broadcast.test_a_finished_stream_ends_for_a_follower_from_far_behind
test_the_newest_is_shared = test_broadcast.test_the_newest_payload_is_shared_and_a_late_follower_gets_it_at_once
test_a_hundred_clients_resume = (
    test_broadcast.test_a_hundred_clients_that_lose_their_connections_resume_without_a_gap_or_a_repeat
)
test_the_last_event_id = test_sse.test_a_stream_resumes_after_the_last_event_id


@pytest.fixture(scope="module")
def nodes(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stageline, Stageline]]:
    with created(postgres) as database, served(tmp_path_factory.mktemp("first"), database=database) as first:
        second = Stageline(tmp_path_factory.mktemp("second"), database=database, works=False)
        second.config = first.config  # which holds a token that is good here, too
        try:
            second.start()
            yield first, second
        finally:
            second.close()


@pytest.fixture(scope="module")
def stageline(nodes: tuple[Stageline, Stageline]) -> Stageline:
    return nodes[0]


@pytest.mark.parametrize("over", ["WebSocket", "event stream"])
def test_who_follows_one_node_while_another_writes_goes_on_at_that_one(
    nodes: tuple[Stageline, Stageline], environment: Environment, over: str
) -> None:
    """It is cut in the middle of what comes, again and again."""
    seen: list[int] = []
    cursor: str | None = None
    for number in range(7):
        node = nodes[1 - number % 2]
        if number < 6:
            change(environment, 3)  # on the first node
        size = 2 if number < 6 else len(environment.events()) - len(seen)
        variables = {"environment": environment.id, "after": cursor}
        if over == "WebSocket":
            with node.socket() as opened:
                taken = [event(frame) for frame in islice(frames(opened, EVENTS, **variables), size)]
                opened.connection.socket.close()
        else:
            place = {"last-event-id": cursor or ""}
            with test_sse.stream(node, EVENTS, {"environment": environment.id}, **place) as events:
                taken = [event(each["data"]) for each in islice(events, size)]
        seen += [each["logPosition"] for each in taken]
        cursor = taken[-1]["cursor"]
    assert seen == [each["logPosition"] for each in environment.events()]


def test_what_one_node_writes_while_it_is_followed_on_another_comes_at_once(
    nodes: tuple[Stageline, Stageline], environment: Environment
) -> None:
    begun = len(environment.events())
    with nodes[1].socket() as opened:
        following = frames(opened, EVENTS, environment=environment.id)
        seen = list(islice(following, begun))
        for number in range(5):
            environment.do("createStage", name=f"Checks {number}")
            seen.append(next(following))
    assert [event(frame)["logPosition"] for frame in seen] == [each["logPosition"] for each in environment.events()]
