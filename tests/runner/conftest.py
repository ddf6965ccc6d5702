"""A target of processes, which are stopped whatever becomes of the test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.targets.process.executor import ProcessExecutor


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[ProcessExecutor]:
    executor = ProcessExecutor(tmp_path / "data")
    yield executor
    await executor.sweep(keep=())
