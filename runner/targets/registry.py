"""
Credentials for registries of images, in the format of docker's config.json.

They are the value of the secret `NAME` of an environment or its project. So they are sealed like any secret.
"""

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from runner.targets.contract import RegistryLogin, StepFailed

NAME = "DOCKER_AUTH_CONFIG"
"""Name of the secret: the one that CI systems use, too."""

DOCKER_HUB = "docker.io"
"""The registry of images whose name has none."""

HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""Names of Docker Hub."""

HUB_KEY = "https://index.docker.io/v1/"
"""The key of Docker Hub in a config.json."""

FORMAT = '{"auths": {"registry.example.com": {"username": "…", "password": "…"}}}'
"""The expected content, for people."""


class _Auth(Struct):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _Config(Struct):
    auths: dict[str, _Auth] = {}


def parse(content: str) -> tuple[RegistryLogin, ...]:
    """Return the credentials in *content*, a config.json; raise `StepFailed` without a part of it."""
    with suppress(msgspec.DecodeError, binascii.Error, UnicodeDecodeError):
        auths = msgspec.json.decode(content, type=_Config).auths
        logins = tuple(_login(host, auth) for host, auth in auths.items())
        if logins and all(login.token or (login.user and login.password) for login in logins):
            return logins
    raise StepFailed(
        f"secret {NAME!r} has no credentials for registries: it must be docker's config.json with auths, as {FORMAT}; "
        "those of a credential helper are not in it"
    )


def _login(host: str, auth: _Auth) -> RegistryLogin:
    user, _, password = base64.b64decode(auth.auth, validate=True).decode().partition(":")
    return RegistryLogin(
        host=_host(host),
        user=auth.username or user,
        password=auth.password or password,
        token=auth.identitytoken,
    )


def _host(text: str) -> str:
    """Return the host of an address such as https://index.docker.io/v1/."""
    host = text.partition("://")[2] or text
    host = host.partition("/")[0].lower()
    return DOCKER_HUB if host in HUB_HOSTS else host


def host_of(image: str) -> str:
    """Return the registry of *image*: the part before the first slash, if it looks like a host."""
    first, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return _host(first) if is_host else DOCKER_HUB


def header(logins: tuple[RegistryLogin, ...], image: str) -> Mapping[str, str]:
    """Return the header of a request for *image* to an engine; none without credentials for its registry."""
    login = _login_of(logins, image)
    return {} if login is None else {"X-Registry-Auth": _encoded(_fields(login))}


def config(logins: tuple[RegistryLogin, ...], image: str) -> str | None:
    """Return a config.json for the registry of *image*; None without a password for it.

    A node reads neither a token nor another name of Docker Hub.
    """
    login = _login_of(logins, image)
    if login is None or not login.password:
        return None
    key = HUB_KEY if login.host == DOCKER_HUB else login.host
    return msgspec.json.encode({"auths": {key: {"username": login.user, "password": login.password}}}).decode()


def _login_of(logins: tuple[RegistryLogin, ...], image: str) -> RegistryLogin | None:
    host = host_of(image)
    return next((each for each in logins if each.host == host), None)


def _fields(login: RegistryLogin) -> dict[str, str]:
    named = {"username": login.user, "password": login.password, "identitytoken": login.token}
    return {name: text for name, text in named.items() if text} | {"serveraddress": login.host}


def _encoded(fields: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(fields)).decode()
