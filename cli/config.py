"""
What the command line keeps between two calls: `${XDG_CONFIG_HOME:-~/.config}/stageline/config.json`.

    {"url": "http://127.0.0.1:8000",
     "tokens": {"http://127.0.0.1:8000": "…"},
     "context": "default",
     "contexts": {"default": {"project": "Shop", "environment": "staging"}}}

A context may carry a `url` of its own. The server adds its first token under its address, in the same file. Keys that
aren't known here are left as they are.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli import private
from cli.errors import Failed, Misused

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_CONTEXT = "default"


@dataclass
class Context:
    project: str | None = None
    environment: str | None = None
    url: str | None = None

    def document(self) -> dict[str, str]:
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass
class Config:
    url: str | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    context: str = DEFAULT_CONTEXT
    contexts: dict[str, Context] = field(default_factory=dict)

    @property
    def current(self) -> str:
        """The name of the context in use: the variable STAGELINE_CONTEXT goes before what is kept."""
        return os.environ.get("STAGELINE_CONTEXT") or self.context

    @property
    def scope(self) -> Context:
        """The context in use."""
        name = self.current
        if name not in self.contexts and os.environ.get("STAGELINE_CONTEXT"):
            raise Failed(
                f"STAGELINE_CONTEXT names no context that is kept: {name!r}.", hint="See: stageline context list"
            )
        return self.contexts.get(name, Context())

    @property
    def address(self) -> str:
        """Where the server is."""
        return normal(os.environ.get("STAGELINE_URL") or self.scope.url or self.url or DEFAULT_URL)

    def token(self, url: str) -> str | None:
        """The token for the server at *url*; one for 127.0.0.1 is also good for localhost, the same machine."""
        if given := given_token():
            return given
        return self.tokens.get(url) or self.tokens.get(url.replace("//localhost", "//127.0.0.1", 1))


def given_token() -> str | None:
    """Return the token in STAGELINE_TOKEN, else in the file that STAGELINE_TOKEN_FILE names, if either is set.

    Raise `Failed` if there is no token in that file.
    """
    if token := os.environ.get("STAGELINE_TOKEN"):
        return token
    name = os.environ.get("STAGELINE_TOKEN_FILE")
    if not name:
        return None
    try:
        token = Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise Failed(f"The file that STAGELINE_TOKEN_FILE names can't be read: {name}: {why}.") from error
    if not token:
        raise Failed(f"The file that STAGELINE_TOKEN_FILE names is empty: {name}.")
    return token


def normal(url: str) -> str:
    """*url* as the key that its token is kept under: with a scheme, without the path that all servers have."""
    if "://" not in url:
        url = f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise Misused(f"{url!r} is no address of a server: it begins with http:// or https://.")
    return url.rstrip("/").removesuffix("/graphql").rstrip("/")


def path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "stageline" / "config.json"


def load() -> Config:
    """What is kept, or the defaults; raises `Failed` when the file can't be read."""
    return _config(_read(path()))


def update(change: Callable[[Config], None]) -> Config:
    """Keeps what *change* makes of the present config; others who update meanwhile wait their turn."""
    target = path().resolve()
    try:
        private.folder(target.parent)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fchmod(folder, 0o700)
            fcntl.flock(folder, fcntl.LOCK_EX)
            document = _read(target)
            config = _config(document)
            change(config)
            contexts = {name: context.document() for name, context in config.contexts.items()}
            document |= {"tokens": config.tokens, "context": config.context, "contexts": contexts}
            document |= {"url": config.url}
            document = {key: value for key, value in document.items() if value is not None}
            _write(target, document)
        finally:
            os.close(folder)
    except OSError as error:
        raise Failed(f"The config can't be kept: {target}: {error.strerror or error}.") from error
    return config


def _read(source: Path) -> dict[str, object]:
    try:
        document = json.loads(source.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failed(f"The config can't be read: {source}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise Failed(f"The config is no JSON: {source}: {error}.", hint="Repair it, or remove it.") from error
    if not isinstance(document, dict):
        raise Failed(f"The config is no JSON object: {source}.", hint="Repair it, or remove it.")
    return document


def _config(document: dict[str, object]) -> Config:
    contexts = {
        name: Context(**{key: value for key in ("project", "environment", "url") if (value := _text(kept.get(key)))})
        for name, kept in _mapping(document.get("contexts")).items()
        if isinstance(kept, dict)
    }
    tokens = {url: token for url, token in _mapping(document.get("tokens")).items() if isinstance(token, str)}
    return Config(
        url=_text(document.get("url")),
        tokens=tokens,
        context=_text(document.get("context")) or DEFAULT_CONTEXT,
        contexts=contexts,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _write(target: Path, document: dict[str, object]) -> None:
    """Replaces *target* in one step: whoever reads sees the old or the new file, never half of one."""
    handle, name = tempfile.mkstemp(prefix=".config-", dir=target.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)  # noqa: PTH105 -- the same rename, without making a Path of it
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
