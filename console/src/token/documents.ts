import { graphql } from "../graphql";

export const TOKENS = graphql(`
  subscription Tokens {
    tokens(first: 500) {
      nodes {
        id
        name
        issuedAt
        expiresAt
        revokedAt
        isValid
        issuingTokenId
        follows { id name }
        roles { role projectId environmentId project { name } environment { name } }
        actor { id name }
        issuedBy { id name }
        revokedBy { id name }
      }
      pageInfo { hasNextPage }
    }
  }
`);

export const ISSUE = graphql(`
  mutation IssueToken($name: String!, $hash: String!, $actor: ID, $expiresAt: DateTime, $roles: [RoleInput!], $key: String!) {
    issueToken(name: $name, hash: $hash, actor: $actor, expiresAt: $expiresAt, roles: $roles, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const REVOKE = graphql(`
  mutation RevokeToken($token: ID!, $withIssued: Boolean!, $key: String!) {
    revokeToken(token: $token, withIssued: $withIssued, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);
