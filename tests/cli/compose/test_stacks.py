"""Stacks in the manner of well-known ones: what becomes of each, and what is said."""

from pathlib import Path
from typing import Any

from cli.compose.reason import REASONS
from tests.cli.compose.stack import STACKS, VARIABLES, imported

UNNAMED = "events-db-var-cache-clickhouse"


def stages(services: dict[str, Any]) -> dict[str, tuple[int, str]]:
    return {name: (service["stage"], service["type"]) for name, service in services.items()}


def test_the_services_of_a_social_network_keep_checks_folders_and_variables() -> None:
    services, notes = imported(STACKS / "social.yaml")
    assert stages(services) == {
        "db": (1, "DATABASE"),
        "cache": (1, "DATABASE"),
        "web": (2, "CONTAINER"),
        "worker": (2, "CONTAINER"),
    }
    db, web = services["db"]["spec"], services["web"]["spec"]
    assert db["healthCheck"] == {
        "command": "pg_isready -U postgres",
        "intervalSeconds": 1.0,
        "timeoutSeconds": 30.0,
        "startPeriodSeconds": 33.0,
        "watchIntervalSeconds": 1.0,
        "failureThreshold": 3,
    }
    assert db["container"] == {
        "sharedMemoryMib": 128,
        "binds": [{"source": str(STACKS / "state/db"), "path": "/var/lib/postgresql/data"}],
    }
    assert web["env"] == {
        "LOCAL_DOMAIN": "social.example",
        "DB_HOST": "db",
        "SECRET_KEY_BASE": "a$b",
        "GREETING": "hello social.example",
    }
    assert web["container"]["command"] == ["bundle", "exec", "server", "-C", "config/server.rb"]
    assert services["worker"]["spec"]["container"]["command"] == ["bundle", "exec", "worker"]
    assert web["container"]["binds"][0]["readOnly"] is True
    assert notes[0] == (
        "social.yaml:7,18,29: db, cache, web, worker: networks: all services of an environment share one network;"
        " aliases can't be expressed"
    )
    assert (
        f"social.yaml:12: db: volumes: {STACKS}/state/db is not there: create it".replace(f"{STACKS}/", "") in notes[1]
    )


def test_the_services_of_a_backend_get_the_values_of_variables() -> None:
    services, notes = imported(STACKS / "backend.yaml")
    assert stages(services) == {
        "db": (1, "DATABASE"),
        "analytics": (2, "CONTAINER"),
        "auth": (3, "CONTAINER"),
        "gateway": (3, "CONTAINER"),
    }
    assert services["auth"]["spec"]["env"] == {
        "API_PORT": "9999",
        "NUMBER": "1.10",
        "ENABLED": "true",
        "DATABASE_URL": "postgres://auth:sealed@db:5432/auth",
        "OPTIONAL": "",
    }
    gateway = services["gateway"]["spec"]
    assert gateway["ports"] == [8000]
    assert gateway["container"]["entrypoint"] == [
        "sh",
        "-c",
        'echo "$(cat /etc/gateway.yml)" && exec httpd -f -p 8000 -h /',
    ]
    db = services["db"]["spec"]
    assert (db["stopSignal"], db["stopGraceSeconds"]) == ("INT", 90.0)
    assert notes == [
        f"backend.yaml:5: gateway: container_name: {REASONS['container_name']}",
        "backend.yaml:10: gateway: ports: 8443/udp is not TCP, and can't be expressed",
        "backend.yaml:13: gateway: volumes: SELinux labels (z, Z) have no effect",
        "backend.yaml:13: gateway: volumes: state/gateway.yml is not there: create it on the engine's machine",
        "backend.yaml:54: db: security_opt: it can't be expressed",
    ]


def test_the_services_of_a_scheduler_share_a_description_and_wait_for_a_job() -> None:
    services, notes = imported(STACKS / "workflow.yaml")
    assert stages(services) == {
        "postgres": (1, "DATABASE"),
        "redis": (1, "DATABASE"),
        "init": (2, "JOB"),
        "cli": (2, "CONTAINER"),
        "api": (3, "CONTAINER"),
        "worker": (4, "CONTAINER"),
    }
    init, worker, api = (services[name]["spec"] for name in ("init", "worker", "api"))
    assert "restart" not in init
    assert init["container"]["entrypoint"] == ["/bin/sh"]
    assert init["container"]["command"][1].endswith('one=$((2 - 1)); echo "${one}"\n')
    assert worker["env"] == {"EXECUTOR": "Remote", "BROKER": "redis://:@redis:6379/0", "KEY": "", "SIGNALS": "0"}
    assert (worker["restart"], worker["restartLimit"]) == ("ON_FAILURE", 5)
    assert (api["container"]["user"], api["ports"], "publish" in api["container"]) == ("50000:0", [8080], False)
    assert services["cli"]["isSkipped"] is True
    assert notes == [
        "workflow.yaml:68: the variable WORKFLOW_UID is not set, so it is empty",
        "workflow.yaml:76: cli: profiles: debug is not chosen, so the service is skipped",
    ]
    for profiles in (["debug"], ["*"]):
        services, _ = imported(STACKS / "workflow.yaml", profiles=profiles)
        assert "isSkipped" not in services["cli"]


def test_a_service_has_its_profiles_as_a_label(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services:\n"
        "  both: {image: a, profiles: [debug, tools], labels: {a: b}}\n"
        "  own: {image: a, labels: [compose.profiles=mine], profiles: [debug]}\n"
        "  none: {image: a, profiles: []}\n"
        "  void: {image: a, profiles: null}\n"
    )
    services, _ = imported(file, profiles=["tools"])
    assert services["both"]["spec"]["container"]["labels"] == {"a": "b", "compose.profiles": "debug,tools"}
    assert services["own"]["spec"]["container"]["labels"] == {"compose.profiles": "mine"}
    assert [name for name, each in services.items() if each.get("isSkipped")] == ["own"]
    assert "container" not in services["none"]["spec"]


def test_names_that_are_no_hosts_are_changed_with_the_addresses() -> None:
    services, notes = imported(STACKS / "analytics.yaml")
    assert stages(services) == {
        "mail": (1, "CONTAINER"),
        "events-db": (1, "DATABASE"),
        "analytics": (2, "CONTAINER"),
    }
    spec = services["analytics"]["spec"]
    assert spec["env"] == {
        "EVENTS_URL": "http://user:pass@events-db:8123/events_db",
        "BACKUP": "events-db:8124",
    }
    assert spec["container"]["command"] == ["sh", "-c", "migrate --to http://events-db:8123 && run"]
    assert notes == [
        "analytics.yaml:7: events_db is no host name: it is events-db here, also in addresses of other services",
        f"analytics.yaml:12: events_db: volumes: a volume without a name is the volume {UNNAMED} here, which survives",
        "analytics.yaml:13: events_db: ulimits: it can't be expressed",
    ]


def test_builds_take_arguments_of_the_shell_and_limits_are_kept() -> None:
    services, notes = imported(STACKS / "errors.yaml", profiles=["complete"])
    assert stages(services) == {
        "redis": (1, "DATABASE"),
        "web": (2, "APPLICATION"),
        "cleanup": (2, "APPLICATION"),
    }
    web = services["web"]["spec"]
    assert (web["buildContext"], "image" in web) == (str(STACKS / "errors"), False)
    assert web["container"] == {
        "buildArgs": {"BASE_IMAGE": VARIABLES["BASE_IMAGE"]},
        "cpus": 0.5,
        "memoryMib": 50,
        "cpusRequest": 0.25,
        "memoryRequestMib": 20,
    }
    assert web["env"] == {"CONF": "/etc/errors", "RETENTION": "90"}
    assert services["cleanup"]["spec"]["container"]["command"] == ["0 0 * * * cleanup --days 90"]
    redis = services["redis"]["spec"]
    assert (redis["image"], redis["container"].get("pull")) == ("redis:8", None)
    assert redis["container"]["binds"] == [{"source": str(STACKS / "errors"), "path": "/etc/errors", "readOnly": True}]
    assert (redis["healthCheck"]["timeoutSeconds"], redis["healthCheck"]["failureThreshold"]) == (90.0, 4)
    assert notes == [
        "errors.yaml:15: web, cleanup: image: a built image has no name that others can use",
        "errors.yaml:26: web, cleanup: UNKNOWN has no value, nor have the shell and .env one: it is left out",
        "errors.yaml:53: volumes: redis-data begins empty: copy the data of the engine's own volume",
    ]


def test_a_service_may_take_over_another_one() -> None:
    services, notes = imported(STACKS / "inventory.yaml")
    assert stages(services) == {
        "postgres": (1, "DATABASE"),
        "netbox": (2, "CONTAINER"),
        "worker": (3, "CONTAINER"),
    }
    netbox, worker = services["netbox"]["spec"], services["worker"]["spec"]
    assert (netbox["image"], netbox["restart"]) == ("docker.io/inventory/app:v4.1", "NO")
    assert netbox["healthCheck"]["startPeriodSeconds"] == 123.0
    assert worker["container"]["command"] == ["/opt/app/python", "manage.py", "rqworker"]
    assert services["postgres"]["spec"]["healthCheck"]["command"] == "pg_isready -q -d $POSTGRES_DB"
    assert notes == []
