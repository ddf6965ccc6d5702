"""
The common part of all mutations.

`@mutation` gives a resolver the common arguments (reason, idempotencyKey, dryRun) and, if its subject has a version,
expectedVersion and unchangedSince. It passes them to the resolver as a `Write`, and returns a refusal as data.
"""

import functools
import hashlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID, uuid5

import msgspec
import strawberry
from msgspec.structs import replace

from application.handler import Outcome, Transaction
from domain import name as names
from domain.decider import Decider
from domain.errors import Forbidden, IdempotencyKeyReused, InvalidArgument, Refused
from endpoint import trace
from gql import access
from gql.context import Context, Info
from gql.rules import MUTATIONS
from gql.types.refusal import Refusal, refusal
from tracing.span import annotate, span

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
State = TypeVar("State")

MAX_KEY = 200
"""Maximum length of an idempotency key, in characters."""


@strawberry.interface(description="The answer to a mutation that was not refused.")
class Payload:
    """The common part of all payloads; the subject of the mutation is a field with the name of its type."""

    changed: bool = strawberry.field(
        description="Whether the mutation changed anything, or in a dry run would change it; false if everything was"
        " already as wanted."
    )


@dataclass(frozen=True)
class Write:
    """The common arguments of a mutation, and the digest of its request.

    *key* is the client's own: another token may use the same key for another request.
    """

    context: Context
    expected_version: int | None
    unchanged_since: int | None
    reason: str | None
    key: str | None
    request: str
    dry_run: bool

    async def transact(
        self, work: Callable[[Transaction], Awaitable[UUID]], answer: Decider[State, Any, Any]
    ) -> Outcome[State]:
        """Run `Handler.transact` with the common arguments.

        *work* checks the expected version itself, because it belongs to one of the streams.
        """
        author = self.context.author(self.reason)
        token = author.token
        assert token is not None
        if self.key is not None:
            author = replace(author, correlation=uuid5(token, self.key))
        assert author.correlation is not None
        trace.correlation.set(author.correlation.hex)
        annotate(correlation=author.correlation.hex)
        try:
            return await self.context.application.handler.transact(
                work,
                answer,
                author,
                key=None if self.key is None else f"{token.hex}:{self.key}",
                request=self.request,
                dry_run=self.dry_run,
            )
        except IdempotencyKeyReused:
            raise IdempotencyKeyReused(key=self.key) from None  # without the token's id


Reason = Annotated[
    str | None,
    strawberry.argument(
        description=f"The reason of the change, which is stored with it; at most {names.MAX_REASON} characters."
    ),
]
IdempotencyKey = Annotated[
    str | None,
    strawberry.argument(
        description="A key of the client's choice. A repeated request with the same key returns the first answer again;"
        f" at most {MAX_KEY} characters."
    ),
]
DryRun = Annotated[
    bool, strawberry.argument(description="Return the answer that the change would have, and write nothing.")
]

UnchangedSince = Annotated[
    int | None,
    strawberry.argument(
        description="A version of the pipeline. Refuse the change if the same property of the same stage, service or"
        " environment was changed after it; other changes do not matter."
    ),
]

_COMMON: tuple[tuple[str, Any, Any], ...] = (
    ("reason", Reason, None),
    ("idempotency_key", IdempotencyKey, None),
    ("dry_run", DryRun, False),
)


def mutation(
    description: str, *, of: str | None = None, is_part: bool = False
) -> Callable[[Callable[Concatenate[Write, Arguments], Awaitable[Answer]]], Any]:
    """Make a GraphQL mutation of a function that takes a `Write` and its own arguments.

    *of* names the subject if it has a version: "pipeline". *is_part* says that the mutation changes an existing part
    of a pipeline, which others leave alone when they change other parts.
    """
    optional = _versions(of, is_part)

    def wrap(work: Callable[Concatenate[Write, Arguments], Awaitable[Answer]]) -> Any:
        own = inspect.signature(work)

        @functools.wraps(work)
        async def resolver(info: Info, **arguments: Any) -> Answer | Refusal:
            with span(info.field_name):
                try:
                    await access.check(info.context, MUTATIONS[info.field_name], arguments)
                    write = _write(info, arguments)
                    return await work(write, **arguments)  # type: ignore[call-arg]  # as the signature says
                except Refused as refused:
                    if isinstance(refused, Forbidden):
                        access.note(info.context, info.field_name, refused)
                    answer = await refusal(info.context, refused)
                    annotate(refusal=answer.code.value)
                    return answer

        own_parameters = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in list(own.parameters.values())[1:]
        ]
        parameters = [
            inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info),
            *own_parameters,
            *(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
                for name, annotation, default in (*optional, *_COMMON)
            ),
        ]
        resolver.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # as functools does
        resolver.__annotations__ = {each.name: each.annotation for each in parameters} | {
            "return": own.return_annotation
        }
        del resolver.__wrapped__
        return strawberry.mutation(resolver=resolver, description=description)

    return wrap


def _versions(of: str | None, is_part: bool) -> list[tuple[str, Any, Any]]:
    """Return the arguments of a mutation for the version of its subject."""
    if of is None:
        return []
    text = f"Refuse the change unless this is the current version of the {of}."
    expected = ("expected_version", Annotated[int | None, strawberry.argument(description=text)], None)
    return [expected, ("unchanged_since", UnchangedSince, None)] if is_part else [expected]


def _write(info: Info, arguments: dict[str, Any]) -> Write:
    """Remove the common arguments from *arguments*, and return them."""
    reason, key, dry_run = (arguments.pop(name, default) for name, _, default in _COMMON)
    expected, since = (arguments.pop(name, None) for name in ("expected_version", "unchanged_since"))
    if reason is not None:
        reason = names.checked_text("reason", reason, names.MAX_REASON) or None
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise InvalidArgument(argument="idempotencyKey", why=f"{len(key):,} characters; 1 to {MAX_KEY} are allowed")
    if key is not None and names.has_control(key):
        raise InvalidArgument(argument="idempotencyKey", why=names.CONTROL)
    told = [info.field_name, arguments, expected] + ([] if since is None else [since])
    request = msgspec.json.encode(told, enc_hook=str)
    return Write(
        context=info.context,
        expected_version=expected,
        unchanged_since=since,
        reason=reason,
        key=key,
        request=hashlib.sha256(request).hexdigest(),
        dry_run=dry_run,
    )
