"""
The metrics of an endpoint, for Prometheus.

Their labels have a fixed set of values, whatever clients send.
"""

import logging
from bisect import bisect_left
from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate, product
from time import perf_counter

from graphql import OperationType
from prometheus_client import REGISTRY, Counter, Gauge, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

logger = logging.getLogger("stageline.requests")


class Outcome(StrEnum):
    """The outcome of an operation, as a label."""

    OK = "ok"
    ERROR = "error"  # expected errors of resolvers
    FAULT = "fault"  # unexpected ones
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"
    GONE = "gone"  # the client has left


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


class Operations(Collector):
    """The operations by type and outcome, and their durations.

    Plain numbers, since a counter and a histogram of the client library take 5 µs a request, and these 0.5 µs.
    """

    def __init__(self) -> None:
        self._counts = dict.fromkeys(product(TYPES, Outcome), 0)
        self._in_bucket = {each: [0] * (len(BUCKETS) + 1) for each in MEASURED}
        self._seconds = dict.fromkeys(MEASURED, 0.0)

    def add(self, type: str, outcome: Outcome, seconds: float) -> None:
        self._counts[type, outcome] += 1
        if type in self._seconds:
            self._in_bucket[type][bisect_left(BUCKETS, seconds)] += 1
            self._seconds[type] += seconds

    def collect(self) -> Iterator[Metric]:
        text = "GraphQL operations, by type and outcome; subscriptions count when they end."
        counts = CounterMetricFamily("stageline_operations", text, labels=["type", "outcome"])
        for labels, count in self._counts.items():
            counts.add_metric(labels, count)
        yield counts
        text = "Time from a request to its whole answer, by the type of its operation; without subscriptions."
        durations = HistogramMetricFamily("stageline_operation_duration_seconds", text, labels=["type"])
        for type_, numbers in self._in_bucket.items():
            bounds = [*map(floatToGoString, BUCKETS), "+Inf"]
            durations.add_metric([type_], list(zip(bounds, accumulate(numbers), strict=True)), self._seconds[type_])
        yield durations


OPERATIONS = Operations()
REGISTRY.register(OPERATIONS)


class Measurement:
    """The type and the outcome of an operation, as far as they are known, and its duration since the start."""

    __slots__ = ("_began", "outcome", "type")

    def __init__(self, type: str = UNKNOWN) -> None:
        self.type = type
        self.outcome = Outcome.OK
        self._began = perf_counter()

    def end(self) -> None:
        """Count the operation."""
        seconds = perf_counter() - self._began
        OPERATIONS.add(self.type, self.outcome, seconds)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%(type)s: %(outcome)s", {"type": self.type, "outcome": self.outcome, "seconds": seconds})
