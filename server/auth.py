"""
Tokens: who may come in.

On its first start the server makes an admin token, keeps its hash in the log, and writes the token itself to the
user's configuration, where the command line finds it. Nothing is open without a token.
"""

import hashlib
import json
import os
import secrets
import tempfile
from pathlib import Path

from domain import access
from domain.access import ACCESS, IssueToken, TokenId
from gql.context import Identity
from store import ids
from store.handle import Handler
from store.log import Author, Origin

PREFIX = "stageline_"
ADMIN = "admin"


class Tokens:
    """The good tokens, as the log has them."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def authenticate(self, authorization: str | None) -> Identity | None:
        """Who sent the header *authorization*; None if its token isn't good."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        digest = _hash(token.strip())
        state = (await self._handler.states.load(access.decider, ACCESS)).state
        known = next((each for each in state.tokens if secrets.compare_digest(each.hash, digest)), None)
        return None if known is None else Identity(actor=known.actor, token=known.id)

    async def issue(self, name: str, actor: str = ADMIN) -> str:
        """Makes a token; only its hash is kept."""
        token = PREFIX + secrets.token_urlsafe(32)
        command = IssueToken(token=TokenId(ids.new()), name=name, actor=actor, hash=_hash(token))
        await self._handler.handle(access.decider, ACCESS, command, Author(actor="server", origin=Origin.ENGINE))
        return token

    async def is_first_start(self) -> bool:
        """Whether no token was ever issued."""
        return (await self._handler.states.load(access.decider, ACCESS)).version == 0


def _hash(token: str) -> str:
    # A token is 256 random bits: nothing is gained by hashing it slowly.
    return hashlib.sha256(token.encode()).hexdigest()


class Keyring:
    """The user's configuration file, in which the command line looks a server's token up by its address."""

    def __init__(self, path: Path | None = None) -> None:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self.path = path or home / "stageline" / "config.json"

    def tokens(self) -> dict[str, str]:
        """The known tokens by server address."""
        tokens = self._read().get("tokens", {})
        return tokens if isinstance(tokens, dict) else {}

    def keep(self, url: str, token: str) -> None:
        """Writes *token* down for *url*, readable by the user alone; whatever else the file holds stays."""
        content = self._read()
        content.setdefault("url", url)
        content["tokens"] = self.tokens() | {url: token}
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent)  # made with mode 0600
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
        Path(name).replace(self.path)

    def _read(self) -> dict[str, object]:
        try:
            content = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise SystemExit(f"{self.path} is no JSON ({error}): mend it or move it away.") from error
        return content if isinstance(content, dict) else {}
