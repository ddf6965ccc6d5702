"""docker-compose.yml and the Dockerfile as they are read: what each container may do, reach and take."""

import re
from typing import Any

import pytest
import yaml

from tests.serving import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["api-1", "api-2", "worker-1", "worker-2"]

every = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


def test_without_a_password_it_does_not_start_and_says_what_to_set() -> None:
    named = re.findall(r"\$\{POSTGRES_PASSWORD[^}]*\}", TEXT)
    assert set(named) == {"${POSTGRES_PASSWORD:?set it to the password that the database is to have}"}
    assert SERVICES["database"]["environment"]["POSTGRES_PASSWORD"] == named[0]


@pytest.mark.parametrize("name", OURS)
def test_the_password_is_in_no_address_so_that_it_may_be_any_text(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment["DATABASE_URL"] == "postgresql://stageline@database/stageline"
    assert environment["PGPASSWORD"] == SERVICES["database"]["environment"]["POSTGRES_PASSWORD"]


def test_images_have_exact_versions() -> None:
    built = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    fetched = [service["image"] for service in SERVICES.values() if "build" not in service]
    assert len(fetched) == 2
    for image in (*built, *fetched):
        assert re.fullmatch(
            r"(python:\d+\.\d+\.\d+-slim-\w+|node:\d+\.\d+\.\d+-\w+-slim"
            r"|postgres:\d+\.\d+|caddy:\d+\.\d+\.\d+)",
            image,
        ), image
    assert len({image for image in built if image.startswith("python")}) == 1


@every
def test_a_container_has_no_capability_and_gains_none(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "devices", "network_mode", "pid", "ipc", "userns_mode"}


def test_the_proxy_alone_is_given_one_back() -> None:
    given = {name: service["cap_add"] for name, service in SERVICES.items() if "cap_add" in service}
    assert given == {"address": ["NET_BIND_SERVICE"]}


def test_nobody_is_root() -> None:
    users = {name: service["user"] for name, service in SERVICES.items() if "user" in service}
    assert users == {"database": "postgres", "address": "65534:65534"}
    assert "\nUSER stageline\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@every
def test_a_container_writes_to_its_volume_and_to_memory_only(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert any(each.partition(":")[0] == "/tmp" for each in service["tmpfs"])
    assert not any(isinstance(volume, str) and volume.startswith((".", "/")) for volume in service.get("volumes", []))


@every
def test_what_a_container_may_take_is_bounded(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"(\$\{WORKER_MEMORY:-)?\d+[gm]\}?", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 4096
    assert service["cpus"] in (1, "${WORKER_CPUS:-1}")  # more than the machine has would keep it from starting


def test_the_database_is_on_a_network_without_a_way_out_and_the_proxy_is_not_on_it() -> None:
    networks = {name: service["networks"] for name, service in SERVICES.items()}
    assert networks == {"database": ["database"], "address": ["front"]} | {name: ["database", "front"] for name in OURS}
    assert COMPOSE["networks"] == {"database": {"internal": True}, "front": None}


def test_only_the_proxy_is_published_and_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"address": ["127.0.0.1:8000:8000"]}


def test_the_second_server_gets_of_the_first_ones_data_the_signing_key_alone() -> None:
    own, key = SERVICES["api-2"]["volumes"]
    assert own == "api-2:/data"
    assert key == {
        "type": "volume",
        "source": "api-1",
        "target": "/signing-key.pem",
        "read_only": True,
        "volume": {"subpath": "signing-key.pem"},
    }
    assert SERVICES["api-2"]["command"][-2:] == ["--signing-key", "/signing-key.pem"]


def test_no_two_containers_share_a_folder() -> None:
    whole = [
        each.partition(":")[0] for service in SERVICES.values() for each in service.get("volumes", []) if ":" in each
    ]
    assert sorted(whole) == sorted(COMPOSE["volumes"])


def test_an_image_is_well_while_its_server_runs_even_if_the_database_is_away() -> None:
    assert "/livez'" in (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("HEALTHCHECK")[2]
