"""
The role that each root field and each address of the server needs: the one table of roles.

A root field without a rule stops the start, and `tests/gql/test_rules.py` names an address without one.
"""

from collections.abc import Mapping

from domain.role import Role
from gql.access import (
    Find,
    Rule,
    clone,
    environment,
    environments,
    everything,
    of,
    other_actor,
    owner,
    project_or_part,
    webhook,
)


def need(role: Role, find: Find) -> Rule:
    """Return the rule of a field: the role at every place that it names."""
    return Rule(role, find)


def some(role: Role, find: Find = everything) -> Rule:
    """Return the rule of a list: the role at any place within what is asked for."""
    return Rule(role, find, is_within=True)


ENVIRONMENT, PROJECT, DEPLOYMENT = of("environment"), of("project"), of("deployment")
OWN = Rule(None, everything)
"""The rule of fields that any token may use, and that check by themselves."""

QUERIES: Mapping[str, Rule] = {
    "accessRefusals": need(Role.ADMIN, everything),
    "actors": need(Role.VIEWER, everything),
    "cursor": some(Role.VIEWER),
    "deployment": need(Role.VIEWER, of("deployment", "id")),
    "deploymentEvents": need(Role.VIEWER, DEPLOYMENT),
    "deploymentLogs": need(Role.VIEWER, DEPLOYMENT),
    "deployments": need(Role.VIEWER, ENVIRONMENT),
    "documentDiff": need(Role.VIEWER, ENVIRONMENT),
    "environment": need(Role.VIEWER, environment),
    "environments": some(Role.VIEWER, PROJECT),
    "exportPipeline": need(Role.VIEWER, ENVIRONMENT),
    "history": some(Role.VIEWER, PROJECT),
    "insights": need(Role.VIEWER, owner),
    "logHead": need(Role.VIEWER, everything),
    "node": OWN,
    "pipeline": need(Role.VIEWER, ENVIRONMENT),
    "pipelineDiff": need(Role.VIEWER, ENVIRONMENT),
    "pipelineEvents": need(Role.VIEWER, ENVIRONMENT),
    "pipelineHistory": need(Role.VIEWER, ENVIRONMENT),
    "pipelineSnapshot": need(Role.VIEWER, ENVIRONMENT),
    "project": some(Role.VIEWER, of("project", "id")),
    "projectChanges": need(Role.VIEWER, PROJECT),
    "projects": some(Role.VIEWER),
    "roles": some(Role.ADMIN),
    "server": some(Role.VIEWER),
    "service": need(Role.VIEWER, ENVIRONMENT),
    "serviceLogs": need(Role.VIEWER, ENVIRONMENT),
    "services": some(Role.VIEWER, owner),
    "tokens": OWN,
    "viewer": OWN,
    "webhooks": some(Role.ADMIN),
    "workers": need(Role.VIEWER, everything),
}
"""The rules of the queries. `tokens` lists those of the same actor, and all for an admin of everything."""

MUTATIONS: Mapping[str, Rule] = {
    "addService": need(Role.EDITOR, ENVIRONMENT),
    "applyPipeline": need(Role.EDITOR, ENVIRONMENT),
    "applyPipelineToAll": need(Role.EDITOR, environments),
    "approveStage": need(Role.DEPLOYER, DEPLOYMENT),
    "cancelDeployment": need(Role.DEPLOYER, DEPLOYMENT),
    "cloneEnvironment": need(Role.EDITOR, clone),
    "createEnvironment": need(Role.EDITOR, PROJECT),
    "createProject": need(Role.EDITOR, everything),
    "createStage": need(Role.EDITOR, ENVIRONMENT),
    "createWebhook": need(Role.ADMIN, project_or_part),
    "deleteEnvironment": need(Role.EDITOR, ENVIRONMENT),
    "deleteEnvironmentSecrets": need(Role.EDITOR, ENVIRONMENT),
    "deleteEnvironmentVariables": need(Role.EDITOR, ENVIRONMENT),
    "deleteInstances": need(Role.DEPLOYER, ENVIRONMENT),
    "deleteProject": need(Role.EDITOR, PROJECT),
    "deleteProjectSecrets": need(Role.EDITOR, PROJECT),
    "deleteProjectVariables": need(Role.EDITOR, PROJECT),
    "deleteStage": need(Role.EDITOR, ENVIRONMENT),
    "deleteWebhook": need(Role.ADMIN, webhook),
    "deploy": need(Role.DEPLOYER, ENVIRONMENT),
    "editEnvironment": need(Role.EDITOR, ENVIRONMENT),
    "editService": need(Role.EDITOR, ENVIRONMENT),
    "editStage": need(Role.EDITOR, ENVIRONMENT),
    "editWebhook": need(Role.ADMIN, webhook),
    "forgetActor": need(Role.ADMIN, everything),
    "grantRole": need(Role.ADMIN, owner),
    "holdDeployment": need(Role.DEPLOYER, DEPLOYMENT),
    "issueToken": OWN,
    "moveDeployment": need(Role.DEPLOYER, DEPLOYMENT),
    "moveService": need(Role.EDITOR, ENVIRONMENT),
    "moveStage": need(Role.EDITOR, ENVIRONMENT),
    "parkWebhook": need(Role.ADMIN, webhook),
    "redeliverEvent": need(Role.ADMIN, webhook),
    "redeploy": need(Role.DEPLOYER, ENVIRONMENT),
    "rejectStage": need(Role.DEPLOYER, DEPLOYMENT),
    "releaseDeployment": need(Role.DEPLOYER, DEPLOYMENT),
    "removeService": need(Role.EDITOR, ENVIRONMENT),
    "renameProject": need(Role.EDITOR, PROJECT),
    "restartServices": need(Role.DEPLOYER, ENVIRONMENT),
    "restorePipeline": need(Role.EDITOR, ENVIRONMENT),
    "resumeWebhook": need(Role.ADMIN, webhook),
    "retryDeployment": need(Role.DEPLOYER, DEPLOYMENT),
    "revokeRole": need(Role.ADMIN, owner),
    "revokeToken": OWN,
    "rollBackTo": need(Role.DEPLOYER, DEPLOYMENT),
    "rotateEnvironmentKey": need(Role.EDITOR, ENVIRONMENT),
    "rotateProjectKey": need(Role.EDITOR, PROJECT),
    "setActorProfile": need(Role.ADMIN, other_actor),
    "setDefaultStage": need(Role.EDITOR, ENVIRONMENT),
    "setEnvironmentSecret": need(Role.EDITOR, ENVIRONMENT),
    "setEnvironmentVariables": need(Role.EDITOR, ENVIRONMENT),
    "setProjectSecret": need(Role.EDITOR, PROJECT),
    "setProjectVariables": need(Role.EDITOR, PROJECT),
    "skipService": need(Role.EDITOR, ENVIRONMENT),
    "startServices": need(Role.DEPLOYER, ENVIRONMENT),
    "stopServices": need(Role.DEPLOYER, ENVIRONMENT),
    "undoPipelineChange": need(Role.EDITOR, ENVIRONMENT),
    "unskipService": need(Role.EDITOR, ENVIRONMENT),
}
"""The rules of the mutations."""

SUBSCRIPTIONS: Mapping[str, Rule] = {
    "deployment": need(Role.VIEWER, of("deployment", "id")),
    "deploymentChanges": need(Role.VIEWER, DEPLOYMENT),
    "deploymentEvents": need(Role.VIEWER, DEPLOYMENT),
    "deploymentLogs": need(Role.VIEWER, DEPLOYMENT),
    "deployments": need(Role.VIEWER, ENVIRONMENT),
    "environmentEvents": need(Role.VIEWER, ENVIRONMENT),
    "instances": need(Role.VIEWER, ENVIRONMENT),
    "pipeline": need(Role.VIEWER, ENVIRONMENT),
    "pipelineChanges": need(Role.VIEWER, ENVIRONMENT),
    "pipelineEvents": need(Role.VIEWER, ENVIRONMENT),
    "project": some(Role.VIEWER, of("project", "id")),
    "projectEvents": need(Role.VIEWER, PROJECT),
    "projects": some(Role.VIEWER),
    "serviceLogs": need(Role.VIEWER, ENVIRONMENT),
    "tokens": OWN,
}
"""The rules of the subscriptions: all events of one are of the place that it names."""

EXPORT, LOGS = "/audit/export", "/graphql/logs/{deployment}"

ADDRESSES: Mapping[str, Rule] = {
    EXPORT: need(Role.ADMIN, everything),
    LOGS: need(Role.VIEWER, DEPLOYMENT),
    "/graphql": OWN,
    "/graphql/session": OWN,
    "/graphql/session/link": OWN,
}
"""The rules of the server's addresses that need a token. The export has the whole log."""

OPEN = frozenset(
    {
        "/graphql/session/oidc",
        "/graphql/session/oidc/callback",
        "/health",
        "/health/live",
        "/livez",
        "/readyz",
        "/schemas/pipeline.json",
    }
)
"""The addresses that need no token, beside the files of the pages, and the listener of `--metrics`."""

RULES = {"Query": QUERIES, "Mutation": MUTATIONS, "Subscription": SUBSCRIPTIONS}
"""The rules of the root fields by their type."""
