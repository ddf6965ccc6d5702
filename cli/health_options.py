"""The options of a command line that set the health check of a service."""

from dataclasses import dataclass
from typing import Annotated

from msgspec.structs import replace

from cli.errors import Misused
from cli.option import option
from cli.spec import HealthCheckJson, HealthProbeJson, HttpCheckJson, TcpCheckJson


@dataclass(frozen=True)
class HealthOptions:
    """Options of a health check. Fields without an option stay as they are."""

    health_http: Annotated[
        list[str] | None,
        option("--health-http", metavar="PATH", help="Healthy when GET of this path answers 200 to 399. Repeatable."),
    ] = None
    health_tcp: Annotated[bool, option("--health-tcp", help="Healthy when its port accepts connections.")] = False
    health_command: Annotated[
        list[str] | None,
        option("--health-command", metavar="CMD", help="Healthy when this command exits with 0. Repeatable."),
    ] = None
    no_health: Annotated[bool, option("--no-health", help="No health check: the service is healthy once it runs.")] = (
        False
    )
    health_port: Annotated[
        int | None, option("--health-port", metavar="I", help="The index of the port of its checks. Default: 0.")
    ] = None
    health_interval: Annotated[
        float | None, option("--health-interval", metavar="S", help="Seconds between two checks. Default: 1.")
    ] = None
    health_timeout: Annotated[
        float | None, option("--health-timeout", metavar="S", help="Timeout of one check, in seconds. Default: 5.")
    ] = None
    health_start_period: Annotated[
        float | None,
        option("--health-start-period", metavar="S", help="Time until it must be healthy, in seconds. Default: 60."),
    ] = None
    health_watch_interval: Annotated[
        float | None,
        option("--health-watch-interval", metavar="S", help="Seconds between checks once it is healthy. Default: 30."),
    ] = None
    health_failure_threshold: Annotated[
        int | None,
        option("--health-failure-threshold", metavar="N", help="Unhealthy after N failed checks. Default: 3."),
    ] = None

    def applied(self, health: HealthCheckJson | None) -> HealthCheckJson | None:
        """Return *health*, or another check in its place, with the changes of these options; None for no check."""
        chosen = [
            *(HealthProbeJson(http=HttpCheckJson(path=path)) for path in self.health_http or ()),
            *([HealthProbeJson(tcp=TcpCheckJson())] if self.health_tcp else ()),
            *(HealthProbeJson(command=command) for command in self.health_command or ()),
        ]
        if chosen and self.no_health:
            raise Misused("--no-health goes with none of --health-http, --health-tcp and --health-command.")
        times: dict[str, float] = {
            f"{name}_seconds": value
            for name in ("interval", "timeout", "start_period", "watch_interval")
            if (value := getattr(self, f"health_{name}")) is not None
        }
        if self.health_failure_threshold is not None:
            times["failure_threshold"] = self.health_failure_threshold
        if self.no_health:
            return None
        if chosen:
            one, *also = chosen
            health = replace(health or HealthCheckJson(), http=one.http, tcp=one.tcp, command=one.command, also=also)
        elif health is None and (times or self.health_port is not None):
            raise Misused("No health check is given: use --health-http, --health-tcp or --health-command.")
        if health is None:
            return None
        if self.health_port is not None:
            checks = [health.http or health.tcp, *(each.http or each.tcp for each in health.also)]
            if not any(checks):
                raise Misused("--health-port needs --health-http or --health-tcp.")
            for check in checks:
                if check is not None:
                    check.port_index = self.health_port
        return replace(health, **times)
