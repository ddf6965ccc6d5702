"""
The network of an environment, in which its services reach each other by name.

An engine gives only about 30 networks an address range of its own choice. So each network gets one from `RANGE`.
"""

import asyncio
from contextlib import suppress
from ipaddress import IPv4Network
from uuid import UUID

from msgspec import Struct

from runner.targets.contract import StepFailed
from runner.targets.docker import label
from runner.targets.docker.container import Container
from runner.targets.docker.engine import Engine, EngineError

RANGE = IPv4Network("10.208.0.0/12")
"""The addresses of all environments' networks; no other network of the engine's machine may have them."""

SIZE = 24
"""Length of the prefix of one network, which has 253 containers at most."""

TRIES = 200
"""Maximum number of address ranges that are tried for a network, because others have them."""


class Network(Struct, rename="pascal", frozen=True):
    id: str
    name: str
    labels: dict[str, str] | None = None


async def ensure(engine: Engine, environment: UUID, owner: UUID) -> None:
    """Create the network of *environment*, unless it exists; raise `StepFailed` if there is no room for it."""
    name = label.network(environment)
    if await _exists(engine, name):
        return
    count = 2 ** (SIZE - RANGE.prefixlen)
    for number in range(TRIES):
        subnet = IPv4Network((int(RANGE[0]) + (environment.int + number) % count * 2 ** (32 - SIZE), SIZE))
        body = {
            "Name": name,
            "CheckDuplicate": True,
            "IPAM": {"Config": [{"Subnet": str(subnet)}]},
            "Labels": {label.OWNER: str(owner), label.ENVIRONMENT: str(environment)},
        }
        try:
            await engine.create("/networks/create", body)
            return
        except EngineError as error:
            if "overlap" not in error.message.lower() and not await _exists(engine, name):
                raise
            if await _appears(engine, name):
                return
    raise StepFailed(f"no address range of {RANGE} is free for the network of the environment")


async def _appears(engine: Engine, name: str) -> bool:
    """Return whether the network exists, or does soon: the last request of a killed server may be creating it.

    Each server tries the same range first, so only one of them succeeds.
    """
    for _ in range(10):
        if await _exists(engine, name):
            return True
        await asyncio.sleep(0.05)
    return False


async def _exists(engine: Engine, name: str) -> bool:
    found = await engine.get("/networks", list[Network], filters={"name": [name]})
    return any(network.name == name for network in found)


async def connect(engine: Engine, container: Container, environment: UUID, alias: str) -> None:
    """Let other services reach *container* as *alias*. It keeps its address, and so its connections.

    A later call completes one that was interrupted.
    """
    network = label.network(environment)
    if container.is_on(network, alias):
        return
    endpoint = container.network_settings.networks.get(network)
    if endpoint is not None:
        await engine.post(f"/networks/{network}/disconnect", {"Container": container.id})
    config: dict[str, object] = {"Aliases": [alias]}
    if endpoint is not None and endpoint.address:
        same = {**config, "IPAMConfig": {"IPv4Address": endpoint.address}}
        with suppress(EngineError):  # another container has got the address meanwhile
            await engine.post(f"/networks/{network}/connect", {"Container": container.id, "EndpointConfig": same})
            return
    await engine.post(f"/networks/{network}/connect", {"Container": container.id, "EndpointConfig": config})


async def disconnect(engine: Engine, container: str, environment: UUID) -> None:
    """Take *container* out of the network, so that its name leads to its successor only."""
    body = {"Container": container, "Force": True}
    with suppress(EngineError):  # it is out, or gone
        await engine.post(f"/networks/{label.network(environment)}/disconnect", body)


async def remove_if_empty(engine: Engine, environment: UUID) -> None:
    """Remove the network of *environment*, unless a container uses it."""
    listed = await engine.get(
        "/containers/json", list[object], all=True, filters=label.filters(environment=environment)
    )
    if not listed:
        with suppress(EngineError):
            await engine.delete(f"/networks/{label.network(environment)}")


async def environments(engine: Engine, owner: UUID) -> list[UUID]:
    """Return the environments for which *owner* has created a network."""
    found = await engine.get("/networks", list[Network], filters=label.filters(owner=owner))
    return [UUID(each.labels[label.ENVIRONMENT]) for each in found if each.labels]
