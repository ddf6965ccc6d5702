"""The verification of tokens that identity providers issue: JSON Web Tokens with a public key's signature."""

import jwt

from domain.claim import Claims
from endpoint.identity import ASSERTION_EXPIRED, Unauthenticated
from server.oidc.provider import ALGORITHMS, Provider

MAX_TOKEN = 8_000
"""Maximum length of an identity token, in characters: a header line has at most 8,192 bytes."""

MAX_SUBJECT = 255
"""Maximum length of a subject, in characters (OpenID Connect Core 1.0, 2)."""

SKEW = 60
"""Maximum difference between the clocks of a provider and this server, in seconds."""

REQUIRED = ["aud", "exp", "iat", "iss", "sub"]
"""The claims that each token must have."""

TOO_LONG = f"Invalid identity token: too long; at most {MAX_TOKEN:,} characters are allowed."
MALFORMED = "Invalid identity token."
ALGORITHM = "Invalid algorithm of the identity token: it must be signed with a private key."
ISSUER = "Unknown issuer of the identity token: this server accepts no tokens of it."
KEY = "Unknown key of the identity token: its provider does not publish it."
SIGNATURE = "Invalid signature of the identity token."
TOO_EARLY = f"Invalid identity token: not valid yet. Is a clock wrong by more than {SKEW} s?"
AUDIENCE = "Wrong audience of the identity token. Ask the provider for one with the audience {audience}."

MALFORMATIONS = jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError
"""Faults of a token that is not well-formed."""


def is_token(text: str) -> bool:
    """Return whether *text* looks like a JSON Web Token, and not like a token of this server."""
    return text.startswith("eyJ") and text.count(".") == 2


def issuer(text: str) -> str:
    """Return the issuer that a token names, without any check; raise `Unauthenticated`."""
    if len(text) > MAX_TOKEN:
        raise Unauthenticated(TOO_LONG)
    try:
        named = jwt.decode(text, options={"verify_signature": False}).get("iss")
    except MALFORMATIONS as error:
        raise Unauthenticated(MALFORMED) from error
    return named if isinstance(named, str) else ""


def key_id(text: str) -> str | None:
    """Return the id of the key that a token names, None if it names none; raise `Unauthenticated`."""
    if len(text) > MAX_TOKEN:
        raise Unauthenticated(TOO_LONG)
    try:
        header = jwt.get_unverified_header(text)
    except MALFORMATIONS as error:
        raise Unauthenticated(MALFORMED) from error
    if header.get("alg") not in ALGORITHMS:
        raise Unauthenticated(ALGORITHM)
    named = header.get("kid")
    return named if isinstance(named, str) else None


def verified(provider: Provider, text: str, audience: str) -> Claims:
    """Return the claims of a token for *audience*, by the known keys; raise `Unauthenticated`."""
    key = provider.key(key_id(text))
    if key is None:
        raise Unauthenticated(KEY)
    try:
        claims: Claims = jwt.decode(
            text,
            key.public,
            algorithms=key.algorithms,
            audience=audience,
            issuer=provider.settings.issuer,
            leeway=SKEW,
            options={"require": REQUIRED, "enforce_minimum_key_length": True},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthenticated(ASSERTION_EXPIRED) from None
    except jwt.ImmatureSignatureError:
        raise Unauthenticated(TOO_EARLY) from None
    except jwt.InvalidAudienceError:
        raise Unauthenticated(AUDIENCE.format(audience=audience)) from None
    except jwt.InvalidIssuerError:
        raise Unauthenticated(ISSUER) from None
    except jwt.InvalidAlgorithmError:
        raise Unauthenticated(ALGORITHM) from None
    except jwt.InvalidSignatureError:
        raise Unauthenticated(SIGNATURE) from None
    except MALFORMATIONS as error:
        raise Unauthenticated(MALFORMED) from error
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not _is_plain(subject):
        raise Unauthenticated(MALFORMED)
    return claims


def expiry(claims: Claims) -> int:
    """Return when a token with verified *claims* expires, in seconds since 1970."""
    value = claims["exp"]
    assert isinstance(value, int | float), "it was verified"
    return int(value)


def _is_plain(subject: str) -> bool:
    return subject.isascii() and subject.isprintable() and subject == subject.strip()
