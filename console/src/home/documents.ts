import { graphql } from "../graphql";

export const PROJECTS = graphql(`
  query Projects {
    projects(first: 500) { edges { node { id name } } }
  }
`);

export const ENVIRONMENTS = graphql(`
  query Environments($project: ID!) {
    environments(project: $project, first: 200) {
      edges { node { id name latestDeployment { id number status requestedAt finishedAt } } }
    }
  }
`);

export const CREATE_PROJECT = graphql(`
  mutation CreateProject($name: String!, $key: String!) {
    createProject(name: $name, idempotencyKey: $key) {
      ... on ProjectPayload { project { id } }
      ... on Refusal { message }
    }
  }
`);

export const CREATE_ENVIRONMENT = graphql(`
  mutation CreateEnvironment($project: ID!, $name: String!, $key: String!) {
    createEnvironment(project: $project, name: $name, idempotencyKey: $key) {
      ... on PipelinePayload { pipeline { id environment { id } } }
      ... on Refusal { message }
    }
  }
`);
