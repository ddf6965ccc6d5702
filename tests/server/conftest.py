from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gql.stageline import Stageline, served
from tests.postgres import created


@pytest.fixture
def stageline(tmp_path: Path) -> Iterator[Stageline]:
    """A server at its first start."""
    with served(tmp_path) as made:
        yield made


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """The address of a database with nothing in it."""
    with created(postgres, "template0") as dsn:
        yield dsn
