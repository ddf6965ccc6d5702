"""Answers of an identity provider that are of no use: each is an error with a reason, and costs little."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from domain.claim import ClaimRule
from server.oidc.configuration import ProviderSettings
from server.oidc.provider import MAX_BODY, Provider, ProviderUnusable


@asynccontextmanager
async def answering(status: str, keys: bytes, rules: tuple[ClaimRule, ...] = ()) -> AsyncIterator[ProviderSettings]:
    """Yield the settings of a provider that answers with a discovery document, and a *status* and *keys*."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        document = json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/keys"}).encode()
        line, body = (status, keys) if path == b"/keys" else ("200 OK", document)
        writer.write(f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield ProviderSettings(issuer=issuer, audience="x", rules=rules)


@pytest.mark.parametrize(
    ("status", "keys", "why"),
    [
        ("200 OK", b'{"keys": [{"x": ' + b"[" * 100_000, "is invalid: maximum recursion depth"),
        ("200 OK", b'{"keys": [' + b" " * MAX_BODY, "has more than 262,144 bytes"),
        ("200 OK", b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "has no public key for RS256"),
        ("302 Found\r\nLocation: http://169.254.169.254/", b"", "it answered 302"),
    ],
    ids=["endless", "huge", "a secret", "a redirect"],
)
async def test_an_answer_that_is_of_no_use_is_an_error(status: str, keys: bytes, why: str) -> None:
    async with answering(status, keys) as settings:
        provider = Provider(settings, ssl.create_default_context())
        with pytest.raises(ProviderUnusable, match=rf"^The identity provider 127\.0\.0\.1 can't be used: .*{why}"):
            await provider.read_keys()
        assert provider.key(None) is None
