import { graphql } from "../graphql";

/** The variables of an environment, now and after each change. */
export const OWN = graphql(`
  subscription EnvironmentVariables($environment: ID!) {
    pipeline(environment: $environment) { id version environment { id variables { name value } } }
  }
`);

/** The variables of a project, now and after each change. */
export const SHARED = graphql(`
  subscription ProjectVariables($project: ID!) {
    project(id: $project) { id variables { name value } }
  }
`);

export const SET_OWN = graphql(`
  mutation SetEnvironmentVariable($environment: ID!, $name: String!, $value: String!, $since: Int, $key: String!) {
    answer: setEnvironmentVariables(
      environment: $environment
      variables: [{ name: $name, value: $value }]
      unchangedSince: $since
      idempotencyKey: $key
    ) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const DELETE_OWN = graphql(`
  mutation DeleteEnvironmentVariable($environment: ID!, $name: String!, $since: Int, $key: String!) {
    answer: deleteEnvironmentVariables(
      environment: $environment
      names: [$name]
      unchangedSince: $since
      idempotencyKey: $key
    ) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const SET_SHARED = graphql(`
  mutation SetProjectVariable($project: ID!, $name: String!, $value: String!, $key: String!) {
    answer: setProjectVariables(project: $project, variables: [{ name: $name, value: $value }], idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const DELETE_SHARED = graphql(`
  mutation DeleteProjectVariable($project: ID!, $name: String!, $key: String!) {
    answer: deleteProjectVariables(project: $project, names: [$name], idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);
