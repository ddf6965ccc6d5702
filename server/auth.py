"""
Tokens: who may come in.

On its first start the server makes an admin token, keeps its hash in the log, and writes the token itself to the
user's configuration, where the command line finds it. Nothing is open without a token.
"""

import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from domain import access
from domain.access import ACCESS, ADMIN, SERVER, Access, IssueToken, TokenId
from gql.identity import EXPIRED, MISSING, REVOKED, UNKNOWN, Credentials, Identity, NotLetIn
from server.guesses import Guesses
from store import ids
from store.handle import Handler
from store.log import Author, Origin, Recorded

PREFIX = "stageline_"

MAX_AUTHORIZATION = 4096
"""Maximum length of an Authorization header or its counterpart in connection_init, in characters."""

HEADERS = 1_000
"""Maximum number of Authorization headers with good tokens that are kept: they need no hash when they come again."""

TOO_LONG = f"The token is too long: at most {MAX_AUTHORIZATION:,} characters are allowed."


class Tokens:
    """The good tokens, as the log has them: kept in memory until the log has something new about them."""

    def __init__(self, handler: Handler) -> None:
        self.guesses = Guesses()
        self._handler = handler
        self._known: dict[str, Identity] = {}  # by the token's hash
        self._by_id: dict[UUID, Identity] = {}
        self._by_header: dict[str, Identity] = {}
        self._state = Access()
        self._version = -1  # of the state above
        self._is_stale = True
        self._changes = 0
        handler.log.watch(self._told, access.decider.events)

    async def authenticate(self, credentials: Credentials) -> Identity:
        """Who has the token of *credentials*; raises `NotLetIn`."""
        given = credentials.authorization
        known = None if self._is_stale or given is None else self._by_header.get(given)
        try:
            if known is None:
                known = await self._find(_of_header(given), credentials.client)
                self._keep(given, known)
            return _unexpired(known)
        except NotLetIn as refused:
            if given:
                self.guesses.failed(credentials.client, refused)
            raise

    def _keep(self, given: str | None, known: Identity) -> None:
        if given is not None and not self._is_stale:
            if len(self._by_header) >= HEADERS:
                self._by_header.clear()
            self._by_header[given] = known

    async def of_id(self, token: UUID, client: str) -> Identity:
        """Who has the token with that id, which was good once; raises `NotLetIn`."""
        if self._is_stale:
            await self._refresh()
        known = self._by_id.get(token)
        if known is None:
            with self.guesses.attempt(client):
                await self._refresh()
                known = self._by_id.get(token)
                if known is None:
                    raise NotLetIn(REVOKED)
        return _unexpired(known)

    async def is_good(self, token: str) -> bool:
        """Whether *token*, which the operator has, lets in."""
        await self._refresh()
        known = self._known.get(_hash(token))
        return known is not None and (known.expires_at is None or known.expires_at > datetime.now(UTC))

    async def _find(self, digest: str, client: str) -> Identity:
        if self._is_stale:
            await self._refresh()
        known = self._known.get(digest)
        if known is not None:
            return known
        if digest in self._state.revoked:
            raise NotLetIn(REVOKED)
        with self.guesses.attempt(client):
            await self._refresh()  # another node may just have issued it
            known = self._known.get(digest)
            if known is None:
                raise NotLetIn(REVOKED if digest in self._state.revoked else UNKNOWN)
            return known

    async def _refresh(self) -> None:
        """Reads what the log has of tokens beyond what is known."""
        changes, log = self._changes, self._handler.log
        loaded = await self._handler.states.load(access.decider, ACCESS, has_asked=not log.is_shared)
        if loaded.version > self._version:
            self._version, self._state = loaded.version, loaded.state
            known = [(each.hash, Identity(each.actor, each.id, each.expires_at)) for each in loaded.state.tokens]
            self._known = dict(known)
            self._by_id = {identity.token: identity for _, identity in known}
            self._by_header.clear()
        if changes == self._changes:
            self._is_stale = False

    def _told(self, _: Sequence[Recorded]) -> None:
        self._changes += 1
        self._is_stale = True

    async def issue(self, token: str, name: str, actor: str = ADMIN) -> None:
        """Makes *token* good; only its hash is kept."""
        command = IssueToken(token=TokenId(ids.new()), name=name, actor=actor, hash=_hash(token))
        await self._handler.handle(access.decider, ACCESS, command, Author(actor=SERVER, origin=Origin.ENGINE))

    async def is_first_start(self) -> bool:
        """Whether no token was ever issued."""
        return (await self._handler.states.load(access.decider, ACCESS)).version == 0


def new_token() -> str:
    """A token that nobody can guess, good for nothing yet."""
    return PREFIX + secrets.token_urlsafe(32)


def _of_header(authorization: str | None) -> str:
    """The hash of the token in a header; raises `NotLetIn` if it has none."""
    if authorization is not None and len(authorization) > MAX_AUTHORIZATION:
        raise NotLetIn(TOO_LONG)
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotLetIn(MISSING)
    return _hash(token.strip())


def _unexpired(known: Identity) -> Identity:
    if known.expires_at is not None and known.expires_at <= datetime.now(UTC):
        raise NotLetIn(EXPIRED)
    return known


def _hash(token: str) -> str:
    # A token is 256 random bits: nothing is gained by hashing it slowly.
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


class KeyringUnusable(Exception):
    """The file can't be read or written; the message says what to do."""


class Keyring:
    """The user's configuration file, in which the command line looks a server's token up by its address."""

    def __init__(self, path: Path | None = None) -> None:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self.path = path or home / "stageline" / "config.json"

    def tokens(self) -> dict[str, str]:
        """The known tokens by server address."""
        return _tokens(self._read())

    def keep(self, url: str, token: str) -> None:
        """Writes *token* down for *url*, readable by the user alone; whatever else the file holds stays.

        The folder's lock is the one that the command line takes: whoever writes at the same time waits.
        Raises `KeyringUnusable`.
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
            raise KeyringUnusable(f"{self.path} is no JSON ({error}): mend it or move it away.") from error
        if not isinstance(content, dict):
            raise KeyringUnusable(f"{self.path} is no JSON object: mend it or move it away.")
        return content


def _tokens(content: dict[str, object]) -> dict[str, str]:
    tokens = content.get("tokens")
    known = tokens if isinstance(tokens, dict) else {}
    return {url: token for url, token in known.items() if isinstance(token, str)}


def _replace(target: Path, content: dict[str, object]) -> None:
    """In one step: whoever reads sees the old file or the new one."""
    handle, name = tempfile.mkstemp(prefix=".config-", dir=target.parent)  # made with mode 0600
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
