"""
The metrics of an endpoint, for Prometheus.

Their labels have a fixed set of values, whatever clients send.
"""

import logging
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from time import perf_counter

from graphql import OperationType
from msgspec import Struct
from prometheus_client import REGISTRY, Counter, Gauge, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

logger = logging.getLogger("stageline.requests")


class Outcome:
    """The outcomes of operations, as labels. They are plain strings, since an enum takes 2 µs more for each request."""

    OK = "ok"
    ERROR = "error"  # expected errors of resolvers
    FAULT = "fault"  # unexpected ones
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"
    GONE = "gone"  # the client has left

    ALL = OK, ERROR, FAULT, INVALID, UNAUTHENTICATED, UNAVAILABLE, GONE


UNKNOWN = "unknown"
"""Label of the type of an operation that was refused before it was read."""

TYPES = (*(each.value for each in OperationType), UNKNOWN)
"""Labels of the types of operations."""

MEASURED = tuple(each for each in TYPES if each != OperationType.SUBSCRIPTION.value)
"""Types whose duration is measured: a subscription lasts as long as its client wants."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the durations of operations, in seconds."""

FAULTS = Counter("stageline_resolver_faults", "Unexpected errors, which clients see as INTERNAL.")
SUBSCRIPTIONS = Gauge("stageline_subscriptions", "Open subscriptions.")
DELIVERIES = Counter("stageline_deliveries", "Payloads that were sent to subscriptions.")
STREAMS = Gauge("stageline_streams", "Open WebSockets and event streams with a valid token.")
SETUP_QUEUE = Gauge(
    "stageline_setup_queue_length",
    "Connections without a token (guests) and operations that wait to be set up.",
    ["queue"],
)


def type_label(type: OperationType | None) -> str:
    """Return the label of an operation's type; None if there is no operation."""
    return UNKNOWN if type is None else type.value


class OperationTotals(Struct):
    """The operations of a type: their number by outcome, and their durations by bucket and in all, in seconds."""

    outcomes: dict[str, int]
    buckets: list[int]
    seconds: float = 0.0


class Operations(Collector):
    """The operations of this process by type.

    They are plain numbers: a counter and a histogram of the client library take 5 µs a request, and these 1 µs.
    """

    def __init__(self) -> None:
        self.logs = False  # set when the endpoint starts
        self.totals = {each: OperationTotals(dict.fromkeys(Outcome.ALL, 0), [0] * (len(BUCKETS) + 1)) for each in TYPES}

    def collect(self) -> Iterator[Metric]:
        text = "GraphQL operations, by type and outcome; subscriptions count when they end."
        counts = CounterMetricFamily("stageline_operations", text, labels=["type", "outcome"])
        text = "Time from a request to its whole answer, by the type of its operation; without subscriptions."
        durations = HistogramMetricFamily("stageline_operation_duration_seconds", text, labels=["type"])
        bounds = [*map(floatToGoString, BUCKETS), "+Inf"]
        for type_, totals in self.totals.items():
            for outcome, count in totals.outcomes.items():
                counts.add_metric([type_, outcome], count)
            if type_ in MEASURED:
                buckets = list(zip(bounds, accumulate(totals.buckets), strict=True))
                durations.add_metric([type_], buckets, totals.seconds)
        yield counts
        yield durations


OPERATIONS = Operations()
REGISTRY.register(OPERATIONS)


class Measurement(Struct, gc=False):
    """The type and the outcome of an operation, as far as they are known, and its start by `perf_counter`."""

    began: float
    type: str = UNKNOWN
    outcome: str = Outcome.OK

    def end(self) -> None:
        """Count the operation."""
        totals, seconds = OPERATIONS.totals[self.type], perf_counter() - self.began
        totals.outcomes[self.outcome] += 1
        totals.buckets[bisect_left(BUCKETS, seconds)] += 1
        totals.seconds += seconds
        if OPERATIONS.logs:
            logger.debug("%(type)s: %(outcome)s", {"type": self.type, "outcome": self.outcome, "seconds": seconds})


def log_operations() -> None:
    """Log each operation from now on, if the level of the log is debug."""
    OPERATIONS.logs = logger.isEnabledFor(logging.DEBUG)
