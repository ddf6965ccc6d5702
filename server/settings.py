"""The settings of a server or worker."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from domain.pipeline.environment import Target
from runner.targets.process.confinement import Limits
from runner.webhook import allow_list
from runner.webhook.allow_list import AllowList
from server.address import Address
from server.oidc.configuration import ProviderSettings
from store.retention import Retention


class LogFormat(StrEnum):
    """The format of the program's own log."""

    TEXT = "text"
    JSON = "json"


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of a server or worker.

    - *data*: the folder with everything that the server stores
    - *issue_token*: create a new admin token, if the first one was lost
    - *admin_token*: a file with an admin token, which is issued if it is unknown; nothing is saved for the command line
    - *signing_key*: the file of the key that signs heads of the log; None for the server's own key, in *data*
    - *database*: the address of a PostgreSQL database; None for SQLite, in *data*
    - *archive*: the folder of archived events, which all nodes see; None for the one in *data*, on SQLite
    - *works*: run deployments of that database, as one of any number of workers
    - *run_as*: the user of the machine that steps run as, and `ENVIRONMENT=USER` for one environment; see
      `runner.targets.process.confinement`; empty for the server's own user
    - *step_limits*: the limits of their processes
    - *offers*: targets that only workers have
    - *docker*: the address of the Docker engine that is the target DOCKER; None for no such target
    - *metrics*: the address of a listener for metrics and health, without a token; None for no listener
    - *traces*: the URL of the collector of traces; None for no traces
    - *trace_ratio*: the share of the traces that begin here and are sent, from 0 to 1
    - *kubernetes*: the context of the cluster that is the target KUBERNETES, current or in-cluster; None for no target
    - *namespace*: the namespace of that cluster in which everything runs; None for one for each environment
    - *registry*: where images that *docker* builds for that cluster are pushed; None if none are built
    - *gone*: time without a heartbeat after which a machine is lost, in seconds
    - *documents*: a file with the only documents that are allowed, besides our *own_documents*
    - *refuses_unlisted*: refuse other documents; if off, only log them
    - *keeps_documents*: cache parsed documents; if off, parse each one at every request
    - *compiles*: execute GraphQL documents as compiled ones
    - *kept_answers*: size of the cache of their answers, in MiB
    - *retention*: the limits of output and idempotency keys; None for a worker, which removes nothing
    - *webhooks*: the addresses that webhooks may reach; None for a worker, which sends nothing
    - *providers*: the identity providers
    - *public_url*: where browsers find the console, for sign-ins with identity providers; empty if nobody does that
    - *root_path*: the path below which a proxy serves the API, such as /stageline
    - *origins*: the origins whose pages may use the API as the server's own pages do
    """

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path
    log_level: str = "info"
    log_format: LogFormat = LogFormat.TEXT
    issue_token: bool = False
    admin_token: Path | None = None
    signing_key: Path | None = None
    database: str | None = None
    archive: Path | None = None
    works: bool = True
    run_as: tuple[str, ...] = ()
    step_limits: Limits = Limits()
    offers: frozenset[Target] = frozenset()
    docker: str | None = None
    metrics: Address | None = None
    traces: str | None = None
    trace_ratio: float = 1.0
    kubernetes: str | None = None
    namespace: str | None = None
    registry: str | None = None
    gone: float = 300.0
    documents: Path | None = None
    own_documents: tuple[str, ...] = ()
    refuses_unlisted: bool = True
    keeps_documents: bool = True
    compiles: bool = True
    kept_answers: int = 4
    retention: Retention | None = None
    webhooks: AllowList | None = None
    providers: tuple[ProviderSettings, ...] = ()
    public_url: str = ""
    root_path: str = ""
    origins: tuple[str, ...] = ()


def limits(keep_output: float, max_output: float, keep_keys: float) -> Retention:
    """Return the limits of days, GiB and days; 0 stands for none."""
    return Retention(
        output_age=timedelta(days=keep_output) if keep_output else None,
        output_bytes=round(max_output * 2**30) if max_output else None,
        key_age=timedelta(days=keep_keys) if keep_keys else None,
    )


def step_limits(memory: int, processes: int, files: int) -> Limits:
    """Return the limits of MiB, processes and files; 0 stands for none."""
    return Limits(memory=memory * 2**20 or None, processes=processes or None, files=files or None)


def targets(names: Sequence[str]) -> frozenset[Target]:
    """Return the targets with those names."""
    return frozenset(Target(name.upper()) for name in names)


def allowed(entries: Sequence[str]) -> AllowList:
    """Return the addresses that webhooks may reach; raises `EntryInvalid`, a `ValueError`."""
    return allow_list.parse(entries)
