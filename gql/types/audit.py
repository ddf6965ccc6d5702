"""The signed head of the log, for those who want to prove later what it was."""

from datetime import UTC, datetime

import strawberry

from gql.context import Info
from store import head as heads


@strawberry.type(description="What the whole log is now, signed: who keeps it can check any later export against it.")
class AuditHead:
    position: int = strawberry.field(description="How many events the log has.")
    hash: str = strawberry.field(description="The running hash over all of them, in their order.")
    epoch: str = strawberry.field(description="Tells the log from any other.")
    at: datetime
    key: str = strawberry.field(description="Names the key that it is signed with.")
    signature: str = strawberry.field(description="Ed25519, in base64.")
    public_key: str = strawberry.field(description="The key to check it with, in PEM; best kept from another day.")


@strawberry.type
class Query:
    @strawberry.field(description="The log's signed head: `stageline audit verify` holds an export against it.")
    async def audit_head(self, info: Info) -> AuditHead:
        application = info.context.application
        await info.context.settled()
        running = await application.running.get()
        public = application.signing_key.public_key()
        head = heads.SignedHead(
            position=running.position,
            hash=running.hash,
            epoch=application.log.epoch,
            at=datetime.now(UTC),
            key=heads.key_id(public),
        ).sign(application.signing_key)
        return AuditHead(
            position=head.position,
            hash=head.hash,
            epoch=head.epoch,
            at=head.at,
            key=head.key,
            signature=head.signature,
            public_key=heads.to_pem(public),
        )
