"""The inspection of identity providers before a start: whether each can be used as it is configured."""

import asyncio
import ssl
from collections.abc import Sequence

from msgspec import Struct

from server.certificate import trusted
from server.oidc.client import ClientSecretUnusable, client_secret, endpoints
from server.oidc.configuration import ProviderSettings
from server.oidc.provider import Provider, ProviderUnusable


class Finding(Struct, frozen=True):
    """An identity provider, the number of its keys, and its *fault*; None if it can be used."""

    issuer: str
    name: str
    keys: int
    fault: str | None


def inspect(providers: Sequence[ProviderSettings]) -> list[Finding]:
    """Ask all *providers* at once for their discovery documents and keys, and read the clients' secrets.

    Raises `CertificatesUnusable`, a `ValueError`.
    """
    tls = trusted()

    async def all_of_them() -> list[Finding]:
        return await asyncio.gather(*(_inspected(each, tls) for each in providers))

    return asyncio.run(all_of_them())


async def _inspected(settings: ProviderSettings, tls: ssl.SSLContext) -> Finding:
    provider, fault = Provider(settings, tls), None
    try:
        await provider.read_keys()
        if settings.client_id:
            endpoints(provider)
            client_secret(settings)
    except (ProviderUnusable, ClientSecretUnusable) as found:
        fault = str(found)
    return Finding(settings.issuer, settings.title, provider.key_count, fault)
