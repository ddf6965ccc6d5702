"""
Authentication by tokens.

On its first start, the server creates an admin token. The log has the hash of the token. The token itself is saved in
the user's configuration file, where the command line finds it. Every request needs a token.
"""

import fcntl
import hashlib
import json
import math
import os
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from application.handler import Handler, StreamState
from application.refusal import Refusals
from application.token_use import TokenUses
from domain import access
from domain.access import ACCESS, ADMIN, SERVER, Access, IssueToken, Token, TokenId
from domain.errors import InvalidArgument
from domain.role import ALL
from endpoint.identity import (
    EXPIRED,
    MISSING,
    REVOKED,
    UNKNOWN,
    Credentials,
    Identity,
    TooManyRefusals,
    Unauthenticated,
)
from server.throttle import TokenThrottle
from store import ids
from store.log import Author, Origin, RecordedEvent

PREFIX = "stageline_"

MAX_AUTHORIZATION = 4096
"""Maximum length of an Authorization header or its counterpart in connection_init, in characters."""

MIN_ADMIN_TOKEN = 32
"""Minimum length of an admin token that the operator chooses, in characters."""

MAX_ADMIN_TOKEN = 1024
"""Maximum length of such a token, in characters."""

CACHED_HEADERS = 1_000
"""Maximum number of cached Authorization headers with valid tokens, which need not be hashed again."""

TOO_LONG = f"The token is too long: at most {MAX_AUTHORIZATION:,} characters are allowed."


class Tokens:
    """The valid tokens, cached in memory until the log has new events about tokens."""

    def __init__(self, handler: Handler, refusals: Refusals | None = None, uses: TokenUses | None = None) -> None:
        self.throttle = TokenThrottle(refusals=refusals)
        self._refusals, self._uses = refusals, uses
        self._handler = handler
        self._known: dict[str, Identity] = {}  # by the token's hash
        self._by_id: dict[UUID, Identity] = {}
        self._by_header: dict[str, Identity] = {}
        self._kept = StreamState(ACCESS, 0, Access())  # never evicted: a guess must not read all tokens
        self._is_stale = True
        self._changes = 0
        handler.log.watch(self._on_events, access.decider.events)

    async def authenticate(self, credentials: Credentials) -> Identity:
        """Return the identity that the token in *credentials* stands for; raise `Unauthenticated`."""
        given = credentials.authorization
        known = None if self._is_stale or given is None else self._by_header.get(given)
        try:
            if known is None:
                known = await self._find(_hash_in(given), credentials.client)
                self._cache(given, known)
            return self._admitted(known, credentials.client)
        except Unauthenticated as refused:
            if given:
                self.throttle.log_failure(credentials.client, refused)
            raise

    def _admitted(self, known: Identity, client: str) -> Identity:
        """Return *known*, whose token is used now; raise `Unauthenticated` if it has expired or has to wait."""
        _check_expiry(known)
        if self._refusals is not None and (wait := self._refusals.wait(client, known.token)):
            raise TooManyRefusals(max(1, math.ceil(wait)))
        if self._uses is not None:
            self._uses.note(known.token)
        return known

    def _cache(self, given: str | None, known: Identity) -> None:
        if given is not None and not self._is_stale:
            if len(self._by_header) >= CACHED_HEADERS:
                self._by_header.clear()
            self._by_header[given] = known

    async def find_by_id(self, token: UUID, client: str) -> Identity:
        """Return the identity that the token with that id stands for; raise `Unauthenticated`."""
        if self._is_stale:
            await self._refresh()
        known = self._by_id.get(token)
        if known is None:
            with self.throttle.attempt(client):
                await self._refresh()
                known = self._by_id.get(token)
                if known is None:
                    raise Unauthenticated(REVOKED)
        return self._admitted(known, client)

    async def is_valid(self, token: str) -> bool:
        """Return whether *token* is valid, without a limit of attempts: it is the operator's own."""
        await self._refresh()
        known = self._known.get(_hash(token))
        return known is not None and (known.expires_at is None or known.expires_at > datetime.now(UTC))

    async def provide(self, token: str) -> bool:
        """Issue *token* to the admin unless it is known; return whether it is valid now."""
        await self._refresh()
        digest = _hash(token)
        if digest not in self._known and digest not in self._kept.state.revoked:
            with suppress(InvalidArgument):  # another node was faster
                await self.issue(token, ADMIN)
        return await self.is_valid(token)

    async def _find(self, digest: str, client: str) -> Identity:
        if self._is_stale:
            await self._refresh()
        known = self._known.get(digest)
        if known is not None:
            return known
        if digest in self._kept.state.revoked:
            raise Unauthenticated(REVOKED)
        with self.throttle.attempt(client):
            await self._refresh()  # another node may just have issued it
            known = self._known.get(digest)
            if known is None:
                raise Unauthenticated(REVOKED if digest in self._kept.state.revoked else UNKNOWN)
            return known

    async def _refresh(self) -> None:
        """Read the new events about tokens."""
        changes, log = self._changes, self._handler.log
        loaded = await self._handler.states.advance(access.decider, self._kept, has_asked=not log.is_shared)
        if loaded.version > self._kept.version:
            self._kept = loaded
            self._known = {each.hash: _identity(loaded.state, each, loaded.version) for each in loaded.state.tokens}
            self._by_id = {identity.token: identity for identity in self._known.values()}
            self._by_header.clear()
        if changes == self._changes:
            self._is_stale = False

    def _on_events(self, _: Sequence[RecordedEvent]) -> None:
        self._changes += 1
        self._is_stale = True

    async def issue(self, token: str, name: str, actor: str = ADMIN) -> None:
        """Record the hash of *token*, which is valid from now on."""
        command = IssueToken(token=TokenId(ids.new()), name=name, actor=actor, hash=_hash(token))
        await self._handler.handle(access.decider, ACCESS, command, Author(actor=SERVER, origin=Origin.ENGINE))

    async def is_first_start(self) -> bool:
        """Return whether no token was ever issued."""
        return (await self._handler.states.load(access.decider, ACCESS)).version == 0


def _identity(state: Access, token: Token, version: int) -> Identity:
    """Return the identity that *token* stands for at *version* of the stream; an admin of everything has all rights.

    Only the rights of a token that follows an actor can change.
    """
    roles = state.roles(token)
    rights = None if roles == ALL else roles
    return Identity(token.actor, token.id, token.expires_at, rights=rights, follows=token.follows, version=version)


def new_token() -> str:
    """Return a random token. It is valid after `Tokens.issue`."""
    return PREFIX + secrets.token_urlsafe(32)


def _hash_in(authorization: str | None) -> str:
    """Return the hash of the token in an Authorization header; raise `Unauthenticated` if it has none."""
    if authorization is not None and len(authorization) > MAX_AUTHORIZATION:
        raise Unauthenticated(TOO_LONG)
    token = bearer(authorization)
    if not token:
        raise Unauthenticated(MISSING)
    return _hash(token)


def bearer(authorization: str | None) -> str:
    """Return the token in an Authorization header; empty if it has none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _check_expiry(known: Identity) -> Identity:
    """Return the identity; raise `Unauthenticated` if its token has expired."""
    if known.expires_at is not None and known.expires_at <= datetime.now(UTC):
        raise Unauthenticated(EXPIRED)
    return known


def _hash(token: str) -> str:
    # A token has 256 random bits, so a slow hash would not make it safer.
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


class AdminTokenUnusable(Exception):
    """The file with the admin token can't be read, or holds no safe token; the message says what to do."""


def read_admin_token(path: Path) -> str:
    """Return the token in the file *path*; raise `AdminTokenUnusable`."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise AdminTokenUnusable(f"The admin token {path} can't be read: {error.strerror or error}.") from error
    except UnicodeDecodeError:
        token = ""
    if not (MIN_ADMIN_TOKEN <= len(token) <= MAX_ADMIN_TOKEN) or not token.isprintable() or " " in token:
        raise AdminTokenUnusable(
            f"{path} holds no usable token: it must be {MIN_ADMIN_TOKEN} to {MAX_ADMIN_TOKEN:,} ASCII characters "
            "without spaces. Create one with: openssl rand -hex 32"
        )
    return token


class KeyringUnusable(Exception):
    """The configuration file can't be read or written; the message says what to do."""


class Keyring:
    """The user's configuration file, where the command line finds a server's token by its address."""

    def __init__(self, path: Path | None = None) -> None:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self.path = path or home / "stageline" / "config.json"

    def tokens(self) -> dict[str, str]:
        """Return the tokens by server address."""
        return _tokens(self._read())

    def save(self, url: str, token: str) -> None:
        """Save *token* for *url*, readable by the user alone; leave the other content of the file unchanged.

        A lock on the folder, which the command line also takes, orders concurrent writers. Raises `KeyringUnusable`.
        """
        target = self.path.resolve()
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                content = self._read()
                content.setdefault("url", url)
                content["tokens"] = _tokens(content) | {url: token}
                _replace(target, content)
            finally:
                os.close(folder)
        except OSError as error:
            raise KeyringUnusable(f"{target} can't be written: {error.strerror or error}.") from error

    def _read(self) -> dict[str, object]:
        try:
            content = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeyringUnusable(f"{self.path} can't be read: {error.strerror or error}.") from error
        except (ValueError, RecursionError) as error:
            raise KeyringUnusable(f"{self.path} is not valid JSON ({error}). Repair or remove it.") from error
        if not isinstance(content, dict):
            raise KeyringUnusable(f"{self.path} is not a JSON object. Repair or remove it.")
        return content


def _tokens(content: dict[str, object]) -> dict[str, str]:
    tokens = content.get("tokens")
    known = tokens if isinstance(tokens, dict) else {}
    return {url: token for url, token in known.items() if isinstance(token, str)}


def _replace(target: Path, content: dict[str, object]) -> None:
    """Replace the file atomically, so that a reader sees the old content or the new one."""
    handle, name = tempfile.mkstemp(prefix=".config-", dir=target.parent)  # has mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(handle)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
