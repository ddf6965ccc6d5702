import { graphql } from "../graphql";

/** The secrets of an environment, now and after each change. */
export const OWN = graphql(`
  subscription EnvironmentSecrets($environment: ID!) {
    pipeline(environment: $environment) {
      id
      version
      environment { id secrets { name version setAt setBy { id name } } }
    }
  }
`);

/** The secrets of a project, now and after each change. */
export const SHARED = graphql(`
  subscription ProjectSecrets($project: ID!) {
    project(id: $project) { id secrets { name version setAt setBy { id name } } }
  }
`);

export const SET_OWN = graphql(`
  mutation SetEnvironmentSecret($environment: ID!, $name: String!, $value: SecretValue!, $key: String!) {
    answer: setEnvironmentSecret(environment: $environment, name: $name, value: $value, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const DELETE_OWN = graphql(`
  mutation DeleteEnvironmentSecret($environment: ID!, $name: String!, $key: String!) {
    answer: deleteEnvironmentSecrets(environment: $environment, names: [$name], idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const SET_SHARED = graphql(`
  mutation SetProjectSecret($project: ID!, $name: String!, $value: SecretValue!, $key: String!) {
    answer: setProjectSecret(project: $project, name: $name, value: $value, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const DELETE_SHARED = graphql(`
  mutation DeleteProjectSecret($project: ID!, $name: String!, $key: String!) {
    answer: deleteProjectSecrets(project: $project, names: [$name], idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);
