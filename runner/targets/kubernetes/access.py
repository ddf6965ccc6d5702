"""
The access to a cluster: its address, certificates and credentials, from a kubeconfig or from within the cluster.

A kubeconfig is what $KUBECONFIG names (several files are merged, the first one counts), else ~/.kube/config.
"""

import base64
import os
import ssl
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import yaml
from msgspec import Struct, field

from runner.targets.kubernetes.credential import Credential, FileToken, NoToken, Plugin, Token

IN_CLUSTER = "in-cluster"
"""The name that means the cluster in which the server itself runs, with the credentials of its Pod."""

CURRENT = "current"
"""The name that means the current context of the kubeconfig."""

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The folder in which a Pod finds the credentials of its service account."""

CONNECT_TIMEOUT = 5.0
"""Maximum time to connect to a cluster, in seconds."""

TIMEOUT = 30.0
"""Maximum time between two parts of an ordinary answer, in seconds."""

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""Each watch and each followed log holds a connection, so there is no limit."""


class AccessInvalid(Exception):
    """The name leads to no cluster; the message says why, and what to do."""


class Access(Struct, frozen=True):
    """The access to the cluster at *server*; *name* is how the settings call it."""

    name: str
    server: str
    tls: ssl.SSLContext
    credential: Credential
    proxy: str | None = None

    def client(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)
        transport = httpx.AsyncHTTPTransport(verify=self.tls, limits=LIMITS, proxy=self.proxy)
        auth = _Auth(self.credential)
        return httpx.AsyncClient(transport=transport, base_url=self.server, auth=auth, timeout=timeout, trust_env=False)


class _Auth(httpx.Auth):
    """Adds the token to each request. A refused one is fetched anew, once."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._credential.token()
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401 and (renewed := await self._credential.renewed()) not in (None, token):
            request.headers["Authorization"] = f"Bearer {renewed}"
            yield request


class _Cluster(Struct, rename="kebab"):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str | None = None


class _Variable(Struct):
    name: str
    value: str


class _Exec(Struct, rename="camel"):
    api_version: str
    command: str
    args: list[str] | None = None
    env: list[_Variable] | None = None


class _User(Struct, rename="kebab"):
    token: str = ""
    token_file: str = field(name="tokenFile", default="")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: _Exec | None = None
    impersonated: str = field(name="as", default="")
    username: str = ""
    auth_provider: object = None


class _Context(Struct):
    cluster: str = ""
    user: str = ""


class _NamedCluster(Struct):
    name: str
    cluster: _Cluster


class _NamedUser(Struct):
    name: str
    user: _User


class _NamedContext(Struct):
    name: str
    context: _Context


class _Config(Struct):
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None
    current_context: str = field(name="current-context", default="")


def find(name: str) -> Access:
    """Return the access that *name* means: a context, `CURRENT` or `IN_CLUSTER`; raise `AccessInvalid`."""
    try:
        return _in_cluster() if name == IN_CLUSTER else _of_context(name)
    except (OSError, ValueError, yaml.YAMLError) as error:  # ssl's and msgspec's errors are among them
        raise AccessInvalid(f"The access to the Kubernetes cluster {name!r} can't be read: {error}") from error


def _in_cluster() -> Access:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (MOUNTED / "token").is_file():
        raise AccessInvalid("This is no Pod with a service account: name a context of the kubeconfig instead.")
    tls = ssl.create_default_context(cafile=MOUNTED / "ca.crt")
    address = f"[{host}]" if ":" in host else host
    return Access(IN_CLUSTER, f"https://{address}:{port}", tls, FileToken(MOUNTED / "token"))


def _of_context(name: str) -> Access:
    files = [Path(each) for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    files = files or [Path("~/.kube/config").expanduser()]
    read = [(file.parent, _read(file)) for file in files if file.is_file()]
    if not read:
        raise AccessInvalid(f"There is no kubeconfig at {files[0]}; KUBECONFIG names another file.")
    if name == CURRENT:
        name = next((config.current_context for _, config in read if config.current_context), "")
    contexts = {each.name: each.context for _, config in reversed(read) for each in config.contexts or ()}
    clusters = {each.name: (at, each.cluster) for at, config in reversed(read) for each in config.clusters or ()}
    users = {each.name: (at, each.user) for at, config in reversed(read) for each in config.users or ()}
    context = contexts.get(name)
    if context is None:
        known = ", ".join(sorted(contexts)) or "none"
        raise AccessInvalid(f"The kubeconfig has no context {name!r}; it has: {known}.")
    if context.cluster not in clusters or context.user not in users:
        raise AccessInvalid(f"The context {name!r} names a cluster or a user that the kubeconfig does not have.")
    at, cluster = clusters[context.cluster]
    home, user = users[context.user]
    if (extra := _unsupported(cluster, user)) is not None:
        raise AccessInvalid(
            f"The context {name!r} of the kubeconfig has {extra}, which is not supported: its user needs a "
            "token, a token file, a client certificate or an exec program."
        )
    tls = _tls(at, cluster)
    _identify(tls, home, user)
    return Access(name, cluster.server, tls, _credential(home, user), cluster.proxy_url)


def _unsupported(cluster: _Cluster, user: _User) -> str | None:
    """Return the name of a field with which clients of Kubernetes would reach the cluster in another way."""
    given = {
        "tls-server-name": cluster.tls_server_name,
        "as": user.impersonated,
        "username": user.username,
        "auth-provider": user.auth_provider,
    }
    return next((name for name, value in given.items() if value), None)


def _read(file: Path) -> _Config:
    found: Any = yaml.safe_load(file.read_text())
    try:
        return msgspec.convert(found or {}, type=_Config)
    except msgspec.ValidationError as error:
        raise AccessInvalid(f"{file} is no kubeconfig: {error}") from error


def _tls(at: Path, cluster: _Cluster) -> ssl.SSLContext:
    if cluster.certificate_authority_data:
        tls = ssl.create_default_context(cadata=base64.b64decode(cluster.certificate_authority_data).decode())
    elif cluster.certificate_authority:
        tls = ssl.create_default_context(cafile=at / cluster.certificate_authority)
    else:
        tls = ssl.create_default_context()
    if cluster.insecure_skip_tls_verify:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


def _identify(tls: ssl.SSLContext, home: Path, user: _User) -> None:
    """Load the client's certificate, if it has one."""
    if user.client_certificate_data:
        load_certificate(tls, base64.b64decode(user.client_certificate_data), base64.b64decode(user.client_key_data))
    elif user.client_certificate:
        tls.load_cert_chain(home / user.client_certificate, home / user.client_key)


def load_certificate(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load a certificate and its key, which OpenSSL reads from a file only."""
    with tempfile.NamedTemporaryFile() as file:  # only its user may read it
        file.write(certificate + b"\n" + key)
        file.flush()
        tls.load_cert_chain(file.name)


def _credential(home: Path, user: _User) -> Credential:
    if user.exec is not None:
        variables: Mapping[str, str] = {each.name: each.value for each in user.exec.env or ()}
        command = user.exec.command
        program = str(home / command) if "/" in command and not command.startswith("/") else command
        return Plugin(user.exec.api_version, (program, *(user.exec.args or ())), variables)
    if user.token_file:
        return FileToken(home / user.token_file)
    return Token(user.token) if user.token else NoToken()
