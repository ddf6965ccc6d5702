"""
Profiles of actors: sealed in the log, opened with the actors' keys.

The cipher is ChaCha20-Poly1305 (RFC 8439), with a nonce of 12 random bytes in front. The actor's id is the associated
data, so that a profile can't be passed off as another actor's.
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Collection

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec import Struct

from application.handler import States
from domain.actor import ACTORS, ActorId, Actors, decider
from store.keys import KEY_LENGTH, Keys

NONCE = 12
"""Length of the nonce, in bytes."""


class Profile(Struct, frozen=True, kw_only=True):
    """The personal data of an actor, which can be forgotten."""

    name: str | None = None
    address: str | None = None


class Profiles:
    """The profiles that the log holds and that there are keys for. Opened profiles are not cached."""

    def __init__(self, states: States, keys: Keys) -> None:
        self._states = states
        self._keys = keys

    async def key(self, actor: ActorId, *, is_kept: bool) -> bytes:
        """Return the key to seal the profile of *actor* with; a new key is stored if *is_kept*."""
        if is_kept:
            return await self._keys.make(actor)
        return (await self._keys.get([actor])).get(actor) or secrets.token_bytes(KEY_LENGTH)

    async def profiles(self, actors: Collection[str] | None = None) -> dict[str, Profile]:
        """Return the profiles of *actors*, or of all, that can be opened."""
        known = (await self.state()).actors
        wanted = {each.id: each.sealed for each in known if each.sealed and (actors is None or each.id in actors)}
        keys = await self._keys.get(wanted) if wanted else {}
        opened = {each: unsealed(keys[each], each, text) for each, text in wanted.items() if each in keys}
        return {each: profile for each, profile in opened.items() if profile is not None}

    async def names(self, actors: list[str]) -> list[str | None]:
        """Return the name of each of *actors*, or None where it is unknown."""
        profiles = await self.profiles(set(actors))
        return [profiles[each].name if each in profiles else None for each in actors]

    async def forget(self, actor: ActorId) -> None:
        """Destroy the key of *actor*, if the log says that the actor is forgotten."""
        if actor in (await self.state()).forgotten:
            await self._keys.destroy([actor])

    async def forget_all(self) -> None:
        """Destroy the keys of all forgotten actors; a crash may have prevented it earlier."""
        await self._keys.destroy((await self.state()).forgotten)

    async def state(self) -> Actors:
        return (await self._states.load(decider, ACTORS)).state


def sealed(key: bytes, actor: ActorId, profile: Profile) -> str:
    """Return *profile* sealed with *key*, in Base64."""
    nonce = secrets.token_bytes(NONCE)
    text = ChaCha20Poly1305(key).encrypt(nonce, msgspec.json.encode(profile), actor.encode())
    return b64encode(nonce + text).decode()


def unsealed(key: bytes, actor: ActorId, text: str) -> Profile | None:
    """Return the profile, or None if it was sealed with another key, which is destroyed."""
    data = b64decode(text)
    try:
        opened = ChaCha20Poly1305(key).decrypt(data[:NONCE], data[NONCE:], actor.encode())
    except InvalidTag:
        return None
    return msgspec.json.decode(opened, type=Profile)


def digest(key: bytes, request: str) -> str:
    """A request's digest that says nothing of what was asked for once the key is destroyed."""
    return hmac.digest(key, request.encode(), "sha256").hex()
