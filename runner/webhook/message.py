"""The messages of webhooks: an event of the log in words, as JSON or as a text for Slack."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, cast, get_args
from uuid import UUID

import msgspec
from msgspec import Struct

from application.handler import Handler
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment.state import DeploymentEvent, DeploymentPlanned
from domain.instance import InstanceEvent
from domain.pipeline.state import PipelineEvent
from domain.project import EnvironmentId
from domain.webhook import Template, WebhookConfig
from projections.event import DeploymentStory, EventView, InstanceStory, PipelineStory
from store.log import RecordedEvent

DEPLOYMENT_EVENTS = frozenset(get_args(DeploymentEvent))
INSTANCE_EVENTS = frozenset(get_args(InstanceEvent))
PIPELINE_EVENTS = frozenset(get_args(PipelineEvent))


class NamedThing(Struct, frozen=True, kw_only=True):
    id: str
    name: str


class NumberedDeployment(Struct, frozen=True, kw_only=True):
    id: str
    number: int


class MessageData(Struct, frozen=True, kw_only=True, rename="camel"):
    """An event: its *message* in words, the actor and the reason, and the things that it is about."""

    message: str
    actor: str
    reason: str | None
    log_position: int
    project: NamedThing
    environment: NamedThing
    deployment: NumberedDeployment | None = None
    stage: NamedThing | None = None
    service: NamedThing | None = None
    failure_reason: str | None = None


class Message(Struct, frozen=True, kw_only=True):
    """A message about the event *type*; *id* is the same at each attempt and at a redelivery."""

    id: str
    type: str
    timestamp: datetime
    data: MessageData

    def body(self, template: Template) -> bytes:
        """Return the body in the form of *template*."""
        if template is Template.JSON:
            return msgspec.json.encode(self)
        where = f"{self.data.project.name} / {self.data.environment.name}"
        why = f" ({self.data.reason})" if self.data.reason else ""
        text = f"*{_escaped(where)}*: {_escaped(self.data.message)}, by {_escaped(self.data.actor + why)}"
        return msgspec.json.encode({"text": text})


def kind(recorded: RecordedEvent) -> str:
    """Return the kind of an event, as webhooks name it."""
    return type(recorded.event).__name__


class Narrator:
    """Describes events in words; *type_name* returns the name of a kind for users."""

    def __init__(self, handler: Handler, type_name: Callable[[str], str]) -> None:
        self._handler = handler
        self._type_name = type_name

    async def message(self, config: WebhookConfig, recorded: RecordedEvent) -> Message | None:
        """Return the message about an event; None if it is of another project or environment."""
        environment, describe = await self._about(recorded)
        if environment is None or config.environment not in (None, environment):
            return None
        pipeline = (await self._handler.states.load(pipelines.decider, environment)).state
        if pipeline.project != config.project:
            return None
        project = (await self._handler.states.load(projects.decider, config.project)).state
        view, deployment = await describe()
        subject = view.subject
        return Message(
            id=f"event_{recorded.id.hex}_{recorded.position}",
            type=self._type_name(kind(recorded)),
            timestamp=recorded.recorded_at,
            data=MessageData(
                message=view.message,
                actor=recorded.by.actor,
                reason=recorded.by.reason,
                log_position=recorded.position,
                project=_named("project", config.project, project.name or ""),
                environment=_named("environment", environment, pipeline.name),
                deployment=deployment,
                stage=None if subject.stage is None else _named("stage", subject.stage.id, subject.stage.name),
                service=None
                if subject.service is None
                else _named("service", subject.service.id, subject.service.name),
                failure_reason=subject.failure_reason,
            ),
        )

    async def _about(
        self, recorded: RecordedEvent
    ) -> tuple[EnvironmentId | None, Callable[[], Awaitable[tuple[EventView, NumberedDeployment | None]]]]:
        """Return the environment of an event, and what describes it."""
        event: Any = recorded.event
        is_instance = type(event) in INSTANCE_EVENTS
        of = UUID(bytes=event.instance.deployment.bytes) if is_instance else recorded.stream

        async def of_pipeline() -> tuple[EventView, NumberedDeployment | None]:
            before = await self._handler.log.events(recorded.stream, until=recorded.version - 1)
            return PipelineStory(pipelines.decider.replay(cast("list[PipelineEvent]", before))).describe(recorded), None

        async def of_deployment() -> tuple[EventView, NumberedDeployment | None]:
            (planned,) = await self._handler.log.events(of, until=1)
            story = InstanceStory() if is_instance else DeploymentStory(cast("DeploymentPlanned", planned))
            view = story.describe(recorded)
            return view, NumberedDeployment(id=f"deployment_{of.hex}", number=view.number)

        if type(event) in PIPELINE_EVENTS:
            return EnvironmentId(recorded.stream), of_pipeline
        return (await self._handler.states.load(deployments.decider, of)).state.environment, of_deployment


def _named(kind: str, id_: UUID, name: str) -> NamedThing:
    return NamedThing(id=f"{kind}_{id_.hex}", name=name)


def _escaped(text: str) -> str:
    """Return *text* for Slack: https://docs.slack.dev/messaging/formatting-message-text#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
