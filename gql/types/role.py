"""Roles."""

from domain.role import Role
from gql.contract import enum

__all__ = ["Role"]

enum.describe(
    Role,
    "A set of rights. Each role includes those before it.",
    VIEWER="Reads everything but the log's export.",
    DEPLOYER="Deploys, approves, holds and cancels, and acts on what runs.",
    EDITOR="Changes pipelines, variables and secrets, and creates and deletes environments; for everything, projects.",
    ADMIN="Grants roles; for everything, exports the log and issues tokens for others.",
)
