"""
The deliveries of webhooks: at least once, in the order of the log.

Each webhook follows the log from its own cursor, which is saved after each message that arrived. A message that fails
is retried with a growing pause, and the later ones wait. A webhook that fails for `PATIENCE` is parked. Of several
nodes, one sends; when it ends, another takes over, and may send the last message again.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from msgspec.structs import replace

from application import webhook as use_cases
from application.handler import Handler
from application.secret import Vault
from application.webhook import DeliveryState
from domain.access import ENGINE
from domain.webhook import WEBHOOKS, ParkWebhook, RecordRedelivery, Webhook, WebhookCommand, WebhookId, decider
from runner.retry import follow, log_once, retry
from runner.webhook.message import Message, Narrator, kind
from runner.webhook.sender import DeliveryFailed, Sender
from store.cursors import Cursors
from store.log import Author, Origin

CLAIM = 10.0
"""Time for which a node is the one that sends, in seconds."""

POLL = 3.0
"""Time between two renewals of that claim, in seconds."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 3600.0
"""Shortest and longest time between two attempts to deliver a message, in seconds; it doubles in between."""

PATIENCE = 24 * 3600.0
"""Time for which a message may fail until its webhook is parked, in seconds."""

SAVED_EVENTS = 1_000
"""Maximum number of events without a message after which the cursor is saved."""

logger = logging.getLogger("stageline")

Work = tuple[WebhookId, int | None]
"""A webhook, and the position of an event to send once more; None to follow the log."""


class CursorDeliveries:
    """The progress of webhooks, from their cursors; see `Deliveries`."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    async def states(self, webhooks: Sequence[Webhook]) -> list[DeliveryState]:
        saved = await self._cursors.get([_cursor(each.id) for each in webhooks])
        return [_state(each, saved.get(_cursor(each.id))) for each in webhooks]


class Courier:
    """Sends the messages of all webhooks with *sender*; *holder* names this node."""

    def __init__(
        self,
        handler: Handler,
        vault: Vault,
        cursors: Cursors,
        sender: Sender,
        narrator: Narrator,
        holder: str,
    ) -> None:
        self._handler = handler
        self._vault = vault
        self._cursors = cursors
        self._deliveries = CursorDeliveries(cursors)
        self._sender = sender
        self._narrator = narrator
        self._holder = holder
        self._changed = asyncio.Event()
        self._tasks: dict[Work, tuple[Webhook, asyncio.Task[None]]] = {}
        handler.log.watch(lambda _: self._changed.set(), decider.events)

    async def run(self) -> None:
        """Send until cancelled."""
        last = ""
        try:
            while True:
                self._changed.clear()
                try:
                    is_mine = await self._cursors.claim(self._holder, CLAIM)
                    await self._reconcile(await self._work() if is_mine else {})
                    last = ""
                except Exception as error:
                    await self._reconcile({})
                    last = log_once("Webhooks can't be sent; retrying: %(reason)s", error, last)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._changed.wait()
        finally:
            await self._reconcile({})

    async def _work(self) -> dict[Work, Webhook]:
        """Return the present work, with each webhook as it is now but for its redeliveries."""
        work: dict[Work, Webhook] = {}
        for each in (await self._handler.states.load(decider, WEBHOOKS)).state.entries:
            webhook = replace(each, redeliveries=())
            work |= {(each.id, position): webhook for position in each.redeliveries}
            if each.problem is None:
                work[each.id, None] = webhook
        return work

    async def _reconcile(self, work: Mapping[Work, Webhook]) -> None:
        """Run one task for each item of *work*, and no other."""
        for key, (known, task) in list(self._tasks.items()):
            if work.get(key) != known or task.done():
                task.cancel()
                await asyncio.wait([task])
                del self._tasks[key]
        for key, webhook in work.items():
            if key not in self._tasks:
                self._tasks[key] = webhook, asyncio.create_task(self._deliver(webhook, key[1]), name="webhook")

    async def _deliver(self, webhook: Webhook, position: int | None) -> None:
        try:
            await (self._follow(webhook) if position is None else self._redeliver(webhook, position))
        except Exception:
            values = {"name": webhook.config.name, "pause": POLL}
            logger.exception("Webhook %(name)s stopped; it goes on in %(pause)g s", values)

    async def _redeliver(self, webhook: Webhook, position: int) -> None:
        """Send an event once: an operator asked for it, and sees whether it arrives."""
        for recorded in await self._handler.log.read_all(after=position - 1, limit=1):
            message = await self._narrator.message(webhook.config, recorded)
            if message is not None:
                try:
                    await self._send(webhook, message)
                except DeliveryFailed as failed:
                    values = {"name": webhook.config.name, "position": position, "problem": failed}
                    logger.warning("Webhook %(name)s: event %(position)d was not redelivered: %(problem)s", values)
        await self._do(RecordRedelivery(webhook=webhook.id, position=position))

    async def _follow(self, webhook: Webhook) -> None:
        (state,) = await self._deliveries.states([webhook])
        saved = state.position
        async for batch in follow(self._handler.log, state.position):
            for recorded in batch:
                is_wanted = kind(recorded) in webhook.config.kinds
                message = await self._narrator.message(webhook.config, recorded) if is_wanted else None
                if message is None:
                    continue
                delivered = await self._patiently(webhook, state, message)
                if delivered is None:
                    return
                state = replace(delivered, position=recorded.position)
                saved = recorded.position
                await self._save(webhook, state)
            state = replace(state, position=batch[-1].position)
            if state.position - saved >= SAVED_EVENTS:
                saved = state.position
                await self._save(webhook, state)

    async def _patiently(self, webhook: Webhook, state: DeliveryState, message: Message) -> DeliveryState | None:
        """Send *message* until it arrives; return the state afterwards, or None if the webhook is parked."""
        while True:
            try:
                await self._send(webhook, message)
            except DeliveryFailed as failed:
                since = state.failing_since or time.time()
                state = replace(state, failures=state.failures + 1, failing_since=since, problem=str(failed))
                if failed.gone or time.time() - since > PATIENCE:
                    await self._save(webhook, replace(state, failures=0, failing_since=None))
                    await self._do(ParkWebhook(webhook=webhook.id, problem=str(failed)))
                    return None
                await self._save(webhook, state)
                await asyncio.sleep(min(FIRST_PAUSE * 2 ** min(state.failures - 1, 20), LONGEST_PAUSE))
            else:
                now, count = time.time(), state.delivered + 1
                return DeliveryState(position=state.position, delivered=count, delivered_at=now)

    async def _send(self, webhook: Webhook, message: Message) -> None:
        target = await use_cases.opened(self._vault, webhook)
        if target is None:
            raise DeliveryFailed("the key to its address is lost: edit the webhook with --url and --secret")
        await self._sender.send(target, message.id, message.body(webhook.config.template))

    async def _save(self, webhook: Webhook, state: DeliveryState) -> None:
        await retry(lambda: self._cursors.put(_cursor(webhook.id), msgspec.json.encode(state)))

    async def _do(self, command: WebhookCommand) -> None:
        by = Author(actor=ENGINE, origin=Origin.ENGINE)
        work = partial(use_cases.do, command=command)
        await retry(lambda: self._handler.transact(work, decider, by))


def _state(webhook: Webhook, saved: bytes | None) -> DeliveryState:
    if saved is None:
        return DeliveryState(position=webhook.after)
    return msgspec.json.decode(saved, type=DeliveryState)


def _cursor(webhook: WebhookId) -> str:
    return f"webhook/{webhook.hex}"
