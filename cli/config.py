"""
The configuration of the command line: `${XDG_CONFIG_HOME:-~/.config}/stageline/config.json`.

    {"url": "http://127.0.0.1:8000",
     "tokens": {"http://127.0.0.1:8000": "…"},
     "context": "default",
     "contexts": {"default": {"project": "Shop", "projectId": "project_…",
                              "environment": "staging", "environmentId": "environment_…"}}}

A context may have its own `url`. The ids find its project and environment, also after a rename; a context without ids
is found by the names. A server adds its first token to the same file, under its address. Unknown keys are
preserved.
"""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli import private
from cli.errors import Failed, Misused
from cli.text import key

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_CONTEXT = "default"


CONTEXT_KEYS = {
    "project": "project",
    "environment": "environment",
    "url": "url",
    "project_id": "projectId",
    "environment_id": "environmentId",
}
"""The fields of a context, with their names in the file."""


@dataclass
class ContextConfig:
    project: str | None = None
    environment: str | None = None
    url: str | None = None
    project_id: str | None = None
    environment_id: str | None = None

    def document(self) -> dict[str, str | None]:
        """Return the context under the names of the file."""
        return {key: getattr(self, field) for field, key in CONTEXT_KEYS.items()}

    def is_project(self, ref: str) -> bool:
        """Return whether *ref* is the name or the id of the context's project."""
        return ref == self.project_id or key(ref) == key(self.project or "")


@dataclass
class Config:
    url: str | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    context: str = DEFAULT_CONTEXT
    contexts: dict[str, ContextConfig] = field(default_factory=dict)

    @property
    def current(self) -> str:
        """The name of the current context: that of STAGELINE_CONTEXT, else the saved one."""
        return os.environ.get("STAGELINE_CONTEXT") or self.context

    @property
    def scope(self) -> ContextConfig:
        """The current context."""
        name = self.current
        if name not in self.contexts and os.environ.get("STAGELINE_CONTEXT"):
            raise Failed(f"Unknown context {name!r} in STAGELINE_CONTEXT.", hint="See: stageline context list")
        return self.contexts.get(name, ContextConfig())

    @property
    def address(self) -> str:
        """The address of the server."""
        return normal(os.environ.get("STAGELINE_URL") or self.scope.url or self.url or DEFAULT_URL)

    def token(self, url: str) -> str | None:
        """Return the token for the server at *url*. A token for 127.0.0.1 is also sent to localhost."""
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
        token = Path(name).expanduser().read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Failed(f"Can't read {name}, the file in STAGELINE_TOKEN_FILE: {why}.") from error
    if not token:
        raise Failed(f"{name}, the file in STAGELINE_TOKEN_FILE, is empty.")
    return token


def normal(url: str) -> str:
    """Return *url* with a scheme and without the path `/graphql`: the key of its token."""
    if "://" not in url:
        url = f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise Misused(f"Invalid address {url!r}: it must begin with http:// or https://.")
    return url.rstrip("/").removesuffix("/graphql").rstrip("/")


def path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "stageline" / "config.json"


def load() -> Config:
    """Return the saved config, or the defaults. Raise `Failed` if the file can't be read."""
    return _config(_read(path()))


def update(change: Callable[[Config], None]) -> Config:
    """Apply *change* to the saved config, and save it. Concurrent updates wait."""
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
            contexts = {
                name: {key: value for key, value in context.document().items() if value is not None}
                for name, context in config.contexts.items()
            }
            document |= {"tokens": config.tokens, "context": config.context, "contexts": contexts}
            document |= {"url": config.url}
            document = {key: value for key, value in document.items() if value is not None}
            _write(target, document)
        finally:
            os.close(folder)
    except OSError as error:
        raise Failed(f"Can't write the config {target}: {error.strerror or error}.") from error
    return config


def _read(source: Path) -> dict[str, object]:
    try:
        document = json.loads(source.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failed(f"Can't read the config {source}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise Failed(f"The config {source} is not JSON: {error}.", hint="Repair it, or remove it.") from error
    if not isinstance(document, dict):
        raise Failed(f"The config {source} is not a JSON object.", hint="Repair it, or remove it.")
    return document


def _config(document: dict[str, object]) -> Config:
    contexts = {
        name: ContextConfig(**{field: _text(kept.get(key)) for field, key in CONTEXT_KEYS.items()})
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
    """Replace *target* atomically."""
    with private.replaced(target) as file:
        os.fchmod(file.fileno(), 0o600)  # it holds tokens
        file.write(json.dumps(document, indent=2).encode() + b"\n")
