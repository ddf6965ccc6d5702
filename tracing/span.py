"""
The spans of a trace, for all rooms.

A span is a piece of work with a start, an end and attributes: a request, a mutation, an append, a deployment, a step.
A trace is the tree of the spans that one request caused, on all nodes. While no tracer is set, these functions do
nothing, and no module of OpenTelemetry is loaded.

Attributes have ids, versions, and words of our own. Never pass on names, reasons, output, or other texts of users.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from types import TracebackType
from typing import Protocol

Attribute = str | bool | int | float | Sequence[str]
"""A value of an attribute."""


class Kind(Enum):
    """The place of a span in its trace."""

    INTERNAL = auto()
    REQUEST = auto()  # of a client
    JOB = auto()  # another node may have caused it


class Tracer(Protocol):
    """An implementation of the functions of this module."""

    def span(self, name: str, kind: Kind, parent: str | None) -> AbstractContextManager[object]: ...

    def annotate(self, attributes: dict[str, Attribute]) -> None: ...

    def fail(self, error: str) -> None: ...

    def context(self) -> str | None: ...


class NoSpan:
    """A span that nobody sees."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


_NONE = NoSpan()

_tracer: Tracer | None = None


def use(tracer: Tracer | None) -> None:
    """Pass all spans of this process to *tracer* from now on; None turns them off."""
    global _tracer
    _tracer = tracer


def span(name: str, kind: Kind = Kind.INTERNAL, parent: str | None = None) -> AbstractContextManager[object]:
    """Return a block that is a span: a child of *parent*, else of the present span, else the root of a new trace.

    *parent* is the text of a W3C `traceparent`; an invalid one is ignored. An exception that leaves the block marks the
    span as failed.
    """
    return _NONE if _tracer is None else _tracer.span(name, kind, parent)


def child(name: str) -> AbstractContextManager[object]:
    """Return a block that is a child of the present span, if there is one: background work makes no traces."""
    return _NONE if _tracer is None or _tracer.context() is None else _tracer.span(name, Kind.INTERNAL, None)


def is_traced() -> bool:
    """Return whether a tracer is set. Ask before making attributes that cost something."""
    return _tracer is not None


def annotate(**attributes: Attribute) -> None:
    """Add *attributes* to the present span; their keys get the prefix `stageline.`."""
    if _tracer is not None:
        _tracer.annotate(attributes)


def fail(error: str) -> None:
    """Mark the present span as failed; *error* is one of a fixed set of words."""
    if _tracer is not None:
        _tracer.fail(error)


def context() -> str | None:
    """Return the present span as a W3C `traceparent`, to make it the parent of a span elsewhere; None without one."""
    return None if _tracer is None else _tracer.context()


def trace_id() -> str | None:
    """Return the id of the present trace, 32 hexadecimal digits; None without one."""
    present = context()
    return None if present is None else present.split("-")[1]
