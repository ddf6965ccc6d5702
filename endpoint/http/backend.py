"""The running parts of an application that the HTTP view needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from endpoint.execution.answers import Answers
from endpoint.execution.context import RequestContext
from endpoint.identity import Identity
from endpoint.port import Feed, Revocations


@dataclass(frozen=True)
class Backend:
    """The parts of a running application; *context* makes the context of a request from its headers."""

    context: Callable[[Mapping[str, str], Identity | None], RequestContext]
    feed: Feed
    revocations: Revocations
    answers: Answers | None = None  # None: no answers are kept
