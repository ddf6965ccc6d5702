"""The garbage collector's thresholds, and collections that take long."""

import gc
import logging
from collections.abc import Iterator

import pytest

from server import garbage
from server.garbage import SlowCollections


@pytest.fixture
def callback() -> Iterator[None]:
    added = SlowCollections()
    gc.callbacks.append(added)
    yield
    gc.callbacks.remove(added)


@pytest.mark.usefixtures("callback")
def test_a_slow_collection_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "SLOW", 3600.0)
    gc.collect()
    assert not caplog.records
    monkeypatch.setattr(garbage, "SLOW", 0.0)
    with caplog.at_level(logging.WARNING):
        gc.collect()
    assert "A garbage collection stopped the process for" in caplog.text
