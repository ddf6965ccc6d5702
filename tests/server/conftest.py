from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gql.stageline import Stageline, served


@pytest.fixture
def stageline(tmp_path: Path) -> Iterator[Stageline]:
    """A server at its first start."""
    with served(tmp_path) as made:
        yield made
