"""The identities of those whom a provider vouches for, and what is cached of them."""

import asyncio
import json
import ssl
import time
from functools import partial
from pathlib import Path
from typing import Any

import jwt

from application import project as use_cases
from application.actor import Profiles
from application.handler import Handler
from application.refusal import Refusals
from domain import project as projects
from domain.claim import ClaimRule
from domain.project import ProjectId
from endpoint.identity import Identity
from server.oidc.federation import Federation
from server.throttle import TokenThrottle
from store import ids
from store.log import Author, Origin
from store.memory import MemoryKeys, MemoryLog
from store.sqlite.cursors import SqliteCursors
from tests.identity.provider import new_key
from tests.server.test_provider import answering

BY = Author(actor="ann", origin=Origin.API)


class SlowKeys(MemoryKeys):
    """Keys of a database that is slow: making one waits until it is *free*."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.free = asyncio.Event(), asyncio.Event()

    async def make(self, id: str) -> bytes:
        self.asked.set()
        await self.free.wait()
        return await super().make(id)


async def test_a_role_of_a_place_that_was_renamed_during_the_check_is_not_cached(tmp_path: Path) -> None:
    """Else the token would have the role until another place is renamed."""
    private, keys, handler = new_key(), SlowKeys(), Handler(MemoryLog())
    project, expiry = ProjectId(ids.new()), int(time.time()) + 600
    create = partial(use_cases.create, project=project, name="Shop")
    await handler.transact(create, projects.decider, BY)
    public: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    body = json.dumps({"keys": [public | {"kid": "first"}]}).encode()
    rule = ClaimRule(claim="groups", value="sre", role="editor", project="Shop")
    async with answering("200 OK", body, (rule,)) as settings:

        async def roles(subject: str, **more: str) -> Any:
            claims = {"iss": settings.issuer, "aud": "x", "sub": subject, "groups": "sre", "iat": 1, "exp": expiry}
            token = jwt.encode(claims | more, private, algorithm="RS256", headers={"kid": "first"})
            found: Identity = await federation.authenticate(token, "127.0.0.1")
            return found.rights

        cursors = await SqliteCursors.open(tmp_path / "cursors.db")
        refusals = Refusals(cursors, "node")
        profiles, throttle = Profiles(handler.states, keys), TokenThrottle(refusals=refusals)
        federation = Federation((settings,), ssl.create_default_context(), handler, profiles, throttle, refusals)
        assert await roles("other")
        waiting = asyncio.create_task(roles("ann", name="Ann"))
        await keys.asked.wait()
        await handler.transact(partial(use_cases.rename, ref=project, name="Store"), projects.decider, BY)
        assert not await roles("other")
        keys.free.set()
        assert await waiting
        assert not await roles("ann", name="Ann")
        await cursors.close()
