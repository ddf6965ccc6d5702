"""The options of a process that runs deployments: a server, or a worker."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from cli import lazy
from cli.data import Archive, archive_folder
from cli.errors import Misused


class LogFormatName(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _address(named: str | None) -> Any:
    try:
        return lazy.address.parse(named) if named else None
    except lazy.address.InvalidAddress as fault:
        raise Misused(str(fault)) from None


def _collector(named: str | None) -> str | None:
    try:
        return lazy.collector.normalize_collector(named) if named else None
    except ValueError as fault:
        raise Misused(str(fault)) from None


@dataclass(frozen=True)
class WorkerOptions:
    """The archive, the targets of deployments, the listener for metrics, the collector of traces, and the log."""

    archive: Archive = None
    gone_after: Annotated[
        float,
        typer.Option(
            "--gone-after",
            envvar="STAGELINE_GONE_AFTER",
            metavar="SECONDS",
            min=10,
            help="How long a machine may be silent, in seconds, before its services start elsewhere.",
        ),
    ] = 300.0
    run_as: Annotated[
        list[str] | None,
        typer.Option(
            "--run-as",
            envvar="STAGELINE_RUN_AS",
            metavar="USER",
            show_default="the server's own user",
            help="The user of this machine whom builds, services and health commands run as, if the server is root. "
            "ENVIRONMENT=USER is that of one environment, by its id. Repeatable.",
        ),
    ] = None
    step_memory: Annotated[
        int,
        typer.Option(
            "--step-memory",
            envvar="STAGELINE_STEP_MEMORY",
            metavar="MIB",
            min=0,
            help="Maximum memory of each process of a build or service on this machine, in MiB; 0 for no limit.",
        ),
    ] = 0
    step_processes: Annotated[
        int,
        typer.Option(
            "--step-processes",
            envvar="STAGELINE_STEP_PROCESSES",
            metavar="N",
            min=0,
            help="Maximum number of processes and threads of the user of --run-as; 0 for no limit.",
        ),
    ] = 0
    step_files: Annotated[
        int,
        typer.Option(
            "--step-files",
            envvar="STAGELINE_STEP_FILES",
            metavar="N",
            min=0,
            help="Maximum number of open files of each process of a build or service; 0 for no limit.",
        ),
    ] = 0
    docker: Annotated[
        str | None,
        typer.Option(
            "--docker",
            envvar=["STAGELINE_DOCKER", "DOCKER_HOST"],
            metavar="HOST",
            show_default="no target DOCKER",
            help="The Docker engine of the target DOCKER: unix:///var/run/docker.sock, tcp://host:2376 or "
            "ssh://user@host. TLS uses DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.",
        ),
    ] = None
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            envvar="STAGELINE_METRICS",
            metavar="HOST:PORT",
            callback=_address,
            show_default="no listener",
            help="Serve /metrics for Prometheus, /livez and /readyz at this address, without a token: 127.0.0.1:9464.",
        ),
    ] = None
    traces: Annotated[
        str | None,
        typer.Option(
            "--traces",
            envvar="STAGELINE_TRACES",
            metavar="URL",
            callback=_collector,
            show_default="no traces",
            help="Send traces to this collector, by OTLP over HTTP: http://127.0.0.1:4318. Needs stageline[tracing].",
        ),
    ] = None
    trace_ratio: Annotated[
        float,
        typer.Option(
            "--trace-ratio",
            envvar="STAGELINE_TRACE_RATIO",
            metavar="SHARE",
            min=0,
            max=1,
            help="The share of the traces that begin here and are sent, from 0 to 1; a client's trace keeps its own.",
        ),
    ] = 1.0
    kubernetes: Annotated[
        str | None,
        typer.Option(
            "--kubernetes",
            envvar="STAGELINE_KUBERNETES",
            metavar="CONTEXT",
            show_default="no target KUBERNETES",
            help="The cluster of the target KUBERNETES: a context of the kubeconfig, current, or in-cluster.",
        ),
    ] = None
    kubernetes_namespace: Annotated[
        str | None,
        typer.Option(
            "--kubernetes-namespace",
            envvar="STAGELINE_KUBERNETES_NAMESPACE",
            metavar="NAME",
            show_default="one for each environment",
            help="The existing namespace in which everything runs in the cluster.",
        ),
    ] = None
    registry: Annotated[
        str | None,
        typer.Option(
            "--registry",
            envvar="STAGELINE_REGISTRY",
            metavar="HOST/PATH",
            show_default="nothing is built for a cluster",
            help="Where the Docker engine pushes the images that it builds for the cluster.",
        ),
    ] = None
    log_level: Annotated[
        LogLevel,
        typer.Option(
            "--log-level", envvar="STAGELINE_LOG_LEVEL", case_sensitive=False, help="The lowest level that is logged."
        ),
    ] = LogLevel.INFO
    log_format: Annotated[
        LogFormatName,
        typer.Option(
            "--log-format",
            envvar="STAGELINE_LOG_FORMAT",
            case_sensitive=False,
            help="The format of log lines on stderr: text, or one JSON object for each line.",
        ),
    ] = LogFormatName.TEXT

    def settings(self, folder: Path, database: str | None) -> "lazy.settings.Settings":
        """Return the settings of a worker with that data."""
        return lazy.settings.Settings(
            data=folder,
            database=database,
            archive=archive_folder(self.archive, database),
            gone=self.gone_after,
            run_as=tuple(self.run_as or ()),
            step_limits=lazy.settings.step_limits(self.step_memory, self.step_processes, self.step_files),
            docker=self.docker or None,
            metrics=cast("Any", self.metrics),
            traces=self.traces,
            trace_ratio=self.trace_ratio,
            kubernetes=self.kubernetes or None,
            namespace=self.kubernetes_namespace or None,
            registry=self.registry or None,
            log_level=self.log_level.value,
            log_format=lazy.settings.LogFormat(self.log_format),
            kept_answers=0,
        )
