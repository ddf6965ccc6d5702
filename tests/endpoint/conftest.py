"""The fixtures of the schema's tests, which the endpoint's tests share."""

import gc
from collections.abc import Iterator

import pytest

from tests.gql.conftest import *  # noqa: F403


@pytest.fixture
def no_collections() -> Iterator[None]:
    """No automatic collections."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
