"""The fixtures of the schema's tests, which the endpoint's tests share."""

from tests.gql.conftest import *  # noqa: F403
