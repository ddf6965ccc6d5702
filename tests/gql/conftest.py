"""An application that the tests share, and environments of their own in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gql.environment import Environment
from tests.gql.stageline import Stageline, served


@pytest.fixture(scope="session")
def stageline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    with served(tmp_path_factory.mktemp("stageline")) as shared:
        yield shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stageline]:
    """An application that a test may stop, break and fill as it likes."""
    with served(tmp_path) as made:
        yield made


@pytest.fixture
def environment(stageline: Stageline) -> Iterator[Environment]:
    made = Environment(stageline)
    yield made
    made.close()
