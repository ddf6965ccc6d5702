"""
The common part of all mutations.

`@mutation` gives a resolver the four common arguments (expectedVersion, reason, idempotencyKey, dryRun), passes them to
it as a `Write`, and returns a refusal as data.
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
from domain import name as names
from domain.decider import Decider
from domain.errors import IdempotencyKeyReused, InvalidArgument, Refused
from gql.context import Context, Info
from gql.contract.refusal import Refusal, refusal

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
State = TypeVar("State")

MAX_KEY = 200
"""Maximum length of an idempotency key, in characters."""


@dataclass(frozen=True)
class Write:
    """The common arguments of a mutation, and the digest of its request.

    *key* is the client's own: another token may use the same key for another request.
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
        """Run `Handler.transact` with the common arguments.

        *work* checks the expected version itself, because it belongs to one of the streams.
        """
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
            raise IdempotencyKeyReused(key=self.key) from None  # without the token's id


ExpectedVersion = Annotated[
    int | None, strawberry.argument(description="Refuse the change unless this is the current version of the object.")
]
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

_COMMON: tuple[tuple[str, Any, Any], ...] = (
    ("expected_version", ExpectedVersion, None),
    ("reason", Reason, None),
    ("idempotency_key", IdempotencyKey, None),
    ("dry_run", DryRun, False),
)


def mutation(
    description: str,
) -> Callable[[Callable[Concatenate[Write, Arguments], Awaitable[Answer]]], Any]:
    """Make a GraphQL mutation of a function that takes a `Write` and its own arguments."""

    def wrap(work: Callable[Concatenate[Write, Arguments], Awaitable[Answer]]) -> Any:
        own = inspect.signature(work)

        @functools.wraps(work)
        async def resolver(info: Info, **arguments: Any) -> Answer | Refusal:
            try:
                write = _write(info, arguments)
                return await work(write, **arguments)  # type: ignore[call-arg]  # GraphQL checks them by the signature
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
    """Remove the common arguments from *arguments*, and return them."""
    expected, reason, key, dry_run = (arguments.pop(name, default) for name, _, default in _COMMON)
    if reason is not None:
        reason = names.checked_text("reason", reason, names.MAX_REASON) or None
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise InvalidArgument(argument="idempotencyKey", why=f"{len(key):,} characters; 1 to {MAX_KEY} are allowed")
    if key is not None and names.has_control(key):
        raise InvalidArgument(argument="idempotencyKey", why=names.CONTROL)
    request = msgspec.json.encode([info.field_name, arguments, expected], enc_hook=str)
    return Write(
        context=info.context,
        expected_version=expected,
        reason=reason,
        key=key,
        request=hashlib.sha256(request).hexdigest(),
        dry_run=dry_run,
    )
