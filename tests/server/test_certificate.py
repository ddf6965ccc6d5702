"""Certificates of the servers that Stageline calls: a webhook's receiver with an authority of its own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from application.webhook import WebhookTarget
from runner.webhook.allow_list import parse
from runner.webhook.sender import DeliveryFailed, Sender
from server.certificate import FILE, FOLDER, CertificatesUnusable, trusted

SECRET = "whsec_" + "A" * 32
HERE, ELSEWHERE = x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("other.example")
DAY = timedelta(days=1)


class Authority:
    """A private certificate authority, whose own certificate is in the file `ca.pem` of *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "ca.pem"
        self._key = generate_private_key(SECP256R1())
        self._name = _name("private authority")
        certificate = self._signed(self._name, self._key, [], DAY, is_authority=True)
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def server(self, host: x509.GeneralName = HERE, life: timedelta = DAY) -> ssl.SSLContext:
        """Return the context of a server with a certificate for *host*, signed by this authority."""
        key = generate_private_key(SECP256R1())
        return self._context(self._signed(_name("receiver"), key, [host], life), key)

    def itself(self) -> ssl.SSLContext:
        """Return the context of a server whose certificate is signed by its own key."""
        return self._context(self._signed(self._name, self._key, [HERE], DAY), self._key)

    def _signed(
        self,
        subject: x509.Name,
        key: EllipticCurvePrivateKey,
        hosts: list[x509.GeneralName],
        life: timedelta,
        *,
        is_authority: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - 10 * DAY)
            .not_valid_after(datetime.now(UTC) + life)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return builder.sign(self._key, SHA256())

    def _context(self, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> ssl.SSLContext:
        file = self.folder / "server.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILE, FOLDER:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def receiving(tls: ssl.SSLContext) -> AsyncIterator[str]:
    """Yield the address of a receiver, which accepts every message."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def deliver(tls: ssl.SSLContext) -> None:
    """Deliver a message to a receiver with *tls*; raises `DeliveryFailed`."""
    async with receiving(tls) as url:
        sender = Sender(parse(["127.0.0.1/32"]), trusted())
        await sender.send(WebhookTarget(url=url, secret=SECRET), "event_1", b"{}")


async def test_a_webhook_reaches_a_receiver_whose_authority_is_in_the_file_of_the_variable(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeliveryFailed, match=r"^the server does not trust its certificate: unable to get local issuer"):
        await deliver(authority.server())
    monkeypatch.setenv(FILE, str(authority.file))
    await deliver(authority.server())


async def test_a_webhook_reaches_no_receiver_whose_certificate_is_invalid(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeliveryFailed, match=r"does not trust its certificate: self.signed certificate$"):
        await deliver(authority.itself())
    monkeypatch.setenv(FILE, str(authority.file))
    with pytest.raises(DeliveryFailed, match=r"does not trust its certificate: certificate has expired$"):
        await deliver(authority.server(life=-DAY))
    with pytest.raises(DeliveryFailed, match=r"IP address mismatch, certificate is not valid for '127\.0\.0\.1'$"):
        await deliver(authority.server(ELSEWHERE))


@pytest.mark.parametrize(
    ("variable", "file", "why"),
    [
        (FILE, "missing.pem", "No such file or directory"),
        (FILE, "empty.pem", "it has no certificate in PEM"),
        (FOLDER, "missing", "there is no folder"),
    ],
)
def test_certificates_that_can_not_be_read_stop_the_start(
    variable: str, file: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv(variable, str(tmp_path / file))
    with pytest.raises(CertificatesUnusable, match=rf"^Invalid {variable}.*{why}"):
        trusted()
