"""The rules of webhooks."""

import pytest
from msgspec.structs import replace

from domain import webhook
from domain.errors import InvalidWebhook, LimitReached, NameTaken, WebhookNotFound
from domain.project import ProjectId
from domain.webhook import (
    CreateWebhook,
    DeleteWebhook,
    EditWebhook,
    EventRedelivered,
    ParkWebhook,
    RecordRedelivery,
    RedeliveryRequested,
    RequestRedelivery,
    ResumeWebhook,
    WebhookConfig,
    WebhookCreated,
    WebhookDeleted,
    WebhookEdited,
    WebhookId,
    WebhookParked,
    WebhookResumed,
)
from store import ids
from tests.domain.given import Given

given = Given(webhook.decider)

CHAT, OTHER = WebhookId(ids.new()), WebhookId(ids.new())
CONFIG = WebhookConfig(
    name="chat", origin="https://hooks.example", project=ProjectId(ids.new()), kinds=("DeploymentFailed",)
)
create = CreateWebhook(webhook=CHAT, config=CONFIG, sealed="s", after=7)
created = WebhookCreated(webhook=CHAT, config=CONFIG, sealed="s", after=7)
parked = WebhookParked(webhook=CHAT, problem="410 Gone")


def test_a_webhook_is_created_with_a_name_of_its_own() -> None:
    given().when(create).then(created)
    given(created).when(replace(create, webhook=OTHER)).refused(NameTaken(kind="webhook", name="chat"))


def test_the_kinds_of_events_are_sorted_and_known() -> None:
    both = replace(CONFIG, kinds=("DeploymentFailed", "DeploymentCancelled", "DeploymentFailed"))
    sorted_ = replace(CONFIG, kinds=("DeploymentCancelled", "DeploymentFailed"))
    given().when(replace(create, config=both)).then(replace(created, config=sorted_))
    for kinds, why in ((), "it has no kind of event"), (("Nonsense",), "there is no event 'Nonsense'"):
        given().when(replace(create, config=replace(CONFIG, kinds=kinds))).refused(InvalidWebhook(why=why))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example",
        "https://",
        "https://user:pass@hooks.example",
        "https://hooks.example/#part",
        "https://hooks.example/a b",
        "https://hooks.example/\r\nHost: other",
        "https://hooks.example:99999/",
        "https://[::1",
        "hooks.example",
        f"https://hooks.example/{'x' * 2_000}",
    ],
)
def test_an_address_is_an_http_url_without_a_user(url: str) -> None:
    with pytest.raises(InvalidWebhook):
        webhook.check_url(url)


def test_only_the_origin_of_an_address_is_shown() -> None:
    webhook.check_url("https://Hooks.example:8443/T0/secret?key=1")
    assert webhook.origin("https://Hooks.example:8443/T0/secret?key=1") == "https://hooks.example:8443"
    assert webhook.origin("http://[::1]/x") == "http://[::1]"


def test_a_secret_has_24_to_64_bytes() -> None:
    webhook.check_secret("whsec_" + "A" * 32)
    for secret in "A" * 32, "whsec_", "whsec_" + "A" * 28, "whsec_" + "A" * 88, "whsec_&":
        with pytest.raises(InvalidWebhook):
            webhook.check_secret(secret)


def test_an_edit_changes_it_once() -> None:
    renamed = replace(CONFIG, name="talk")
    edit = EditWebhook(webhook=CHAT, config=renamed)
    given(created).when(edit).then(WebhookEdited(webhook=CHAT, config=renamed))
    given(created, WebhookEdited(webhook=CHAT, config=renamed)).when(edit).then()
    again = EditWebhook(webhook=CHAT, config=CONFIG, sealed="t")
    given(created).when(again).then(WebhookEdited(webhook=CHAT, config=CONFIG, sealed="t"))
    given().when(edit).refused(WebhookNotFound(webhook=f"webhook_{CHAT.hex}"))


def test_a_parked_webhook_is_resumed() -> None:
    park, resume = ParkWebhook(webhook=CHAT, problem="410 Gone"), ResumeWebhook(webhook=CHAT)
    given(created).when(park).then(parked)
    given(created, parked).when(park).then()
    given(created, parked).when(resume).then(WebhookResumed(webhook=CHAT))
    given(created).when(resume).then()
    given(created, WebhookDeleted(webhook=CHAT)).when(park).then()


def test_an_event_is_redelivered_once_for_each_request() -> None:
    ask, done = RequestRedelivery(webhook=CHAT, position=3), RecordRedelivery(webhook=CHAT, position=3)
    asked = RedeliveryRequested(webhook=CHAT, position=3)
    given(created).when(ask).then(asked)
    given(created, asked).when(ask).then()
    given(created, asked).when(done).then(EventRedelivered(webhook=CHAT, position=3))
    given(created).when(done).then()
    full = [RedeliveryRequested(webhook=CHAT, position=each) for each in range(10, 10 + webhook.MAX_REDELIVERIES)]
    limit = LimitReached(limit=webhook.MAX_REDELIVERIES, what="redeliveries of a webhook that wait")
    given(created, *full).when(ask).refused(limit)


def test_a_deleted_webhook_is_gone() -> None:
    given(created).when(DeleteWebhook(webhook=CHAT)).then(WebhookDeleted(webhook=CHAT))
    given().when(DeleteWebhook(webhook=CHAT)).refused(WebhookNotFound(webhook=f"webhook_{CHAT.hex}"))
