"""The settings of an identity provider, as the configuration file and `--oidc` have them."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from domain.claim import ClaimRule

MAX_PROVIDERS = 10
"""Maximum number of identity providers."""

MAX_RULES = 1_000
"""Maximum number of rules of an identity provider."""

MAX_ISSUER = 140
"""Maximum length of an issuer, in characters: with a subject it is the id of an actor."""

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
    - *audience*: the audience that tokens must have
    - *name_claim*: the claim that names an actor
    - *rules*: the roles of those who have certain claims
    """

    issuer: str
    audience: str
    name: str = ""
    name_claim: str = "name"
    rules: tuple[ClaimRule, ...] = ()

    def __post_init__(self) -> None:
        if len(self.issuer) > MAX_ISSUER or not PLAIN.fullmatch(self.issuer) or not is_safe(self.issuer):
            raise ValueError(
                f"issuer is {self.issuer[:MAX_ISSUER]!r}; it must be an https:// address of at most {MAX_ISSUER} "
                "characters (http:// on this machine only)"
            )
        if not PLAIN.fullmatch(self.audience):
            raise ValueError(f"audience is {self.audience!r}; it must be ASCII without spaces and quotes")
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


def _parsed(text: str) -> ProviderSettings:
    try:
        return msgspec.json.decode(text, type=ProviderSettings)
    except msgspec.DecodeError as error:  # a ValidationError, too
        raise ProviderInvalid(f"Invalid identity provider (oidc): {error}.") from error
