"""The shape of the repository: who imports whom, and what is installed."""

import json
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-node.lock"]
FOLDERS = [
    "cache",
    "tracing",
    "domain",
    "store",
    "projections",
    "application",
    "runner",
    "endpoint",
    "gql",
    "server",
    "cli",
]


def locked(lock: str) -> dict[str, str]:
    """The release of every package in *lock*, by name."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0] for requirement in requirements}


def test_every_folder_imports_only_what_the_design_allows() -> None:
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("domain", {"croniter", "msgspec"}),
        ("store", {"msgspec", "eventsourcing", "asyncpg", "cryptography", "prometheus_client"}),
        ("projections", {"msgspec"}),
    ],
)
def test_an_inner_folder_needs_no_packages_but_its_own(folder: str, allowed: set[str]) -> None:
    graph = grimp.build_graph(*FOLDERS, include_external_packages=True, cache_dir=None)
    modules = {folder, *graph.find_descendants(folder)}
    imported = {name.split(".")[0] for module in modules for name in graph.find_modules_directly_imported_by(module)}
    assert imported - set(FOLDERS) - sys.stdlib_module_names <= allowed


def test_what_checks_an_export_stands_on_no_database_and_no_server() -> None:
    graph = grimp.build_graph(*FOLDERS, include_external_packages=True, cache_dir=None)
    reached = set[str]().union(*(graph.find_upstream_modules(name) for name in ("store.audit", "store.head")))
    assert {name.split(".")[0] for name in reached} - sys.stdlib_module_names == {"cryptography", "msgspec"}


def test_the_folders_that_are_checked_are_those_that_are_shipped() -> None:
    tool = project()["tool"]
    assert tool["hatch"]["build"]["targets"]["wheel"]["packages"] == FOLDERS
    assert tool["importlinter"]["root_packages"] == FOLDERS
    assert tool["coverage"]["run"]["source"] == FOLDERS
    assert set(FOLDERS) < set(tool["mypy"]["files"])


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host_and_no_place_of_the_machine_it_was_made_on(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host| @ |[\s=]/\w", text)


def test_the_lock_of_the_test_clients_names_no_registry() -> None:
    packages = json.loads((ROOT / "tests/clients/package-lock.json").read_text())["packages"]
    assert {"node_modules/graphql", "node_modules/graphql-ws", "node_modules/ws"} <= packages.keys()
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_release_has_its_hashes(lock: str) -> None:
    entries = re.split(r"^(?=\w)", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(lock))
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_locks_hold_what_the_project_asks_for_and_agree() -> None:
    runtime, development = locked("requirements.lock"), locked("requirements-dev.lock")
    assert names(project()["project"]["dependencies"]) <= runtime.keys()
    assert names(project()["dependency-groups"]["dev"]) <= development.keys()
    assert names(project()["dependency-groups"]["node"]) == locked("requirements-node.lock").keys()
    assert runtime.items() <= development.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_the_package_that_would_hide_our_gql_is_not_installed(lock: str) -> None:
    assert "gql" not in locked(lock)


def test_programs_that_tests_start_take_ctrl_c_even_if_the_tests_ignore_it() -> None:
    """As `nohup scripts/test &` does."""
    started = subprocess.run(
        [sys.executable, "-c", "import signal, tests.conftest; print(signal.getsignal(signal.SIGINT).__name__)"],
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        capture_output=True,
        text=True,
        check=True,
    )
    assert started.stdout == "default_int_handler\n"


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "tests").rglob("*.py") if "node_modules" not in file.parts}
    assert sorted(folder for folder in folders if not (folder / "__init__.py").exists()) == []
