"""The key that signs the heads of the log: created at the first start, or named by the operator."""

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

KEY_FILE = "signing-key.pem"
"""Name of the server's own key file in the data folder."""

logger = logging.getLogger("stageline")


class SigningKeyUnusable(Exception):
    """The key file can't be read or created, or holds another kind of key; the message says what to do."""


def key(settings: Settings) -> Ed25519PrivateKey:
    """Return the operator's key, or else the one in the data folder; raise `SigningKeyUnusable`."""
    return read(settings.signing_key) if settings.signing_key else read_or_create(settings.data / KEY_FILE)


async def compare(settings: Settings, dsn: str, key: Ed25519PrivateKey) -> None:
    """Warn if another server of the database *dsn* signed with another key before; raise `LogUnavailable`."""
    name = head.key_id(key.public_key())
    last = await meta.replace(dsn, Meta.SIGNING_KEY, name)
    if last not in (None, name):
        logger.warning(
            "Heads of the log are signed with the key %(key)s from now on (%(file)s); the previous server used "
            "%(previous)s. Give all servers of the database the same file (--signing-key)",
            {"key": name, "file": settings.signing_key or settings.data / KEY_FILE, "previous": last},
        )


def read(path: Path) -> Ed25519PrivateKey:
    """Return the key in the file *path*; raise `SigningKeyUnusable`."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SigningKeyUnusable(f"The signing key {path} can't be read: {error.strerror or error}.") from error
    except (ValueError, TypeError) as error:
        raise SigningKeyUnusable(f"{path} holds no private key in PEM without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyUnusable(f"{path} holds no Ed25519 key. Create one with openssl genpkey -algorithm ed25519.")
    return key


def read_or_create(path: Path) -> Ed25519PrivateKey:
    """Return the key in the file *path*, which is created for its owner if missing; raise `SigningKeyUnusable`."""
    if not path.exists():
        try:
            _create(path)
        except OSError as error:
            raise SigningKeyUnusable(f"The signing key {path} can't be created: {error.strerror or error}.") from error
    return read(path)


def _create(path: Path) -> None:
    """Create the file atomically, so that nobody reads half a key; keep the file of a concurrent start."""
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.NamedTemporaryFile(prefix=".signing-key-", dir=path.parent) as file:  # has mode 0600
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(file.name)
