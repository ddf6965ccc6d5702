"""
The addresses that webhooks may reach.

A name is resolved once for each message, and the connection goes to an address that was checked. So a name that changes
its address between the check and the connection (DNS rebinding) reaches nothing else.
"""

import asyncio
import logging
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

PUBLIC = "public"
"""Entry of an allow-list for all addresses of the internet."""

NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that stand for IPv4 addresses: https://www.rfc-editor.org/rfc/rfc6052"""

INTERNET = IPv6Network("2000::/3")
"""The IPv6 addresses of the internet: `is_global` also has site-local ones, and those that translators map to IPv4."""

CLOUDS = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.0/24"))
"""Addresses of the services that Azure and Oracle offer their machines; `is_global` has them in some versions."""

RESOLVING = 5.0
"""Maximum time for resolving a name, in seconds."""

Address = IPv4Address | IPv6Address

logger = logging.getLogger("stageline")


class EntryInvalid(ValueError):
    """An entry of an allow-list has an invalid format."""


class AddressRefused(Exception):
    """The allow-list does not permit a host, or it has no address."""


class AllowList(Struct, frozen=True, kw_only=True):
    """The addresses that webhooks may reach.

    - *is_public*: every address of the internet
    - *hosts*: names whose addresses of the internet are permitted, or endings of names, which begin with a dot
    - *networks*: permitted addresses, of the internet or not
    """

    is_public: bool = True
    hosts: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def permits(self, host: str, address: Address) -> bool:
        """Return whether a message for *host* may go to *address*."""
        plain = embedded(address)
        if any(plain.version == each.version and plain in each for each in self.networks):
            return True
        if not _is_of_the_internet(plain):
            return False
        return self.is_public or any(host == each or (each[0] == "." and host.endswith(each)) for each in self.hosts)


def parse(entries: Iterable[str]) -> AllowList:
    """Return the allow-list of *entries*: `public`, a network such as 10.0.0.0/8, a name, or *.example.com.

    No entry is `public`. Raises `EntryInvalid`.
    """
    listed = [entry.strip().lower() for entry in entries] or [PUBLIC]
    hosts, networks = [], []
    for entry in listed:
        if entry == PUBLIC:
            continue
        if entry[:1].isdigit() or ":" in entry:
            try:
                networks.append(ip_network(entry))
            except ValueError as error:
                raise EntryInvalid(f"Invalid network {entry!r}: {error}.") from None
            continue
        name = entry.removeprefix("*")
        if not name.strip(".").replace("-", "").replace(".", "").isalnum():
            raise EntryInvalid(
                f"Invalid entry {entry!r}: give `public`, a network such as 10.0.0.0/8, a host, or *.example.com."
            )
        hosts.append(name)
    return AllowList(is_public=PUBLIC in listed, hosts=tuple(hosts), networks=tuple(networks))


def _is_of_the_internet(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in INTERNET:
        return False
    is_of_cloud = any(address.version == each.version and address in each for each in CLOUDS)
    return address.is_global and not address.is_multicast and not is_of_cloud


def embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    inner = (address.ipv4_mapped, address.sixtofour, address.teredo and address.teredo[1])
    return next((each for each in inner if each is not None), address)


async def resolve(host: str, port: int, allowed: AllowList) -> Address:
    """Return a permitted address of *host*; raises `AddressRefused`.

    Its message is the same for a name that has no address: users must not learn the names of the server's network.
    """
    try:
        async with asyncio.timeout(RESOLVING):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        why = "the allow-list does not permit its addresses"
    except (OSError, UnicodeError) as error:
        found, why = [], getattr(error, "strerror", None) or "timeout"
    addresses: Sequence[Address] = [ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    for address in addresses:
        if allowed.permits(host.lower(), address):
            return address
    listed = ", ".join(dict.fromkeys(map(str, addresses)))
    values = {"host": host, "addresses": listed or "no address", "reason": why}
    logger.warning("Webhook host %(host)s (%(addresses)s) can't be reached: %(reason)s", values)
    raise AddressRefused(f"{host} has no address that the server's allow-list permits; see --allow-webhook")
