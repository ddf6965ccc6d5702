"""The settings of an identity provider, as the configuration file and `--oidc` have them."""

import re
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from domain.claim import ClaimRule
from domain.session import LONGEST
from server.root_path import InvalidRootPath, normalize_root_path

MAX_PROVIDERS = 10
"""Maximum number of identity providers."""

MAX_RULES = 1_000
"""Maximum number of rules of an identity provider."""

MAX_ISSUER = 140
"""Maximum length of an issuer, in characters: with a subject it is the id of an actor."""

MAX_SESSION = LONGEST // timedelta(minutes=1)
"""Maximum life of a session of the console, in minutes."""

SIGN_IN = "/sign-in"
"""Path of the console's page that a provider sends browsers back to, below the public URL."""

LOOPBACK = "localhost", "127.0.0.1", "::1"
"""Hosts that may be reached without TLS."""

PLAIN = re.compile(r"[!#-\[\]-~]+")
"""Printable ASCII without spaces, quotes and backslashes: it also goes into headers."""


class ProviderInvalid(ValueError):
    """The settings of identity providers are invalid; the message says why."""


class ProviderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """An identity provider.

    - *issuer*: its address, as its tokens have it
    - *name*: its name for people; the host of the issuer without one
    - *audience*: the audience of tokens that programs send; empty if it has none for programs
    - *client_id*: the id of the console at the provider; empty if nobody signs in to the console with it
    - *client_secret_file*: a file with the client's secret; empty for a public client
    - *scope*: the scopes that a sign-in asks for
    - *session_minutes*: the maximum life of a session that it opens
    - *provider_sign_out*: whether signing out leads to the provider, which may end its session, too
    - *name_claim*: the claim that names an actor
    - *rules*: the roles of those who have certain claims
    """

    issuer: str
    audience: str = ""
    name: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    scope: str = "openid profile email"
    session_minutes: int = MAX_SESSION
    provider_sign_out: bool = False
    name_claim: str = "name"
    rules: tuple[ClaimRule, ...] = ()

    def __post_init__(self) -> None:
        if len(self.issuer) > MAX_ISSUER or not PLAIN.fullmatch(self.issuer) or not is_safe(self.issuer):
            raise ValueError(
                f"issuer is {self.issuer[:MAX_ISSUER]!r}; it must be an https:// address of at most {MAX_ISSUER} "
                "characters (http:// on this machine only)"
            )
        if not self.audience and not self.client_id:
            raise ValueError("it needs an audience, for programs, or a client-id, for the console")
        for key, text in (("audience", self.audience), ("client-id", self.client_id)):
            if text and not PLAIN.fullmatch(text):
                raise ValueError(f"{key} is {text!r}; it must be ASCII without spaces and quotes")
        if self.client_secret_file and not self.client_id:
            raise ValueError("client-secret-file needs a client-id")
        if "openid" not in self.scope.split() or not self.scope.isascii() or not self.scope.isprintable():
            raise ValueError(f"scope is {self.scope!r}; it must be ASCII with the scope openid")
        if not 1 <= self.session_minutes <= MAX_SESSION:
            raise ValueError(f"session-minutes is {self.session_minutes}; it must be between 1 and {MAX_SESSION}")
        if len(self.rules) > MAX_RULES:
            raise ValueError(f"{len(self.rules):,} rules; at most {MAX_RULES:,} are allowed")

    @property
    def title(self) -> str:
        """The name of the provider for people."""
        return self.name or urlsplit(self.issuer).hostname or self.issuer


def is_safe(url: str) -> bool:
    """Return whether *url* is reached with TLS, or is on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


def parse(texts: Sequence[str]) -> tuple[ProviderSettings, ...]:
    """Return the providers that *texts* describe, each as a JSON object; raises `ProviderInvalid`."""
    found = tuple(map(_parsed, texts))
    if len(found) > MAX_PROVIDERS:
        raise ProviderInvalid(f"{len(found)} identity providers; at most {MAX_PROVIDERS} are allowed.")
    for each in found:
        if sum(other.issuer == each.issuer for other in found) > 1:
            raise ProviderInvalid(f"Two identity providers have the issuer {each.issuer}: put both into one.")
    return found


def normalize_public_url(text: str) -> str:
    """Return the URL *text* without a slash at its end; raise `ProviderInvalid`."""
    url = text.rstrip("/")
    is_plain = bool(PLAIN.fullmatch(url)) and not set("?#@") & set(url)
    if not is_plain or not is_safe(url):
        raise ProviderInvalid(
            f"Invalid public URL {text!r}: give an https:// address without a query, such as "
            "https://example.com/stageline (http:// on this machine only)."
        )
    try:
        normalize_root_path(urlsplit(url).path)
    except InvalidRootPath as error:
        raise ProviderInvalid(f"Invalid public URL {text!r}: {error}") from error
    return url


def check_public_url(providers: Sequence[ProviderSettings], url: str, root_path: str) -> None:
    """Raise `ProviderInvalid` if people who sign in could not come back to *url*."""
    if url and root_path and urlsplit(url).path != root_path:
        raise ProviderInvalid(f"The public URL {url} has another path than --root-path {root_path}.")
    for each in providers:
        if each.client_id and not url:
            raise ProviderInvalid(
                f"{each.title} has a client-id, but the server has no --public-url: "
                "give the address at which browsers find the console."
            )


def _parsed(text: str) -> ProviderSettings:
    try:
        return msgspec.json.decode(text, type=ProviderSettings)
    except msgspec.DecodeError as error:  # a ValidationError, too
        raise ProviderInvalid(f"Invalid identity provider (oidc): {error}.") from error
