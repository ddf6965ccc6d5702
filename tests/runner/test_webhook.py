"""Webhooks over real sockets: signed, at least once, in order, to permitted addresses only."""

import asyncio
import hmac
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from application import project as projects
from application import webhook as use_cases
from application.handler import Handler
from application.place import Places
from application.secret import WEBHOOK_KEY, Vault
from application.webhook import DeliveryState, WebhookTarget
from domain import pipeline as pipelines
from domain import project as project_rules
from domain import webhook as webhooks
from domain.deployment.queue import DeploymentId
from domain.errors import InvalidWebhook
from domain.pipeline.environment import CreateEnvironment, EditEnvironment
from domain.pipeline.ref import StageId
from domain.project import EnvironmentId, ProjectId
from domain.webhook import (
    CreateWebhook,
    DeleteWebhook,
    RequestRedelivery,
    ResumeWebhook,
    Template,
    Webhook,
    WebhookConfig,
    WebhookId,
)
from runner.webhook import courier as couriers
from runner.webhook.allow_list import AddressRefused, AllowList, EntryInvalid, parse, resolve
from runner.webhook.courier import Courier
from runner.webhook.message import Narrator
from runner.webhook.sender import DeliveryFailed, Sender, signature
from store import ids
from store.log import Author, Origin, StreamChange
from store.memory import MemoryKeys, MemoryLog
from store.postgres.cursors import PostgresCursors
from store.sqlite.cursors import SqliteCursors
from tests.domain.run import planned
from tests.domain.test_instance import given_up

BY = Author(actor="ann", origin=Origin.API, reason="ticket <7>")
SECRET = "whsec_" + "A" * 32
LOCAL = parse(["127.0.0.0/8"])


class Receiver:
    """A server that keeps requests, and answers with the statuses of *answers*, one after another, then with 200."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.port = 0
        self._arrived = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/path?key=1"

    @property
    def messages(self) -> list[Any]:
        return [json.loads(body) for _, body in self.requests]

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.requests) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        status = self.answers.pop(0) if self.answers else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        self.requests.append(({":line": head[0], **headers}, body))
        self._arrived.set()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


class World:
    """A log with one environment, and a node that sends."""

    def __init__(self, cursors: SqliteCursors | PostgresCursors) -> None:
        self.handler = Handler(MemoryLog())
        self.keys = MemoryKeys()
        self.vault = Vault(self.handler.states, self.keys)
        self.cursors = cursors
        self.project, self.environment = ProjectId(ids.new()), EnvironmentId(ids.new())

    async def begin(self) -> None:
        create = partial(projects.create, project=self.project, name="Shop")
        await self.handler.transact(create, project_rules.decider, BY)
        stages = StageId(ids.new()), StageId(ids.new()), StageId(ids.new()), StageId(ids.new())
        command = CreateEnvironment(name="staging", project=self.project, stages=stages)
        await self.handler.handle(pipelines.decider, self.environment, command, BY)

    async def rename(self, name: str) -> int:
        """Cause an event, and return its position."""
        command = EditEnvironment(name=name)
        done = await self.handler.handle(pipelines.decider, self.environment, command, BY)
        return done.receipt.position

    async def create(self, url: str, **config: Any) -> WebhookId:
        id_ = WebhookId(ids.new())
        target = WebhookTarget(url=url, secret=SECRET)
        sealed = await use_cases.sealed(self.vault, id_, target, is_kept=True)
        given: dict[str, Any] = {"name": "chat", "kinds": ("EnvironmentRenamed",), "project": self.project} | config
        wanted = WebhookConfig(origin=webhooks.origin(url), **given)
        after = await self.handler.log.position()
        await self.do(CreateWebhook(webhook=id_, config=wanted, sealed=sealed, after=after))
        return id_

    async def edit(self, id_: WebhookId, url: str, secret: str | None, *, dry_run: bool = False) -> None:
        edit = partial(use_cases.edit, webhook=id_, changes={}, url=url, secret=secret, vault=self.vault)
        work = partial(edit, is_kept=not dry_run)
        await self.handler.transact(work, webhooks.decider, BY, dry_run=dry_run)

    async def do(self, command: webhooks.WebhookCommand) -> None:
        await self.handler.transact(partial(use_cases.do, command=command), webhooks.decider, BY)

    async def webhook(self, id_: WebhookId) -> Webhook:
        return (await self.handler.states.load(webhooks.decider, webhooks.WEBHOOKS)).state.get(id_)

    async def arrived(self, id_: WebhookId, count: int) -> DeliveryState:
        """Wait until *count* messages are known to have arrived."""
        deliveries, webhook = couriers.CursorDeliveries(self.cursors), await self.webhook(id_)
        async with asyncio.timeout(30):
            while (state := (await deliveries.states([webhook]))[0]).delivered < count:
                await asyncio.sleep(0.01)
        return state

    async def wait(self, id_: WebhookId, condition: Callable[[Webhook], object]) -> None:
        async with asyncio.timeout(30):
            while not condition(await self.webhook(id_)):
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def sending(self, allowed: AllowList = LOCAL, holder: str = "node") -> AsyncIterator[None]:
        narrator = Narrator(self.handler.log, self.handler.states, Places(self.handler.log), str.upper)
        courier = Courier(self.handler, self.vault, self.cursors, Sender(allowed), narrator, holder)
        task = asyncio.create_task(courier.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(couriers, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(couriers, "POLL", 0.05)
    cursors: SqliteCursors | PostgresCursors
    if request.param == "sqlite":
        cursors = await SqliteCursors.open(tmp_path / "cursors.db")
    else:
        cursors = await PostgresCursors.open(request.getfixturevalue("database"))
    world = World(cursors)
    await world.begin()
    yield world
    await cursors.close()
    await world.handler.log.close()


async def test_a_message_is_signed_and_says_what_happened(world: World, receiver: Receiver) -> None:
    await world.create(receiver.url)
    async with world.sending():
        position = await world.rename("live")
        await receiver.wait(1)
    (headers, body), (message,) = receiver.requests[0], receiver.messages
    assert headers[":line"] == "POST /path?key=1 HTTP/1.1"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert message["type"] == "ENVIRONMENTRENAMED"
    data = message["data"]
    assert data["message"] == "staging renamed to live"
    assert (data["actor"], data["reason"], data["logPosition"]) == ("ann", "ticket <7>", position)
    assert data["environment"] == {"id": f"environment_{world.environment.hex}", "name": "live"}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    version, _, digest = headers["webhook-signature"].partition(",")
    assert version == "v1"
    assert b64decode(digest) == hmac.digest(b64decode("A" * 32), signed, "sha256")
    assert headers["webhook-id"] == message["id"]


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of its libraries' tests."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_messages_of_deployments_and_instances_name_the_deployment(world: World, receiver: Receiver) -> None:
    web = replace(given_up.instance, deployment=DeploymentId(ids.new()), number=7)
    deployment = replace(planned(), environment=world.environment, number=7)
    elsewhere = replace(planned(), environment=EnvironmentId(ids.new()))
    await world.create(receiver.url, kinds=("DeploymentPlanned", "InstanceGivenUp"))
    async with world.sending():
        for stream, event in (
            (ids.new(), elsewhere),
            (web.deployment, deployment),
            (ids.new(), replace(given_up, instance=web)),
        ):
            await world.handler.log.append([StreamChange(stream=stream, expected=0, events=(event,))], BY)
        await receiver.wait(2)
    data = [message["data"] for message in receiver.messages]
    assert [each["message"] for each in data] == [
        "deployment 7 requested, pipeline version 5",
        "web: given up after 1 restart",
    ]
    assert [each["deployment"] for each in data] == [{"id": f"deployment_{web.deployment.hex}", "number": 7}] * 2
    assert [each["service"] for each in data] == [None, {"id": f"service_{web.service.hex}", "name": "web"}]


async def test_slack_gets_a_text_without_markup(world: World, receiver: Receiver) -> None:
    await world.create(receiver.url, template=Template.SLACK)
    async with world.sending():
        await world.rename("<!channel>")
        await receiver.wait(1)
    text = receiver.messages[0]["text"]
    assert text == ("*Shop / &lt;!channel&gt;*: staging renamed to &lt;!channel&gt;, by ann (ticket &lt;7&gt;)")


async def test_every_event_arrives_in_order_over_failures_and_restarts(world: World, receiver: Receiver) -> None:
    receiver.answers = ["500 No", "302 Found", "200 OK", "503 No"]
    id_ = await world.create(receiver.url)
    await world.create(receiver.url, name="other", environment=EnvironmentId(ids.new()))
    async with world.sending():
        await world.rename("one")
        await world.arrived(id_, 1)
    await world.rename("two")
    async with world.sending():
        await world.rename("three")
        state = await world.arrived(id_, 3)
    said = [message["data"]["message"].rpartition(" ")[2] for message in receiver.messages]
    assert said == ["one", "one", "one", "two", "two", "three"]
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 3
    assert (state.delivered, state.failures) == (3, 0)


async def test_a_dead_webhook_is_parked_and_misses_nothing_once_it_is_resumed(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "PATIENCE", 0.05)
    id_ = await world.create("http://127.0.0.1:9/")  # the port of nobody
    async with world.sending():
        await world.rename("one")
        await world.wait(id_, lambda webhook: webhook.problem)
        assert "no answer" in str((await world.webhook(id_)).problem)
        await world.edit(id_, receiver.url, None)
        await world.rename("two")
        assert receiver.requests == []
        await world.do(ResumeWebhook(webhook=id_))
        await receiver.wait(2)
        receiver.answers = ["410 Gone"]
        await world.rename("three")
        await world.wait(id_, lambda webhook: webhook.problem)
        assert (await world.webhook(id_)).problem == "answered 410"


async def test_an_event_is_sent_again_on_request_also_while_parked(world: World, receiver: Receiver) -> None:
    receiver.answers = ["200 OK", "410 Gone"]
    id_ = await world.create(receiver.url)
    async with world.sending():
        first = await world.rename("one")
        await receiver.wait(1)
        await world.rename("two")
        await world.wait(id_, lambda webhook: webhook.problem)
        await world.do(RequestRedelivery(webhook=id_, position=first))
        await receiver.wait(3)
        await world.wait(id_, lambda webhook: not webhook.redeliveries)
    first_message, _, again = receiver.messages
    assert (again["id"], again["data"]["message"]) == (first_message["id"], first_message["data"]["message"])


async def test_an_event_without_a_message_is_not_tried_for_ever(world: World, receiver: Receiver) -> None:
    id_ = await world.create(receiver.url)
    async with world.sending():
        await world.do(RequestRedelivery(webhook=id_, position=1))  # the creation of the project
        await world.wait(id_, lambda webhook: not webhook.redeliveries)
    assert receiver.requests == []


async def test_a_deleted_webhook_gets_nothing_and_its_key_is_destroyed(world: World, receiver: Receiver) -> None:
    id_ = await world.create(receiver.url)
    webhook = await world.webhook(id_)
    other = await world.create(receiver.url, name="other")
    await world.do(DeleteWebhook(webhook=id_))
    await world.vault.forget_all()
    assert await use_cases.opened(world.vault, webhook) is None
    assert await use_cases.opened(world.vault, await world.webhook(other)) is not None
    async with world.sending():
        await world.rename("one")
        await world.arrived(other, 1)
        await world.rename("two")
        await world.arrived(other, 2)
    assert len(receiver.requests) == 2


async def test_an_edit_replaces_a_lost_key_and_its_dry_run_does_not(world: World, receiver: Receiver) -> None:
    id_ = await world.create("https://hooks.example/")
    key = use_cases.owner(id_).key(WEBHOOK_KEY)
    await world.keys.destroy([key])
    with pytest.raises(InvalidWebhook, match="its secret must be"):
        await world.edit(id_, receiver.url, None)
    await world.edit(id_, receiver.url, SECRET, dry_run=True)
    assert await world.keys.get([key]) == {}
    await world.edit(id_, receiver.url, SECRET)
    async with world.sending():
        await world.rename("one")
        await receiver.wait(1)


@pytest.mark.long
async def test_one_of_two_nodes_sends(receiver: Receiver, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "CLAIM", 0.3)
    monkeypatch.setattr(couriers, "POLL", 0.05)
    cursors = await PostgresCursors.open(database)
    world = World(cursors)
    await world.begin()
    id_ = await world.create(receiver.url)
    async with world.sending(holder="two"):
        async with world.sending(holder="one"):
            await world.rename("one")
            await world.arrived(id_, 1)
        await world.rename("two")
        await world.arrived(id_, 2)
    said = [message["data"]["message"] for message in receiver.messages]
    assert said == ["staging renamed to one", "one renamed to two"]
    await cursors.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "::127.0.0.1",
        "::ffff:0:7f00:1",
        "64:ff9b:1::a9fe:a9fe",
        "fec0::1",
        "168.63.129.16",
        "192.0.0.192",
    ],
)
def test_the_internet_is_all_that_a_server_permits(address: str) -> None:
    assert not parse([]).permits("hooks.example", ip_address(address))
    assert not parse(["*.example"]).permits("hooks.example", ip_address(address))


def test_an_allow_list_names_hosts_and_networks() -> None:
    public, private = ip_address("93.184.215.14"), ip_address("10.1.2.3")
    assert parse([]).permits("any.example", public)
    assert parse(["10.0.0.0/8", "public"]).permits("any.example", private)
    hosts = parse(["hooks.slack.com", "*.corp.example", "10.0.0.0/8"])
    assert hosts.permits("hooks.slack.com", public)
    assert hosts.permits("a.corp.example", public)
    assert hosts.permits("any.example", private)
    assert not hosts.permits("any.example", public)
    assert not hosts.permits("evilcorp.example", public)
    for entry in "10.0.0.1/8", "https://x.example", "":
        with pytest.raises(EntryInvalid):
            parse([entry])


async def test_what_is_not_permitted_is_not_connected_to(receiver: Receiver) -> None:
    with pytest.raises(AddressRefused, match=r"localhost has no address .* permits; see --allow-webhook"):
        await resolve("localhost", receiver.port, parse([]))
    for url in receiver.url, receiver.url.replace("127.0.0.1", "2130706433"), receiver.url.replace("127.0.0.1", "0"):
        with pytest.raises(DeliveryFailed, match="has no address that the server's allow-list permits"):
            await Sender(parse([])).send(WebhookTarget(url=url, secret=SECRET), "id", b"{}")
    assert receiver.requests == []


async def test_a_refusal_tells_nothing_of_the_network_of_the_server() -> None:
    """A name of the network and a name that does not exist are refused in the same words, and without an address."""
    problems = []
    for host in "localhost", "no-such-host.invalid":
        with pytest.raises(AddressRefused) as refused:
            await resolve(host, 80, parse([]))
        problems.append(str(refused.value).replace(host, "HOST"))
    assert problems[0] == problems[1]
    assert "127.0.0.1" not in problems[0]


async def test_nothing_of_an_answer_comes_out(receiver: Receiver) -> None:
    """Else an admin of an environment could read what other services of a permitted network say."""
    receiver.answers = ["200 OK\r\nwhat nobody may read"]
    with pytest.raises(DeliveryFailed, match=r"^the answer is not HTTP/1\.1$"):
        await Sender(LOCAL).send(WebhookTarget(url=receiver.url, secret=SECRET), "id", b"{}")
