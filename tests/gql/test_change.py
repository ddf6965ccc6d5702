"""Every event of a pipeline has a GraphQL type."""

from typing import get_args

from domain.pipeline.state import PipelineEvent
from gql.types.change import TYPES


def test_every_event_has_a_type_of_the_same_name() -> None:
    assert {type_.__name__ for type_ in TYPES} == {event.__name__ for event in get_args(PipelineEvent)}
