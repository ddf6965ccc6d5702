"""The metrics of a log's writes in this process."""

from collections.abc import Sequence

from prometheus_client import Counter, Gauge

from store.log import LogUnavailable, Receipt, StreamMoved

APPENDS = Counter("stageline_appends", "Appends that recorded events.")
EVENTS = Counter("stageline_events", "Events that this process recorded.")
BATCHES = Counter("stageline_append_batches", "Transactions that wrote appends.")
CONFLICTS = Counter("stageline_append_conflicts", "Appends that were refused because their stream had moved on.")
FAILURES = Counter("stageline_append_failures", "Appends that failed because the database was unavailable.")
PENDING = Gauge("stageline_appends_pending", "Appends that wait for the next batch, or are in the present one.")


def count(outcomes: Sequence[Receipt | Exception]) -> None:
    """Count a batch with the *outcomes* of its appends."""
    BATCHES.inc()
    PENDING.dec(len(outcomes))
    for outcome in outcomes:
        match outcome:
            case Receipt(recorded=recorded) if recorded:
                APPENDS.inc()
                EVENTS.inc(len(recorded))
            case StreamMoved():
                CONFLICTS.inc()
            case LogUnavailable():
                FAILURES.inc()
            case _:  # a check without events, a repeat, or a refusal
                pass
