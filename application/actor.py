"""
Use cases of actors, and their profiles: sealed in the log, opened with the actors' keys.

The cipher is ChaCha20-Poly1305 (RFC 8439), with a nonce of 12 random bytes in front. The actor's id is the associated
data, so that a profile can't be passed off as another actor's.
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Collection
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec import Struct

from application.handler import States, Transaction
from domain import name as names
from domain.actor import ACTORS, ActorId, Actors, ForgetActor, ProfileSet, SetProfile, decider
from domain.errors import ForgottenActor, InvalidArgument, VersionMismatch
from store.keys import KEY_LENGTH, Keys
from store.log import EventLog

NONCE = 12
"""Length of the nonce, in bytes."""


class Profile(Struct, frozen=True, kw_only=True):
    """The personal data of an actor, which can be forgotten."""

    name: str | None = None
    address: str | None = None


_decode = msgspec.json.Decoder(Profile).decode


class Profiles:
    """The profiles that the log holds and that there are keys for. Opened profiles are not cached."""

    def __init__(self, states: States, keys: Keys) -> None:
        self._states = states
        self._keys = keys

    async def key(self, actor: ActorId, *, is_kept: bool) -> bytes:
        """Return the key to seal the profile of *actor* with; a new key is stored if *is_kept*.

        Raises `ForgottenActor`.
        """
        if actor in (await self.state()).forgotten:
            raise ForgottenActor(actor=actor)
        if is_kept:
            return await self._keys.make(actor)
        return (await self._keys.get([actor])).get(actor) or secrets.token_bytes(KEY_LENGTH)

    async def profiles(self, actors: Collection[str] | None = None) -> dict[str, Profile]:
        """Return the profiles of *actors*, or of all, that can be opened."""
        known = (await self.state()).actors
        wanted = {each.id: each.sealed for each in known if each.sealed and (actors is None or each.id in actors)}
        keys = await self._keys.get(wanted) if wanted else {}
        opened = {each: unseal(keys[each], each, text) for each, text in wanted.items() if each in keys}
        return {each: profile for each, profile in opened.items() if profile is not None}

    async def named(self, log: EventLog, name: str) -> set[ActorId]:
        """Return the actors that have or had *name*, ignoring case, but for forgotten ones."""
        events = await log.events(ACTORS)
        sets = [event for event in events if isinstance(event, ProfileSet)]
        keys = await self._keys.get({event.actor for event in sets}) if sets else {}
        opened = (
            (event.actor, unseal(keys[event.actor], event.actor, event.sealed)) for event in sets if event.actor in keys
        )
        wanted = names.key(name)
        return {actor for actor, profile in opened if profile and profile.name and names.key(profile.name) == wanted}

    async def forget(self, actor: ActorId) -> None:
        """Destroy the key of *actor*, if the log says that the actor is forgotten."""
        if actor in (await self.state()).forgotten:
            await self._keys.destroy([actor])

    async def forget_all(self) -> None:
        """Destroy the keys of all forgotten actors; a crash may have prevented it earlier."""
        await self._keys.destroy((await self.state()).forgotten)

    async def state(self) -> Actors:
        return (await self._states.load(decider, ACTORS)).state


def checked_profile(name: str | None, address: str | None) -> Profile:
    """Return the profile; raises `InvalidName` or `InvalidArgument`."""
    if name is None and address is None:
        raise InvalidArgument(argument="name", why="a name or an address is required; forgetActor removes both")
    if address is not None:
        address = names.checked_text("address", address, names.MAX_DESCRIPTION)
    return Profile(name=None if name is None else names.checked(name), address=address)


async def set_profile(
    transaction: Transaction, actor: ActorId, profile: Profile, key: bytes, by: ActorId, expected: int | None = None
) -> UUID:
    """Replace the profile of *actor*, sealed with *key*. An equal profile is not sealed again."""
    state = await _checked(transaction, actor, expected)
    known = state.find(actor)
    text = None if known is None else known.sealed
    if text is None or unseal(key, actor, text) != profile:
        text = seal(key, actor, profile)
    await transaction.do(decider, ACTORS, SetProfile(actor=actor, sealed=text, by=by))
    return ACTORS


async def forget(transaction: Transaction, actor: ActorId, expected: int | None = None) -> UUID:
    """Forget *actor*; `Profiles.forget` destroys the key afterwards. Raises `ActorNotFound`."""
    await _checked(transaction, actor, expected)
    await transaction.do(decider, ACTORS, ForgetActor(actor=actor))
    return ACTORS


async def _checked(transaction: Transaction, actor: ActorId, expected: int | None) -> Actors:
    """Return all actors; raises `VersionMismatch` unless *expected* is the version of *actor*, or None."""
    state = (await transaction.load(decider, ACTORS)).state
    if expected is not None and expected != state.version(actor):
        raise VersionMismatch(expected=expected, current=state.version(actor))
    return state


def seal(key: bytes, actor: ActorId, profile: Profile) -> str:
    """Return *profile* sealed with *key*, in Base64."""
    nonce = secrets.token_bytes(NONCE)
    text = ChaCha20Poly1305(key).encrypt(nonce, msgspec.json.encode(profile), actor.encode())
    return b64encode(nonce + text).decode()


def unseal(key: bytes, actor: ActorId, text: str) -> Profile | None:
    """Return the profile, or None if it was sealed with another key, which is destroyed."""
    data = b64decode(text)
    try:
        opened = ChaCha20Poly1305(key).decrypt(data[:NONCE], data[NONCE:], actor.encode())
    except InvalidTag:
        return None
    return _decode(opened)


def digest(key: bytes, request: str) -> str:
    """Return a digest of a request, which can't be checked against a guess once the key is destroyed."""
    return hmac.digest(key, request.encode(), "sha256").hex()
