"""The signed head of the log, which proves its content later."""

from datetime import UTC, datetime

import strawberry

from gql.context import Info
from gql.contract.scalar import LogPosition
from store import head as heads


@strawberry.type(
    description="The current state of the whole log, signed. A later export of the log can be verified against it."
)
class LogHead:
    log_position: LogPosition = strawberry.field(description="Number of events in the log.")
    hash: str = strawberry.field(description="The running hash over all events in order.")
    epoch: str = strawberry.field(description="Id of the log.")
    signed_at: datetime = strawberry.field(description="When the head was signed.")
    key: str = strawberry.field(description="Id of the signing key.")
    signature: str = strawberry.field(description="The Ed25519 signature, in Base64.")
    public_key: str = strawberry.field(
        description="The public key in PEM. To detect a forged head, compare it with a copy that was stored before."
    )


@strawberry.type
class Query:
    @strawberry.field(description="Return the signed head of the log, for `stageline audit verify`.")
    async def log_head(self, info: Info) -> LogHead:
        application = info.context.application
        await info.context.settled()
        running = await application.running.get()
        public = application.signing_key.public_key()
        head = heads.SignedHead(
            log_position=running.position,
            hash=running.hash,
            epoch=application.log.epoch,
            signed_at=datetime.now(UTC),
            key=heads.key_id(public),
        ).sign(application.signing_key)
        return LogHead(
            log_position=LogPosition(head.log_position),
            hash=head.hash,
            epoch=head.epoch,
            signed_at=head.signed_at,
            key=head.key,
            signature=head.signature,
            public_key=heads.to_pem(public),
        )
