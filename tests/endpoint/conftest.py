"""The fixtures of the schema's tests: the endpoint is tried with them."""

from tests.gql.conftest import *  # noqa: F403
