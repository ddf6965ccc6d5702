import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    is_enum_type,
    is_leaf_type,
    parse,
    validate,
)

from application.refusal import RefusalReason
from domain.container import Pull
from domain.deployment.queue import Action, QueueEvent
from domain.deployment.state import Cancellation, DeploymentEvent
from domain.deployment.step import Phase, Status
from domain.deployment.wait import WaitReason
from domain.instance import InstanceEvent, InstanceStatus
from domain.pipeline.environment import OnRequest, Target
from domain.pipeline.freeze import OnFreeze
from domain.pipeline.gate import OnTimeout
from domain.pipeline.stage import OnFailure
from domain.pipeline.state import PipelineEvent
from domain.project import ProjectEvent
from domain.role import Role
from domain.spec import Restart, ServiceType, StopSignal
from domain.webhook import Template
from gql import schema
from gql.contract import refusal
from gql.document import pipeline
from gql.document.format import DocumentFormat
from gql.types.change import PipelineEventType
from gql.types.deployment_list import DeploymentOrder
from gql.types.environment import EnvironmentOrder
from gql.types.event import DeploymentEventType, InstanceEventType, QueueEventType
from gql.types.instance import PlannedAction
from gql.types.progress import ServiceWaitReason
from gql.types.project_event import ProjectEventType
from gql.types.webhook import WebhookEventType
from store.log import Origin
from store.output import LineKind
from tests.serving import ROOT

TYPES = {name: type_ for name, type_ in schema.schema._schema.type_map.items() if not name.startswith("__")}
EVENT = TYPES["Event"]
ENUMS: dict[str, type[Enum]] = {
    "RefusalReason": RefusalReason,
    "DeploymentAction": Action,
    "Cancellation": Cancellation,
    "DeploymentEventType": DeploymentEventType,
    "DeploymentOrder": DeploymentOrder,
    "EnvironmentOrder": EnvironmentOrder,
    "InstanceEventType": InstanceEventType,
    "InstanceStatus": InstanceStatus,
    "LogKind": LineKind,
    "OnFailure": OnFailure,
    "OnFreeze": OnFreeze,
    "OnRequest": OnRequest,
    "OnTimeout": OnTimeout,
    "Origin": Origin,
    "DocumentFormat": DocumentFormat,
    "PlannedAction": PlannedAction,
    "StepPhase": Phase,
    "PipelineEventType": PipelineEventType,
    "ProjectEventType": ProjectEventType,
    "QueueEventType": QueueEventType,
    "RefusalCode": refusal.RefusalCode,
    "Role": Role,
    "Restart": Restart,
    "ServiceType": ServiceType,
    "ServiceWaitReason": ServiceWaitReason,
    "StopSignal": StopSignal,
    "RunStatus": Status,
    "EnvironmentTarget": Target,
    "PullPolicy": Pull,
    "WaitReason": WaitReason,
    "WebhookEventType": WebhookEventType,
    "WebhookTemplate": Template,
}


def test_the_committed_sdl_is_that_of_the_schema() -> None:
    assert schema.SDL.read_text() == schema.sdl(), "regenerate it, and read the difference: python -m gql.schema"


def test_the_committed_schema_of_documents_is_what_they_are() -> None:
    committed = (ROOT / pipeline.SCHEMA).read_bytes()
    assert committed == pipeline.schema(), "regenerate it, and read the difference: python -m gql.document.pipeline"


def test_every_type_field_argument_and_value_says_what_it_is() -> None:
    assert [coordinate for coordinate, thing in _things() if not thing.description] == []


def test_what_is_deprecated_says_what_to_use_until_when() -> None:
    reasons = [getattr(thing, "deprecation_reason", None) for _, thing in _things()]
    assert [reason for reason in reasons if reason and not re.search(r"^Use .+ until \d{4}-\d\d-\d\d", reason)] == []


def _things() -> Iterator[tuple[str, Any]]:
    """Yield all types, fields, arguments and values with their coordinates."""
    for name, type_ in TYPES.items():
        yield name, type_
        for key, part in (getattr(type_, "fields", None) or getattr(type_, "values", None) or {}).items():
            yield f"{name}.{key}", part
            for own, argument in getattr(part, "args", {}).items():
                yield f"{name}.{key}({own})", argument


def test_every_mutation_answers_with_a_payload_or_a_refusal_and_has_the_common_arguments() -> None:
    mutation = TYPES["Mutation"]
    assert isinstance(mutation, GraphQLObjectType)
    for name, field in mutation.fields.items():
        assert isinstance(field.type, GraphQLNonNull), name
        union = field.type.of_type
        assert isinstance(union, GraphQLUnionType), name
        payload, other = union.types
        assert other.name == "Refusal", name
        assert [each.name for each in payload.interfaces] == ["Payload"], name
        noun = payload.name.removesuffix("Payload")
        assert union.name == f"{noun}Result", name
        assert noun[0].lower() + noun[1:] in payload.fields, name
        assert {"reason", "idempotencyKey", "dryRun"} <= field.args.keys(), name


def test_a_root_that_fails_does_not_wipe_the_answer() -> None:
    """A root that reads what a client names, or a list, is nullable; the others fail with the whole server."""
    query = TYPES["Query"]
    assert isinstance(query, GraphQLObjectType)
    assert {name for name, field in query.fields.items() if isinstance(field.type, GraphQLNonNull)} == {
        "cursor",
        "logHead",
    }


def test_every_list_that_grows_is_a_connection_both_ways() -> None:
    for type_ in TYPES.values():
        for name, field in getattr(type_, "fields", {}).items():
            if str(field.type).rstrip("!").endswith("Connection") and type_.name != "Subscription":
                assert {"first", "after", "last", "before"} <= field.args.keys(), f"{type_.name}.{name}"


def test_the_enums_are_the_domains_own_and_those_that_stand_for_its_types() -> None:
    shown = {name: set(type_.values) for name, type_ in TYPES.items() if isinstance(type_, GraphQLEnumType)}
    assert shown == {name: set(enum.__members__) for name, enum in ENUMS.items()}


@pytest.mark.parametrize(
    ("shown", "events"),
    [
        (DeploymentEventType, DeploymentEvent),
        (PipelineEventType, PipelineEvent),
        (ProjectEventType, ProjectEvent),
        (QueueEventType, QueueEvent),
        (InstanceEventType, InstanceEvent),
    ],
)
def test_every_event_has_its_type(shown: type[Enum], events: object) -> None:
    assert {type_.value for type_ in shown} == {event.__name__ for event in get_args(events)}


def test_there_is_a_code_for_every_refusal_that_a_client_can_meet_and_for_no_other() -> None:
    kinds = {kind for kind in refusal.leaves() if kind.__module__ == "domain.errors"}
    assert {code.value for code in refusal.RefusalCode} == {kind.code for kind in kinds - set(refusal.NOT_FOR_CLIENTS)}
    assert [code for code in refusal.RefusalCode if code.name != code.value] == []


def test_one_answer_may_have_the_type_of_every_kind_of_event() -> None:
    """GraphQL refuses one response name for different enums (5.3.2)."""
    kinds = [type_ for type_ in TYPES.values() if isinstance(type_, GraphQLObjectType) and EVENT in type_.interfaces]
    leaves = {
        kind.name: [name for name, field in kind.fields.items() if is_leaf_type(get_named_type(field.type))]
        for kind in kinds
    }
    assert leaves.keys() == {"DeploymentEvent", "InstanceEvent", "PipelineEvent", "ProjectEvent", "QueueEvent"}
    fields = " ".join(f"... on {name} {{ {' '.join(own)} }}" for name, own in leaves.items())
    asked = f'subscription {{ environmentEvents(environment: "x") {{ {fields} }} }}'
    assert validate(schema.schema._schema, parse(asked)) == []


def test_a_duration_has_its_unit_in_its_name() -> None:
    timed = re.compile(r"(Timeout|Grace|Period|Interval|Duration|Delay)$|^(timeout|interval|duration)$")
    fields = [field for type_ in TYPES.values() for field in getattr(type_, "fields", {}).items()]
    named = {name for name, field in fields if not is_enum_type(get_named_type(field.type))}
    assert [name for name in named if timed.search(name)] == []


def test_no_field_begins_with_the_name_of_its_type_but_those_that_tell_kinds_of_events_apart() -> None:
    found = {
        name
        for type_ in TYPES.values()
        for name in getattr(type_, "fields", {})
        if name.lower().startswith(type_.name.lower())
    }
    assert found == {
        "deploymentEventType",
        "instanceEventType",
        "pipelineEventType",
        "projectEventType",
        "queueEventType",
    }
