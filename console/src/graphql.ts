/** Typed GraphQL documents: TypeScript reads gql/schema.graphql, and nothing is generated for the page. */
import { initGraphQLTada } from "gql.tada";

import type { introspection } from "./graphql-env";

export const graphql = initGraphQLTada<{
  introspection: introspection;
  disableMasking: true;
  scalars: { DateTime: string; LogPosition: number; SecretValue: string };
}>();

export type { ResultOf, VariablesOf } from "gql.tada";
