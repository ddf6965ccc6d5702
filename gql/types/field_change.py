"""The changed fields of a service's specification."""

import json

import strawberry
from strawberry.utils.str_converters import to_camel_case

from domain.spec import ServiceSpec
from gql.types import spec as specs


@strawberry.type(description="A changed field of a specification. The values are JSON.")
class FieldChange:
    field: str = strawberry.field(description="Name of the field of ServiceSpec.")
    before: str = strawberry.field(description="The previous value, as JSON.")
    after: str = strawberry.field(description="The new value, as JSON.")


def field_changes(before: ServiceSpec, after: ServiceSpec) -> list[FieldChange]:
    """Return the fields that differ, with their names and values in GraphQL."""
    old, new = (strawberry.asdict(specs.from_domain(spec)) for spec in (before, after))
    return [
        FieldChange(field=to_camel_case(name), before=_json(old[name]), after=_json(new[name]))
        for name in old
        if old[name] != new[name]
    ]


def _json(value: object) -> str:
    return json.dumps(_with_graphql_names(value), ensure_ascii=False)


def _with_graphql_names(value: object) -> object:
    match value:
        case dict():
            return {to_camel_case(name): _with_graphql_names(each) for name, each in value.items()}
        case list():
            return [_with_graphql_names(each) for each in value]
        case _:
            return value
