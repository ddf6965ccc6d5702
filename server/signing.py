"""The key that heads of the log are signed with: made at the first start, or given by the operator."""

import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from server.settings import Settings
from store import head
from store.postgres import meta
from store.postgres.meta import Meta

OWN = "signing-key.pem"

logger = logging.getLogger("stageline")


class SigningKeyUnusable(Exception):
    """The file can't be read or made, or holds another kind of key; the message says what to do."""


def key(settings: Settings) -> Ed25519PrivateKey:
    """The operator's, or else the data folder's own; raises `SigningKeyUnusable`."""
    return given(settings.signing_key) if settings.signing_key else kept(settings.data / OWN)


async def agree(settings: Settings, dsn: str, key: Ed25519PrivateKey) -> None:
    """Warns if who shares the database *dsn* has signed with another key than *key*; raises `LogUnavailable`."""
    name = head.key_id(key.public_key())
    last = await meta.replace(dsn, Meta.SIGNING_KEY, name)
    if last not in (None, name):
        logger.warning(
            "Heads of the log are signed with the key %(key)s from now on (%(file)s); the previous server used "
            "%(previous)s. Give all servers of the database the same file (--signing-key)",
            {"key": name, "file": settings.signing_key or settings.data / OWN, "previous": last},
        )


def given(path: Path) -> Ed25519PrivateKey:
    """The key in the file *path*; raises `SigningKeyUnusable`."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SigningKeyUnusable(f"The signing key {path} can't be read: {error.strerror or error}.") from error
    except (ValueError, TypeError) as error:
        raise SigningKeyUnusable(f"{path} holds no private key in PEM without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyUnusable(f"{path} holds no Ed25519 key: make one with openssl genpkey -algorithm ed25519.")
    return key


def kept(path: Path) -> Ed25519PrivateKey:
    """The key in the file *path*, which is made if it isn't there, for its owner only; raises `SigningKeyUnusable`."""
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise SigningKeyUnusable(f"The signing key {path} can't be made: {error.strerror or error}.") from error
    return given(path)


def _make(path: Path) -> None:
    """In one step, so that nobody finds half a key; who comes second leaves the first one's."""
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.NamedTemporaryFile(prefix=".signing-key-", dir=path.parent) as file:  # made with mode 0600
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(file.name)
