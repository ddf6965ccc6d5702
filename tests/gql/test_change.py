"""Every event of a pipeline has a GraphQL type."""

from typing import get_args

from domain.pipeline.state import PipelineEvent
from gql.types.change import NAMES, TYPES


def test_every_event_has_a_type_of_its_name() -> None:
    assert {type_.__name__ for type_ in TYPES} == {
        NAMES.get(event, event.__name__) for event in get_args(PipelineEvent)
    }
