"""
Use cases of webhooks.

The address and the secret for signatures are sealed in the log, with a key that is destroyed with the webhook.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from application.handler import Transaction
from application.secret import WEBHOOK_KEY, Owner, OwnerKind, Vault, seal, unseal
from domain.webhook import (
    WEBHOOKS,
    EditWebhook,
    ParkWebhook,
    Webhook,
    WebhookCommand,
    WebhookId,
    check_secret,
    check_url,
    decider,
    origin,
)

TARGET = "target"
"""Name of the sealed value of a webhook."""

BY_HAND = "parked by hand"
"""The problem of a webhook that a user has parked."""


class WebhookTarget(Struct, frozen=True, kw_only=True):
    """The address of a webhook, and the secret that signs its messages."""

    url: str
    secret: str


_decode = msgspec.json.Decoder(WebhookTarget).decode


class DeliveryState(Struct, frozen=True, kw_only=True):
    """The progress of a webhook: *position* is that of the last event that it got or did not want.

    *delivered* messages have arrived, the last one at *delivered_at*. The present message has failed *failures* times
    since *failing_since*, last with *problem*. Times are seconds since the epoch.
    """

    position: int
    delivered: int = 0
    delivered_at: float | None = None
    failures: int = 0
    failing_since: float | None = None
    problem: str | None = None


class Deliveries(Protocol):
    """The progress of webhooks."""

    async def states(self, webhooks: Sequence[Webhook]) -> list[DeliveryState]:
        """Return the progress of each webhook."""
        ...


def owner(webhook: WebhookId) -> Owner:
    """Return the owner of the key of a webhook."""
    return Owner(OwnerKind.WEBHOOK, webhook)


async def sealed(vault: Vault, webhook: WebhookId, target: WebhookTarget, *, is_kept: bool) -> str:
    """Return *target* sealed; raises `InvalidWebhook`."""
    check_url(target.url)
    check_secret(target.secret)
    key = await vault.key(owner(webhook), WEBHOOK_KEY, is_kept=is_kept)
    return seal(key, owner(webhook), TARGET, msgspec.json.encode(target).decode())


async def opened(vault: Vault, webhook: Webhook) -> WebhookTarget | None:
    """Return the address and the secret of a webhook; None if its key is lost."""
    key = await vault.key(owner(webhook.id), WEBHOOK_KEY, is_kept=False)
    text = unseal(key, owner(webhook.id), TARGET, webhook.sealed)
    return None if text is None else _decode(text)


async def edit(
    transaction: Transaction,
    webhook: WebhookId,
    changes: dict[str, object],
    url: str | None,
    secret: str | None,
    vault: Vault,
    *,
    is_kept: bool,
) -> UUID:
    """Change fields of the configuration, the address or the secret; *is_kept* is false for a dry run.

    A webhook whose key is lost needs both the address and the secret. Raises `WebhookNotFound` or `InvalidWebhook`.
    """
    known = (await transaction.load(decider, WEBHOOKS)).state.get(webhook)
    new = None
    if url is not None or secret is not None:
        before = await opened(vault, known)
        known_url, known_secret = ("", "") if before is None else (before.url, before.secret)
        target = WebhookTarget(url=known_url if url is None else url, secret=known_secret if secret is None else secret)
        changes = changes | {"origin": origin(target.url)}
        new = None if target == before else await sealed(vault, webhook, target, is_kept=is_kept)
    config = msgspec.structs.replace(known.config, **changes)
    return await do(transaction, EditWebhook(webhook=webhook, config=config, sealed=new))


async def park(transaction: Transaction, webhook: WebhookId) -> UUID:
    """Send nothing until the webhook is resumed; raises `WebhookNotFound`."""
    (await transaction.load(decider, WEBHOOKS)).state.get(webhook)
    return await do(transaction, ParkWebhook(webhook=webhook, problem=BY_HAND))


async def do(transaction: Transaction, command: WebhookCommand) -> UUID:
    """Carry out a command that needs nothing but the webhooks."""
    await transaction.do(decider, WEBHOOKS, command)
    return WEBHOOKS
