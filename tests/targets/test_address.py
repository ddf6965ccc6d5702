"""Engines on other machines: by TCP with TLS, and through SSH; and engines of other versions."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from cli.sandbox import free_ports
from domain.container import Container
from domain.deployment.step import Phase
from domain.spec import Health, TcpCheck
from runner.targets.contract import StepRequest
from runner.targets.docker import address
from runner.targets.docker.engine import Engine, EngineError, EngineUnavailable
from runner.targets.docker.executor import DockerExecutor
from runner.targets.process.attempt import is_in_use
from tests.runner.target import Printed, request
from tests.targets.engine import HOST, IMAGE, base

on_an_engine = pytest.mark.skipif(HOST not in os.environ, reason="see tests.targets.test_on_docker")

SERVE = "echo $STAGELINE_DEPLOYMENT_NUMBER > /www/index.html; exec httpd -f -p $PORT -h /www"


def step() -> StepRequest:
    container = Container(command=("sh", "-c", SERVE))
    health = Health(check=TcpCheck(), interval=0.1)
    return request(Phase.DEPLOY, image=IMAGE, container=container, ports=(0,), health=health)


@asynccontextmanager
async def answering(folder: Path, version: dict[str, str]) -> AsyncIterator[tuple[Engine, list[str]]]:
    """Yield an engine that only tells its *version*, and the paths that it was asked for."""
    paths: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            paths.append(line.split()[1].decode())
            body = json.dumps(version).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    server = await asyncio.start_unix_server(answer, folder / "docker.sock")
    engine = Engine(address.parse(f"unix://{folder}/docker.sock"))
    try:
        yield engine, paths
    finally:
        await engine.close()
        server.close()


@pytest.mark.parametrize(
    ("newest", "oldest", "used"), [("1.41", "1.12", "1.41"), ("1.51", "1.24", "1.41"), ("1.52", "1.44", "1.44")]
)
async def test_the_version_is_one_that_the_engine_still_has(
    newest: str, oldest: str, used: str, tmp_path: Path
) -> None:
    async with answering(tmp_path, {"ApiVersion": newest, "MinAPIVersion": oldest}) as (engine, paths):
        await engine.get("/info", dict[str, str])
    assert paths == ["/version", f"/v{used}/info"]


async def test_an_engine_that_is_too_old_is_refused(tmp_path: Path) -> None:
    async with answering(tmp_path, {"ApiVersion": "1.40", "MinAPIVersion": "1.12"}) as (engine, _):
        with pytest.raises(EngineError, match=r"the engine has API 1\.40; at least 1\.41 is needed"):
            await engine.check()


# By TLS


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with an authority, and what it has signed for the engine and for its clients."""
    folder = tmp_path / "certificates"
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name, file, use in (("127.0.0.1", "server-", "serverAuth"), ("client", "", "clientAuth")):
        (folder / "ext").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={use}\n")
        openssl("req", *key, "-keyout", f"{file}key.pem", "-out", "request.pem", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "ext")
        openssl("x509", "-req", "-in", "request.pem", "-out", f"{file}cert.pem", *signing)
    return folder


@asynccontextmanager
async def behind_tls(socket: str, certificates: Path) -> AsyncIterator[int]:
    """Yield the port on which the engine at *socket* answers by TLS, as dockerd with --tlsverify does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server-cert.pem", certificates / "server-key.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own_reader, own_writer = await asyncio.open_unix_connection(socket)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass
            finally:
                sink.close()

        await asyncio.gather(copy(reader, own_writer), copy(own_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.long
@on_an_engine
async def test_an_engine_is_used_by_tls_with_a_client_certificate_only(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = address.parse(os.environ[HOST])
    if not local.is_local:
        pytest.skip("the engine is not on this machine")
    async with behind_tls(local.path, certificates) as port:
        host = f"tcp://127.0.0.1:{port}"
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
        await used(host)
        monkeypatch.delenv("DOCKER_CERT_PATH")
        with pytest.raises(EngineUnavailable):  # in plain text
            await Engine(address.parse(host)).check()
        (certificates / "ca.pem").write_text((certificates / "cert.pem").read_text())
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
        with pytest.raises(EngineUnavailable, match="certificate verify failed"):  # it may be anybody's
            await Engine(address.parse(host)).check()


async def used(host: str) -> None:
    """Deploy a service on the engine at *host*, and delete it."""
    engine = Engine(address.parse(host))
    executor = DockerExecutor(engine, UUID(int=1000))
    assert not executor.is_local
    await engine.load(IMAGE, base())
    await executor.deploy(step(), printed := Printed())
    assert "port 8080 is published at 0.0.0.0:" in printed.notes[-1]
    await executor.sweep(keep=())
    await engine.close()


# By SSH


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an engine through an sshd of our own, and a program ssh that knows its key."""
    sshd, client = shutil.which("sshd"), shutil.which("ssh")
    if sshd is None or client is None or os.geteuid() != 0:
        pytest.skip("openssh-server is not installed, or this user is not root")
    if not Path("/run/sshd").is_dir():
        Path("/run/sshd").mkdir()
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (port,) = free_ports(1)
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nPidFile {folder}/pid\n"
    )
    (folder / "config").write_text(
        f"Host *\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n"
    )
    programs = folder / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {client} -F {folder}/config "$@"\n')
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    served = subprocess.Popen([sshd, "-D", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        while not is_in_use(port):
            assert served.poll() is None
            time.sleep(0.02)
        yield f"ssh://root@127.0.0.1:{port}"
    finally:
        served.terminate()
        served.wait()


@pytest.mark.long
@on_an_engine
async def test_an_engine_is_used_through_ssh_also_after_the_tunnel_was_lost(
    ssh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = address.parse(os.environ[HOST])
    if not local.is_local:
        pytest.skip("the engine is not on this machine")
    monkeypatch.setattr("runner.targets.docker.tunnel.SOCKET", local.path)
    await used(ssh)
    engine = Engine(address.parse(ssh))
    await engine.check()
    tunnel = engine._tunnel
    assert tunnel is not None
    assert tunnel._process is not None
    tunnel._process.kill()
    await tunnel._process.wait()
    assert isinstance(await engine.get("/containers/json", list[object]), list)
    await engine.close()


@pytest.mark.long
@on_an_engine
async def test_a_machine_whose_key_is_unknown_is_not_used(ssh: str, tmp_path: Path) -> None:
    (tmp_path / "ssh/known").write_text("")
    with pytest.raises(EngineUnavailable, match="Host key verification failed"):
        await Engine(address.parse(ssh)).check()
