/** The words of the history for the names of the schema; the type checker finds a missing one. */
import type { VariablesOf } from "../graphql";
import type { HISTORY } from "./documents";

type Filter = NonNullable<VariablesOf<typeof HISTORY>["filter"]>;
type Origin = NonNullable<Filter["origins"]>[number];
type Type = NonNullable<Filter["types"]>[number];

export const ORIGINS: Record<Origin, string> = {
  API: "the API",
  CLI: "the command line",
  CONSOLE: "the console",
  ENGINE: "the engine",
};

export const TYPES: Record<Type, string> = {
  ENVIRONMENT_CREATED: "environment created",
  ENVIRONMENT_RENAMED: "environment renamed",
  TARGET_CHANGED: "target changed",
  CONCURRENCY_CHANGED: "concurrency changed",
  ENVIRONMENT_POLICY_CHANGED: "policy of the environment",
  ENVIRONMENT_VARIABLE_SET: "variable set",
  ENVIRONMENT_VARIABLE_DELETED: "variable deleted",
  ENVIRONMENT_SECRET_SET: "secret set",
  ENVIRONMENT_SECRET_DELETED: "secret deleted",
  ENVIRONMENT_KEY_ROTATED: "key of secrets rotated",
  ENVIRONMENT_DELETED: "environment deleted",
  STAGE_CREATED: "stage created",
  STAGE_RENAMED: "stage renamed",
  STAGE_DESCRIBED: "stage described",
  STAGE_MOVED: "stage moved",
  STAGE_POLICY_CHANGED: "policy of a stage",
  STAGE_DEFAULT_CHANGED: "default stage",
  STAGE_DELETED: "stage deleted",
  SERVICE_ADDED: "service added",
  SERVICE_RENAMED: "service renamed",
  SERVICE_CONFIGURED: "service configured",
  SERVICE_MOVED: "service moved",
  SERVICE_SKIPPED: "service skipped",
  SERVICE_UNSKIPPED: "service no longer skipped",
  SERVICE_REMOVED: "service removed",
};
