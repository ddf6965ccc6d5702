import { graphql } from "../graphql";

export const PROJECTS = graphql(`
  subscription Projects {
    projects(first: 500) { nodes { id name } pageInfo { hasNextPage } }
  }
`);

/** The environments of a project with their newest deployments, and again after each change of one. */
export const PROJECT = graphql(`
  subscription Project($id: ID!) {
    project(id: $id) {
      id
      environments(first: 200) {
        nodes {
          id
          name
          latestDeployment {
            id
            number
            status
            requestedAt
            finishedAt
            requestedBy { id name }
            progress { done total }
            currentStage { id name }
          }
        }
        pageInfo { hasNextPage }
      }
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
