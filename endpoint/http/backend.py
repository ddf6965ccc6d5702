"""The running parts of an application that the HTTP view needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from endpoint.execution.answers import AnswerCache
from endpoint.execution.context import RequestContext
from endpoint.identity import Identity
from endpoint.port import EventFeed, RevocationNotifier


@dataclass(frozen=True)
class Backend:
    """The parts of a running application; *context* makes the context of a request from its headers."""

    context: Callable[[Mapping[str, str], Identity | None], RequestContext]
    feed: EventFeed
    revocations: RevocationNotifier
    answers: AnswerCache | None = None  # None: answers are not cached
