"""The logs that the use cases are tested on."""

from tests.store.conftest import log

__all__ = ["log"]
