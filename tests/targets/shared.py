"""The engine that the tests of the Docker target share: each test finds `IMAGE` there, and leaves nothing."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from runner.targets.docker import address, label
from runner.targets.docker.container import ListedContainer
from runner.targets.docker.engine import Engine
from runner.targets.docker.executor import DockerExecutor
from runner.targets.docker.image import Image
from tests.targets.engine import HOST, IMAGE, base

OWNERS = (UUID(int=1000), UUID(int=1001))
"""The servers of tests whose services are removed after each test."""

REGISTRY = "127.0.0.1:"
"""Beginning of the names of images that are in a test's registry."""


@asynccontextmanager
async def shared_engine() -> AsyncIterator[Engine]:
    """Yield the engine; after the block, remove what belongs to `OWNERS`, and check that nothing is left."""
    engine = Engine(address.parse(os.environ[HOST]))
    if not await engine.get("/images/json", list[Any], filters={"reference": [IMAGE]}):
        await engine.load(IMAGE, base())
    yield engine
    for owner in OWNERS:
        await DockerExecutor(engine, owner).sweep(keep=())
    await _forget_registries(engine)
    remains = await left(engine)
    await engine.close()
    assert remains == [], remains


async def _forget_registries(engine: Engine) -> None:
    """Remove the names that images have from the registries of tests, and the images that have no other name."""
    found = await engine.get("/images/json", list[Image])
    for name in [name for each in found for name in (*(each.repo_tags or ()), *(each.repo_digests or ()))]:
        if name.startswith(REGISTRY):
            await engine.delete(f"/images/{name}")


async def left(engine: Engine) -> list[str]:
    """Return the names of all containers, and of the networks, volumes and images that have Stageline's labels."""
    own = {"label": [label.ENVIRONMENT]}
    containers = await engine.get("/containers/json", list[ListedContainer], all=True)
    networks = await engine.get("/networks", list[dict[str, Any]], filters=own)
    volumes = await engine.get("/volumes", dict[str, Any], filters=own)
    images = await engine.get("/images/json", list[Image], filters=own)
    return [
        *(each.name for each in containers),
        *(each["Name"] for each in networks),
        *(each["Name"] for each in volumes["Volumes"] or ()),
        *(f"{each.id} {each.repo_tags}" for each in images),
    ]
