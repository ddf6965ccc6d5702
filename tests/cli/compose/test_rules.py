"""The rules of Compose files, one by one: several files, extensions, variables, mounts, ports, and what is refused."""

from pathlib import Path

import pytest

from cli.compose import interpolation, port, quantity
from cli.compose.interpolation import Unfit
from cli.compose.node import File, Node
from cli.compose.port import Port
from cli.compose.reason import REASONS
from cli.compose.service import CONVERTERS, QUIET
from cli.errors import Misused
from tests.cli.compose.stack import imported

SET = {"A": "a", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$A-${A}-$$A", "a-a-$A"),
        ("${A:-x}${EMPTY:-x}${EMPTY-x}${NONE-x}", "axx"),
        ("${A:+y}${EMPTY:+y}${EMPTY+y}${NONE+y}|", "yy|"),
        ("${NONE:-${A}/${EMPTY:-z}}", "a/z"),
        ("${A:?why}", "a"),
        ("$${{ variables.A }}", "${{ variables.A }}"),
    ],
)
def test_variables_are_inserted_as_compose_does(text: str, filled: str) -> None:
    missing: list[str] = []
    assert interpolation.fill(text, SET, missing.append) == filled
    assert missing == []


def test_a_variable_that_is_not_set_is_said() -> None:
    missing: list[str] = []
    assert interpolation.fill("$NONE-${OTHER}-${A:-$UNNEEDED}", SET, missing.append) == "--a"
    assert missing == ["NONE", "OTHER"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${NONE:?set it}", "the variable NONE is not set: set it"),
        ("${EMPTY:?}", "the variable EMPTY is not set: it is required"),
        ("price: $1", "no variable follows the dollar in '$1': write $$ for a dollar"),
        ("${A", "is not closed"),
        ("${A:-x", "is not closed"),
        ("${A!x}", "is not closed, or followed by something unknown"),
        ("${{ variables.A }}", "write $$ for a dollar"),
    ],
)
def test_a_text_that_cannot_be_filled_is_refused(text: str, why: str) -> None:
    with pytest.raises(Unfit) as unfit:
        interpolation.fill(text, SET, lambda _: None)
    assert why in str(unfit.value)


def test_durations_and_sizes() -> None:
    assert [quantity.seconds(each) for each in ("1h1m1s", "1.5s", "500ms", "0")] == [3661.0, 1.5, 0.5, 0.0]
    assert [quantity.mebibytes(each) for each in ("64m", "1GB", "1.5g", "1048577", "256MiB")] == [
        64,
        1024,
        1536,
        2,
        256,
    ]
    for text in ("10", "fast", "1m30"):
        with pytest.raises(ValueError, match="is not a duration"):
            quantity.seconds(text)


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", [Port(80)]),
        ("8080:80", [Port(80, 8080)]),
        ("127.0.0.1:8080:80/tcp", [Port(80, 8080, "127.0.0.1")]),
        ("[::1]:8080:80", [Port(80, 8080, "::1")]),
        ("127.0.0.1::80", [Port(80, None, "127.0.0.1")]),
        ("3000-3001:4000-4001", [Port(4000, 3000), Port(4001, 3001)]),
        ("3000-3005:80", [Port(80)]),
        ("53:53/udp", [Port(53, 53, protocol="udp")]),
    ],
)
def test_ports(text: str, ports: list[Port]) -> None:
    assert port.read(Node(text, File("compose.yaml", Path()), 1)) == ports


BASE = """\
services:
  web:
    image: web
    environment: [A=1, B=2]
    ports: [8080:80]
    command: [old]
    volumes: [data:/data, ./one:/conf]
    depends_on: [db]
  db: {image: postgres}
volumes: {data: {}}
"""


def written(folder: Path, **files: str) -> list[Path]:
    paths = [folder / f"{name}.yaml" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    return paths


def test_a_later_file_changes_an_earlier_one(tmp_path: Path) -> None:
    over = """\
services:
  web:
    environment: {B: 3, C: 4}
    ports: ["9090:90"]
    command: [new]
    volumes: [./two:/conf]
    depends_on: !reset []
  db: {labels: !override {team: shop}}
"""
    services, _ = imported(*written(tmp_path, base=BASE, over=over))
    web = services["web"]["spec"]
    assert web["env"] == {"A": "1", "B": "3", "C": "4"}
    assert (web["ports"], web["container"]["command"]) == ([80, 90], ["new"])
    assert [each["source"] for each in web["container"]["binds"]] == [str(tmp_path / "two")]
    assert (services["web"]["stage"], services["db"]["spec"]["container"]) == (1, {"labels": {"team": "shop"}})


def test_a_later_file_removes_a_service(tmp_path: Path) -> None:
    services, _ = imported(*written(tmp_path, base=BASE, over="services: {web: !reset null}\n"))
    assert set(services) == {"db"}


def test_notes_on_the_same_are_one_with_their_lines_in_order(tmp_path: Path) -> None:
    web = "{image: web, tty: true, depends_on: [last]}"
    text = f"services:\n  web: &web {web}\n  last: {{image: x, tty: true}}\n" + "".join(
        f"  web{number}: *web\n" for number in range(5)
    )
    _, notes = imported(*written(tmp_path, compose=text))
    assert notes == ["compose.yaml:2,3: web, web0, web1, web2, web3 and 2 more: tty: it can't be expressed"]


def test_a_service_extends_one_of_another_folder(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    common = "services: {base: {image: base, environment: {A: 1, B: 2}, volumes: [./conf:/conf]}}\n"
    written(tmp_path / "common", common=common)
    text = "services: {web: {extends: {file: common/common.yaml, service: base}, environment: {B: 3}}}\n"
    services, _ = imported(*written(tmp_path, compose=text))
    web = services["web"]["spec"]
    assert (web["image"], web["env"]) == ("base", {"A": "1", "B": "3"})
    assert web["container"]["binds"][0]["source"] == str(tmp_path / "common/conf")


def test_a_file_includes_another_one(tmp_path: Path) -> None:
    files = written(tmp_path, compose="include: [other.yaml]\nservices: {web: {image: web}}\n", other=BASE)
    services, _ = imported(files[0])
    assert set(services) == {"web", "db"}


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    compose = f"include: [../{tmp_path.name}/compose.yaml, other.yaml]\nservices: {{web: {{image: web}}}}\n"
    files = written(tmp_path, compose=compose, other="include: [compose.yaml]\nservices: {db: {image: postgres}}\n")
    services, _ = imported(files[0])
    assert set(services) == {"web", "db"}


def test_configs_and_secrets_are_files_of_the_machine(tmp_path: Path) -> None:
    text = """\
services:
  web:
    image: web
    configs: [{source: conf, target: /etc/app.ini}, made]
    secrets: [key]
configs: {conf: {file: ./app.ini}, made: {content: x}}
secrets: {key: {file: ./key}}
"""
    services, notes = imported(*written(tmp_path, compose=text))
    assert services["web"]["spec"]["container"]["binds"] == [
        {"source": str(tmp_path / "app.ini"), "path": "/etc/app.ini", "readOnly": True},
        {"source": str(tmp_path / "key"), "path": "/run/secrets/key", "readOnly": True},
    ]
    assert "compose.yaml:4: web: configs: made is no file, and can't be expressed" in notes


def test_what_would_be_a_reference_of_stageline_stays_text(tmp_path: Path) -> None:
    text = "services: {web: {image: web, environment: {A: '$${{ variables.A }}'}, command: [\"$${{ x }}\"]}}\n"
    services, _ = imported(*written(tmp_path, compose=text))
    spec = services["web"]["spec"]
    assert (spec["env"], spec["container"]["command"]) == ({"A": "$${{ variables.A }}"}, ["$${{ x }}"])


def test_a_job_that_may_be_tried_again_has_retries(tmp_path: Path) -> None:
    text = """\
services:
  seed: {image: seed, restart: "on-failure:3", healthcheck: {test: "true"}, deploy: {replicas: 2}}
  web: {image: web, depends_on: {seed: {condition: service_completed_successfully}}, scale: 2}
"""
    services, notes = imported(*written(tmp_path, compose=text))
    seed = services["seed"]["spec"]
    assert (services["seed"]["type"], seed["retries"], "healthCheck" in seed) == ("JOB", 3, False)
    assert services["web"]["spec"]["container"] == {"replicas": 2}
    assert "compose.yaml:2: seed: healthcheck: a JOB has none; its exit code counts" in notes


WEB = "services: {web: {image: web, %s}}\n"

INVALID: dict[str, tuple[str, str]] = {
    "yaml": ("services: [", "line 2: did not find expected node content"),
    "no services": ("x-a: 1\n", "The files have no services."),
    "a list": ("services: [web]\n", "line 1: a mapping is needed"),
    "twice": ("services:\n  web: {image: a}\n  web: {image: b}\n", "line 3: the field 'web' occurs twice"),
    "a tag": ("services: !!python/object:os.system {}\n", "line 1: the tag"),
    "an alias of itself": ("services: &a {web: *a}\n", "an alias refers to a value that contains it"),
    "no anchor": ("services: *a\n", "the alias 'a' has no anchor before it"),
    "two documents": ("services: {}\n---\nservices: {}\n", "line 2: a second document begins"),
    "too deep": ("services: " + "[" * 60, "nested more than 50 levels deep"),
    "no source": ("services: {web: {command: x}}\n", "web has neither an image nor a build"),
    "a cycle": (
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n",
        "line 2: the services depend on each other: a → b → a",
    ),
    "an unknown need": (WEB % "depends_on: [db]", "web depends on 'db', and there is no such service"),
    "an unknown volume": (WEB % "volumes: [data:/data]", "volumes: the file has no volume 'data'"),
    "an unknown secret": (WEB % "secrets: [key]", "secrets: the file has no 'key'"),
    "extends itself": (WEB % "extends: web", "extends: 'web' extends itself"),
    "extends no file": (WEB % "extends: {file: gone.yaml, service: web}", "line 1: extends: "),
    "includes no file": ("x-a: 1\ninclude:\n- gone.yaml\nservices: {}\n", "line 3: include: "),
    "extends nothing": (WEB % "extends: base", "has no service 'base'"),
    "a port": (WEB % "ports: [http]", "'http' is not a port such as 127.0.0.1:8080:80"),
    "ranges": (WEB % "ports: ['1-2:1-3']", "the ranges 1-2 and 1-3 have different lengths"),
    "a duration": (WEB % "stop_grace_period: soon", "stop_grace_period: 'soon' is not a duration such as 1m30s"),
    "a size": (WEB % "mem_limit: much", "mem_limit: 'much' is not a size such as 256m"),
    "a restart": (WEB % "restart: sometimes", "restart: 'sometimes' is not one of no, on-failure, always"),
    "a check": (WEB % "healthcheck: {test: [curl]}", "healthcheck: test begins with CMD, CMD-SHELL or NONE"),
    "a context": ("services: {web: {build: 'https://example.org/x.git'}}\n", "is no folder: clone it first"),
    "quotes": (WEB % 'command: "a \'b"', "command: No closing quotation"),
    "beyond a limit": (WEB % "mem_limit: 1m", "container.memoryMib: 1 is not between 6 and 16,777,216 MiB"),
    "two hosts": ("services: {a_b: {image: x}, a-b: {image: x}}\n", "a_b is no host name, and a-b is another service"),
    "a dollar": (WEB % "command: $1", "write $$ for a dollar"),
}


@pytest.mark.parametrize(("text", "why"), INVALID.values(), ids=INVALID)
def test_a_file_that_cannot_be_meant_is_refused_with_its_line(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Misused) as refused:
        imported(*written(tmp_path, compose=text))
    assert why in refused.value.message


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ("privileged: true", "privileged: it can't be expressed"),
        ("whatever: 1", "whatever: unknown to Stageline"),
        ("pull_policy: daily", "pull_policy: daily can't be expressed"),
        ("stop_signal: SIGRTMIN+3", "stop_signal: SIGRTMIN+3 can't be expressed"),
        ("healthcheck: {disable: true}", "healthcheck: that of the image can't be disabled; give it another one"),
        ("healthcheck: {interval: 1s}", "healthcheck: the times of the image's own check can't be changed"),
        ("volumes: [{type: tmpfs, target: /tmp}]", "volumes: mounts of the type tmpfs can't be expressed"),
        ("ports: ['80:80', '81:80']", "ports: 80 is published twice; only the first place counts"),
        ("deploy: {mode: global}", "deploy: mode can't be expressed"),
        ("env_file: none.env", "env_file: none.env is not there, so its variables are missing"),
        (f"env_file: {300 * 'a'}", f"env_file: {300 * 'a'} is not there, so its variables are missing"),
        ("init: false", "init: a container always has an init process"),
        ("build: {context: ., no_cache: true}", "build: no_cache has no effect"),
        ("command: []", "command: an empty one leaves that of the image"),
        ("scale: 0", "replicas: 0 can't be expressed; skip the service"),
    ],
)
def test_what_cannot_be_expressed_is_said(fields: str, note: str, tmp_path: Path) -> None:
    _, notes = imported(*written(tmp_path, compose=WEB % fields))
    assert f"compose.yaml:1: web: {note}" in notes


FIELDS = """
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count
cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy
develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends
external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging
mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable
oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles provider pull_policy read_only
restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs
tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir
"""
"""The fields of a service in the Compose specification, late in 2026."""


def test_every_field_of_compose_is_expressed_or_has_a_reason() -> None:
    assert [name for name in FIELDS.split() if name not in {*CONVERTERS, *QUIET, *REASONS, "extends"}] == []
