"""The garbage collector's thresholds, and what collections do that take long."""

import gc
import logging
from collections.abc import Iterator

import pytest

from server import garbage
from server.garbage import THRESHOLDS, Collections


@pytest.fixture
def callback() -> Iterator[None]:
    added, usual = Collections(), gc.get_threshold()
    gc.callbacks.append(added)
    gc.set_threshold(*THRESHOLDS)
    yield
    gc.callbacks.remove(added)
    gc.set_threshold(*usual)
    gc.unfreeze()


@pytest.mark.usefixtures("callback")
def test_a_slow_collection_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "SLOW", 3600.0)
    gc.collect()
    assert not caplog.records
    monkeypatch.setattr(garbage, "SLOW", 0.0)
    with caplog.at_level(logging.WARNING):
        gc.collect()
    assert "A garbage collection stopped the process for" in caplog.text


@pytest.mark.usefixtures("callback")
def test_full_collections_visit_no_object_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many objects stay, a full collection visits only the newest of them."""
    monkeypatch.setattr(garbage, "LONG", 0.0)
    staying: list[list[object]] = [[] for _ in range(400_000)]
    visited = {id(each) for each in gc.get_objects()}
    assert sum(id(each) in visited for each in staying) < 200_000
    assert id(staying[0]) not in visited


@pytest.mark.usefixtures("callback")
def test_a_short_full_collection_freezes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LONG", 3600.0)
    before = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() <= before
