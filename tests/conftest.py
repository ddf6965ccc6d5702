"""
The fixtures that all tests share, and the two forms of the suite.

The short form keeps every promise, and repeats little: Hypothesis tries a quarter of its examples, the same ones each
time; storms and series of crashes are brief; and of each file of GraphQL's tests one is tried on PostgreSQL. With
`--long` all of it is tried.
"""

import gc
import signal

import pytest

from tests import examples
from tests.browser import browser
from tests.postgres import database, postgres, postgres_server

__all__ = ["browser", "database", "postgres", "postgres_server"]


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as nohup and a shell's & leave it; programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


gc.disable()  # until all tests are collected: collections of what stays would take nearly half of that time


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="Try everything: all examples, long storms, PostgreSQL.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: repeats what another test tries, so that the long form is enough")
    examples.load(is_long=config.getoption("--long"))


@pytest.hookimpl(trylast=True)  # after the folders' own, which mark
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_collection_finish() -> None:
    """Exclude modules and tests from later collections, which are many: tests count what is left of a connection."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether it is the long form that runs."""
    return bool(request.config.getoption("--long"))
