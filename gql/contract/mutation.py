"""
What every mutation has in common.

`@mutation` gives a resolver its four common arguments (expectedVersion, reason, idempotencyKey, dryRun), hands them
to it as a `Write`, and answers a refusal as data.
"""

import functools
import hashlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import msgspec
import strawberry

from application.handler import Outcome, Transaction
from domain.decider import Decider
from domain.errors import IdempotencyKeyReused, InvalidArgument, Refused
from domain.spec import UNSTORABLE
from gql.context import Context, Info
from gql.contract.errors import Refusal, refusal

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
State = TypeVar("State")

MAX_KEY = 200
MAX_REASON = 1000


@dataclass(frozen=True)
class Write:
    """How a mutation is to be written: on what condition, why, as which request, and whether at all.

    *key* is the client's own; what other tokens use as theirs is nothing to it.
    """

    context: Context
    expected_version: int | None
    reason: str | None
    key: str | None
    request: str
    dry_run: bool

    async def transact(
        self, work: Callable[[Transaction], Awaitable[UUID]], answer: Decider[State, Any, Any]
    ) -> Outcome[State]:
        """`Handler.transact` with all of this applied but the expected version, which belongs to one stream."""
        author = self.context.author(self.reason)
        assert author.token is not None
        try:
            return await self.context.application.handler.transact(
                work,
                answer,
                author,
                key=None if self.key is None else f"{author.token.hex}:{self.key}",
                request=self.request,
                dry_run=self.dry_run,
            )
        except IdempotencyKeyReused:
            raise IdempotencyKeyReused(key=self.key) from None  # as the client knows it


ExpectedVersion = Annotated[
    int | None, strawberry.argument(description="Refuses the change unless this is the subject's current version.")
]
Reason = Annotated[str | None, strawberry.argument(description="Why; kept with the change. At most 1000 characters.")]
IdempotencyKey = Annotated[
    str | None,
    strawberry.argument(
        description="The same key with the same request gives the first answer again. At most 200 characters."
    ),
]
DryRun = Annotated[bool, strawberry.argument(description="Answers with what would be, and writes nothing.")]

_COMMON: tuple[tuple[str, Any, Any], ...] = (
    ("expected_version", ExpectedVersion, None),
    ("reason", Reason, None),
    ("idempotency_key", IdempotencyKey, None),
    ("dry_run", DryRun, False),
)


def mutation(
    description: str,
) -> Callable[[Callable[Concatenate[Write, Arguments], Awaitable[Answer]]], Any]:
    """Makes a GraphQL mutation of a function from a `Write` and its own arguments to an answer."""

    def wrap(work: Callable[Concatenate[Write, Arguments], Awaitable[Answer]]) -> Any:
        own = inspect.signature(work)

        @functools.wraps(work)
        async def resolver(info: Info, **arguments: Any) -> Answer | Refusal:
            try:
                write = _write(info, arguments)
                return await work(write, **arguments)  # type: ignore[call-arg]  # checked by GraphQL, by this signature
            except Refused as refused:
                return refusal(refused)

        own_parameters = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in list(own.parameters.values())[1:]
        ]
        parameters = [
            inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info),
            *own_parameters,
            *(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
                for name, annotation, default in _COMMON
            ),
        ]
        resolver.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # as functools does
        resolver.__annotations__ = {each.name: each.annotation for each in parameters} | {
            "return": own.return_annotation
        }
        del resolver.__wrapped__
        return strawberry.mutation(resolver=resolver, description=description)

    return wrap


def _write(info: Info, arguments: dict[str, Any]) -> Write:
    """Takes the common arguments out of *arguments*."""
    expected, reason, key, dry_run = (arguments.pop(name, default) for name, _, default in _COMMON)
    if reason is not None and len(reason) > MAX_REASON:
        raise InvalidArgument(argument="reason", why=f"at most {MAX_REASON} characters")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise InvalidArgument(argument="idempotencyKey", why=f"1 to {MAX_KEY} characters")
    for argument, text in ("reason", reason), ("idempotencyKey", key):
        if text is not None and UNSTORABLE.search(text):
            raise InvalidArgument(argument=argument, why="no NUL and no lone surrogate")
    asked = msgspec.json.encode([info.field_name, arguments, expected], enc_hook=str)
    return Write(
        context=info.context,
        expected_version=expected,
        reason=reason,
        key=key,
        request=hashlib.sha256(asked).hexdigest(),
        dry_run=dry_run,
    )
