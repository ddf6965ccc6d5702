"""The access to a cluster, as a kubeconfig says it."""

import json
import sys
from pathlib import Path

import pytest

from runner.targets.kubernetes import access
from runner.targets.kubernetes.access import AccessInvalid
from runner.targets.kubernetes.credential import CredentialError, FileToken, Plugin

CONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: home, cluster: {server: "https://home:6443"}}]
users: [{name: me, user: {USER}}]
contexts: [{name: shop, context: {cluster: home, user: me}}]
current-context: shop
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubeconfig, and another one behind it."""
    file, other = tmp_path / "config", tmp_path / "other"
    file.write_text(CONFIG.replace("USER", "token: first"))
    other.write_text(CONFIG.replace("USER", "token: second").replace("name: shop", "name: work"))
    monkeypatch.setenv("KUBECONFIG", f"{file}:{other}")
    return file


async def test_a_context_has_its_server_and_token(config: Path) -> None:
    for name in ("shop", access.CURRENT):
        found = access.find(name)
        assert (found.server, await found.credential.token()) == ("https://home:6443", "first")


async def test_the_first_of_several_files_counts(config: Path) -> None:
    assert await access.find("work").credential.token() == "first"


def test_an_unknown_context_names_those_that_there_are(config: Path) -> None:
    with pytest.raises(AccessInvalid, match="no context 'home'; it has: shop, work"):
        access.find("home")


@pytest.mark.parametrize(
    ("user", "field"),
    [
        ("token: first, as: ann", "as"),
        ("username: ann, password: secret", "username"),
        ("auth-provider: {name: gcp}", "auth-provider"),
    ],
)
def test_a_user_that_needs_more_is_refused(config: Path, user: str, field: str) -> None:
    config.write_text(CONFIG.replace("USER", user))
    with pytest.raises(
        AccessInvalid, match=f"The context 'shop' of the kubeconfig has {field}, which is not supported"
    ):
        access.find("shop")


def test_no_kubeconfig_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    with pytest.raises(AccessInvalid, match="no kubeconfig at /nowhere/config"):
        access.find("shop")


def test_in_cluster_needs_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(AccessInvalid, match="This is no Pod"):
        access.find(access.IN_CLUSTER)


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = FileToken(file)
    for text in ("one", "two"):
        file.write_text(f"{text}\n")
        assert await token.token() == text


async def test_a_program_for_credentials_runs_once_for_each_token(tmp_path: Path) -> None:
    count = tmp_path / "count"
    answer = json.dumps({"status": {"token": "t", "expirationTimestamp": "2100-01-01T00:00:00Z"}})
    plugin = Plugin("v1", ("/bin/sh", "-c", f"echo x >> {count}; echo '{answer}'"), {})
    assert [await plugin.token() for _ in range(3)] == ["t"] * 3
    assert await plugin.renewed() == "t"
    assert count.read_text() == "x\nx\n"


async def test_a_failing_program_for_credentials_says_its_last_words() -> None:
    plugin = Plugin("v1", ("/bin/sh", "-c", "echo log in first >&2; exit 1"), {})
    with pytest.raises(CredentialError, match="failed: log in first"):
        await plugin.token()
    with pytest.raises(CredentialError, match="can't be run"):
        await Plugin("v1", (f"{sys.prefix}/nothing",), {}).token()
