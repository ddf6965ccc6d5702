import { graphql } from "../graphql";

export const ROLES = graphql(`
  query Roles {
    roles(first: 500) {
      nodes {
        actor { id name }
        roles { role projectId environmentId project { name } environment { name } }
      }
      pageInfo { hasNextPage }
    }
  }
`);

export const GRANT = graphql(`
  mutation GrantRole($actor: ID!, $role: Role!, $project: ID, $environment: ID, $key: String!) {
    grantRole(actor: $actor, role: $role, project: $project, environment: $environment, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const REVOKE = graphql(`
  mutation RevokeRole($actor: ID!, $project: ID, $environment: ID, $key: String!) {
    revokeRole(actor: $actor, project: $project, environment: $environment, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);
