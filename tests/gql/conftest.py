"""An application that the tests share, and environments of their own in it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gql.environment import Environment
from tests.gql.stageline import Stageline, served
from tests.postgres import created


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Leave all tests on PostgreSQL but the first one of each file to the long form.

    The log and the read models are held to all of it on PostgreSQL in `tests/store` and `tests/projections`.
    """
    tried: set[str] = set()
    for item in filter(_is_on_postgres, items):
        file = item.nodeid.partition("::")[0]
        if file in tried:
            item.add_marker("long")
        tried.add(file)


def _is_on_postgres(item: pytest.Item) -> bool:
    """Whether the shared application that *item* is tried on is."""
    return hasattr(item, "callspec") and item.callspec.params.get("stageline") == "postgres"


@pytest.fixture(scope="package", params=["sqlite", "postgres"])
def stageline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stageline]:
    """On either store. It ends with these tests: others stop the database."""
    with ExitStack() as stack:
        is_shared = request.param == "postgres"
        database = stack.enter_context(created(request.getfixturevalue("postgres"))) if is_shared else None
        yield stack.enter_context(served(tmp_path_factory.mktemp("stageline"), database=database))


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
