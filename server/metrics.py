"""
The metrics of a server or worker, as Prometheus reads them from the listener of `--metrics`.

Each room counts what it does (`endpoint.metrics`, `runner.metrics`, `store.writes`, `store.round_trip`). Here are those
that are read when Prometheus asks, and the lag of the event loop. No label has a name that users choose.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

from prometheus_client import Gauge, Histogram, Info, disable_created_metrics, generate_latest

from application.worker import WorkerStatus
from domain.instance import InstanceStatus
from gql.context import Application
from projections.engine.status import ProjectorStatus
from runner.targets.process.supervisor import Supervisor
from server.connection import Connections
from store.log import LogUnavailable

PATIENCE = 5.0
"""Maximum time for reading the store when Prometheus asks, in seconds; then metrics are without its part."""

TICK = 0.5
"""Interval at which the lag of the event loop is measured, in seconds."""

LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the lag of the event loop, in seconds."""

BUILD = Info("stageline_build", "The version of the program.")
STORE_UP = Gauge("stageline_store_up", "1 if the log and the read models can be read, else 0.")
POSITION = Gauge("stageline_log_position", "Position of the last event of the log.")
STALLED = Gauge("stageline_projector_stalled", "1 if the read models can't be updated, else 0.")
LAG = Gauge("stageline_projection_lag_events", "Events of the log that a read model lacks.", ["projection"])
PARKED = Gauge("stageline_parked_events", "Events that a read model could not fold, at most 10.", ["projection"])
UNFINISHED = Gauge("stageline_deployments_unfinished", "Deployments that run or wait, of the whole log.")
STRANDED = Gauge("stageline_deployments_without_worker", "Admitted deployments that no worker can run.")
WORKERS = Gauge("stageline_workers", "Workers, by whether they have a heartbeat.", ["state"])
INSTANCES = Gauge("stageline_instances", "Instances that this process supervises, by status.", ["status"])
CONNECTIONS = Gauge("stageline_connections", "Open connections, by whether a valid token came over them.", ["state"])
LOOP_LAG = Histogram("stageline_event_loop_lag_seconds", "Delay of a timer of the event loop.", buckets=LAGS)

disable_created_metrics()  # type: ignore[no-untyped-call]  # each would be another series
BUILD.info({"version": version("stageline")})


async def measure_lag() -> None:
    """Measure the lag of the event loop until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK
        await asyncio.sleep(TICK)
        LOOP_LAG.observe(max(0.0, loop.time() - due))


async def scrape(application: Application, supervisor: Supervisor | None, connections: Connections | None) -> bytes:
    """Return all metrics in the text format of Prometheus."""
    try:
        async with asyncio.timeout(PATIENCE):
            await _read_store(application)
    except (LogUnavailable, TimeoutError):
        STORE_UP.set(0)
    else:
        STORE_UP.set(1)
    if supervisor is not None:
        statuses = await asyncio.to_thread(lambda: supervisor.statuses)
        for status in InstanceStatus:
            INSTANCES.labels(status.lower()).set(statuses[status])
    if connections is not None:
        CONNECTIONS.labels("guest").set(connections.guests)
        CONNECTIONS.labels("authenticated").set(connections.authenticated)
    return generate_latest()


async def _read_store(application: Application) -> None:
    status = await application.projector.status()
    _set_projections(status)
    UNFINISHED.set(len(await application.unfinished.list()))
    STRANDED.set(len(await application.roster.waits()))
    _set_workers(await application.roster.list())


def _set_projections(status: ProjectorStatus) -> None:
    POSITION.set(status.position + status.lag)
    STALLED.set(status.fault is not None)
    parked = Counter(each.kind for each in status.parked)
    for each in status.projections:
        LAG.labels(each.kind).set(each.lag)
        PARKED.labels(each.kind).set(parked[each.kind])


def _set_workers(workers: Sequence[WorkerStatus]) -> None:
    silent = sum(each.is_silent for each in workers)
    WORKERS.labels("alive").set(len(workers) - silent)
    WORKERS.labels("silent").set(silent)
