"""
The network of an environment, in which its services reach each other by name.

An engine gives only about 30 networks an address range of its own choice. So each network gets one from `RANGE`.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, ip_network
from uuid import UUID

from msgspec import Struct, field

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

CREATING = 10.0
"""Maximum time in which an engine creates a network, in seconds."""

PAUSE = 0.05
"""Time between two looks at a network that another request creates, in seconds."""


class Subnet(Struct, rename="pascal", frozen=True):
    subnet: str = ""


class AddressManagement(Struct, rename="pascal", frozen=True):
    config: list[Subnet] | None = None


class Network(Struct, rename="pascal", frozen=True):
    """A network in a list."""

    name: str
    labels: dict[str, str] | None = None
    addresses: AddressManagement = field(name="IPAM", default=AddressManagement())

    def overlaps(self, other: IPv4Network) -> bool:
        """Return whether it has addresses of *other*."""
        given = (ip_network(each.subnet) for each in self.addresses.config or () if each.subnet)
        return any(each.overlaps(other) for each in given if isinstance(each, IPv4Network))


async def ensure(engine: Engine, environment: UUID, owner: UUID) -> None:
    """Create the network of *environment*, unless it exists; raise `StepFailed` if there is no room for it.

    All servers try the same ranges in the same order, so only one of them succeeds.
    """
    name = label.network(environment)
    if any(each.name == name for each in await _list(engine, {"name": [name]})):
        return
    count = 2 ** (SIZE - RANGE.prefixlen)
    for number in range(TRIES):
        subnet = IPv4Network((int(RANGE[0]) + (environment.int + number) % count * 2 ** (32 - SIZE), SIZE))
        labels = {label.OWNER: str(owner), label.ENVIRONMENT: str(environment)}
        if await _create(engine, name, subnet, labels):
            return
    raise StepFailed(f"no address range of {RANGE} is free for the network of the environment")


async def _create(engine: Engine, name: str, subnet: IPv4Network, labels: label.Labels) -> bool:
    """Create the network at *subnet*, or wait for the request that does; return whether it exists.

    An engine refuses a range that it has reserved, and lists the network later. That may be the request of another
    deployment, or the last one of a killed server.
    """
    ipam = {"Config": [{"Subnet": str(subnet)}]}
    body = {"Name": name, "CheckDuplicate": True, "IPAM": ipam, "Labels": labels}
    until = time.monotonic() + CREATING
    while True:
        try:
            await engine.create("/networks/create", body)
            return True
        except EngineError as error:
            found = await _list(engine)
            if any(each.name == name for each in found):
                return True
            if "overlap" not in error.message.lower():
                raise
        if any(each.overlaps(subnet) for each in found) or time.monotonic() > until:
            return False
        await asyncio.sleep(PAUSE)


async def _list(engine: Engine, filters: Mapping[str, Sequence[str]] = {}) -> list[Network]:
    return await engine.get("/networks", list[Network], filters=filters)


async def connect(engine: Engine, container: Container, environment: UUID, alias: str) -> bool:
    """Let other services reach *container* as *alias*; return False if they did. It keeps its address and connections.

    A later call completes one that was interrupted.
    """
    network = label.network(environment)
    if container.is_on(network, alias):
        return False
    endpoint = container.network_settings.networks.get(network)
    if endpoint is not None:
        await engine.post(f"/networks/{network}/disconnect", {"Container": container.id})
    config: dict[str, object] = {"Aliases": [alias]}
    if endpoint is not None and endpoint.address:
        same = {**config, "IPAMConfig": {"IPv4Address": endpoint.address}}
        with suppress(EngineError):  # another container has got the address meanwhile
            await engine.post(f"/networks/{network}/connect", {"Container": container.id, "EndpointConfig": same})
            return True
    await engine.post(f"/networks/{network}/connect", {"Container": container.id, "EndpointConfig": config})
    return True


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
    found = await _list(engine, label.filters(owner=owner))
    return [UUID(each.labels[label.ENVIRONMENT]) for each in found if each.labels]
