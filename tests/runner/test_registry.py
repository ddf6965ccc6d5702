"""Credentials for registries: docker's config.json, and the registry of an image."""

import base64
import json

import pytest

from runner.targets import registry
from runner.targets.contract import RegistryLogin, StepFailed


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("nginx", "docker.io"),
        ("library/nginx:1", "docker.io"),
        ("index.docker.io/library/nginx", "docker.io"),
        ("ghcr.io/acme/api@sha256:00", "ghcr.io"),
        ("localhost/api", "localhost"),
        ("10.0.0.1:5000/api:2", "10.0.0.1:5000"),
    ],
)
def test_the_registry_of_an_image_is_in_its_name(image: str, host: str) -> None:
    assert registry.host_of(image) == host


def test_credentials_have_the_forms_that_docker_writes() -> None:
    both = base64.b64encode(b"ann:pass:word").decode()
    auths = {
        "https://index.docker.io/v1/": {"auth": both},
        "ghcr.io": {"username": "bob", "password": "secret"},
        "Registry.Example.com:5000": {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": "abc"},
    }
    assert registry.parse(json.dumps({"auths": auths, "credsStore": "desktop"})) == (
        RegistryLogin(host="docker.io", user="ann", password="pass:word"),
        RegistryLogin(host="ghcr.io", user="bob", password="secret"),
        RegistryLogin(host="registry.example.com:5000", user="<token>", token="abc"),
    )


@pytest.mark.parametrize(
    "content",
    ["", "secret", "{}", '{"auths": {"ghcr.io": {}}}', '{"auths": {"ghcr.io": {"auth": "!"}}}', '{"credsStore": "x"}'],
)
def test_anything_else_is_refused_without_its_content(content: str) -> None:
    with pytest.raises(StepFailed, match="secret 'DOCKER_AUTH_CONFIG' has no credentials for registries") as refused:
        registry.parse(content)
    assert content != "secret" or "'secret'" not in refused.value.reason


def test_an_image_gets_the_credentials_of_its_registry_only() -> None:
    logins = registry.parse('{"auths": {"ghcr.io": {"username": "bob", "password": "hunter22"}}}')
    assert registry.header(logins, "nginx") == {}
    header = registry.header(logins, "ghcr.io/acme/api:1")
    sent = json.loads(base64.urlsafe_b64decode(header["X-Registry-Auth"]))
    assert sent == {"username": "bob", "password": "hunter22", "serveraddress": "ghcr.io"}
