"""The console as a client of an identity provider: its secret, and the exchange of a code for an ID token."""

from base64 import b64encode
from pathlib import Path
from urllib.parse import quote_plus

import msgspec
from msgspec import Struct

from endpoint.identity import Unauthenticated
from server.oidc.configuration import ProviderSettings, is_safe
from server.oidc.provider import Document, Provider

MAX_SECRET = 1_000
"""Maximum length of a client's secret, in characters."""

BASIC, POST = "client_secret_basic", "client_secret_post"
"""The ways to send the client's secret (OpenID Connect Core 1.0, 9)."""

CODE = "Invalid code: the identity provider does not accept it, or not any more. Sign in again."


class ClientSecretUnusable(Exception):
    """The file with a client's secret can't be read, or holds none; the message says which."""


class _Answer(Struct, frozen=True):
    """The answer of a token endpoint, as far as it is used."""

    id_token: str | None = None
    error: str | None = None


async def exchange(provider: Provider, secret: str | None, redirect_uri: str, code: str, verifier: str) -> str:
    """Return the ID token for *code*; raise `Unauthenticated` if the provider does not accept it."""
    _, endpoint = endpoints(provider)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    more, headers = _credentials(provider.document, provider.settings, secret)
    status, body = await provider.send("POST", endpoint, form | more, headers)
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError:  # its text could have a part of a token
        raise provider.unusable(f"it answered {status} for the code, and something else than a token") from None
    if answer.error == "invalid_grant":
        raise Unauthenticated(CODE)
    if answer.error in ("invalid_client", "unauthorized_client"):
        raise provider.unusable("it does not accept the client-id with its secret")
    if status != 200 or answer.id_token is None:
        raise provider.unusable(f"it answered {status} for the code: {_word(answer.error)}")
    return answer.id_token


def endpoints(provider: Provider) -> tuple[str, str]:
    """Return where a browser signs in, and where the server exchanges its code; raise `ProviderUnusable`."""
    document = provider.document
    if document is None:
        raise provider.unusable("its discovery document is not known yet")
    return (
        _endpoint(provider, "authorization_endpoint", document.authorization_endpoint),
        _endpoint(provider, "token_endpoint", document.token_endpoint),
    )


def _endpoint(provider: Provider, name: str, address: str | None) -> str:
    if address is None or not is_safe(address) or "#" in address:
        raise provider.unusable(f"its discovery document has no {name} with TLS")
    return address


def client_secret(settings: ProviderSettings) -> str | None:
    """Return the secret of a confidential client, None for a public one; raise `ClientSecretUnusable`."""
    if not settings.client_secret_file:
        return None
    path = Path(settings.client_secret_file).expanduser()
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ClientSecretUnusable(
            f"The client secret of {settings.title}, {path}, can't be read: {reason}."
        ) from error
    if not 0 < len(text) <= MAX_SECRET or not text.isprintable():
        raise ClientSecretUnusable(
            f"{path} holds no client secret of {settings.title}: "
            f"it must be one line of at most {MAX_SECRET:,} characters."
        )
    return text


def _credentials(
    document: Document | None, settings: ProviderSettings, secret: str | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the part of the form and the headers that authenticate the client."""
    if secret is None:
        return {"client_id": settings.client_id}, {}
    methods = (document and document.token_endpoint_auth_methods_supported) or (BASIC,)
    if BASIC not in methods and POST in methods:
        return {"client_id": settings.client_id, "client_secret": secret}, {}
    pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
    return {}, {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _word(error: str | None) -> str:
    """Return an error code of a provider if it is one, since the rest of an answer may be a secret."""
    is_code = error is not None and len(error) <= 60 and error.replace("_", "").isalnum() and error.isascii()
    return error if is_code and error is not None else "without an ID token"
