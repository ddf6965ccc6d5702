import { graphql } from "../graphql";

export const DEPLOYMENT = graphql(`
  subscription Deployment($id: ID!) {
    deployment(id: $id) {
      id
      number
      status
      version
      reason
      requestedAt
      startedAt
      finishedAt
      cancellation
      pipelineVersion
      environment { id name project { id name } }
      requestedBy { id name }
      cancelledBy { id name }
      failure { phase failureReason stage { stageId name } service { serviceId name } }
      stages {
        id
        position
        name
        status
        startedAt
        finishedAt
        services {
          id
          name
          type
          status
          ports
          build { status attempt startedAt finishedAt failureReason }
          deploy { status attempt startedAt finishedAt failureReason }
        }
      }
    }
  }
`);

export const DEPLOYMENTS = graphql(`
  subscription Deployments($environment: ID!) {
    deployments(environment: $environment, first: 100) {
      edges {
        node { id number status reason requestedAt startedAt finishedAt pipelineVersion requestedBy { id name } }
      }
    }
  }
`);

export const PLAN = graphql(`
  mutation Plan($environment: ID!) {
    deploy(environment: $environment, dryRun: true) {
      __typename
      ... on DeploymentPayload {
        merged
        snapshot { number stages { stageId position name services { serviceId name type status } } }
      }
      ... on Refusal { message }
    }
  }
`);

export const DEPLOY = graphql(`
  mutation Deploy($environment: ID!, $reason: String, $key: String!) {
    deploy(environment: $environment, reason: $reason, idempotencyKey: $key) {
      __typename
      ... on DeploymentPayload { merged deployment { id number } snapshot { deploymentId number } }
      ... on Refusal { message }
    }
  }
`);

export const CANCEL = graphql(`
  mutation Cancel($deployment: ID!, $force: Boolean!, $key: String!) {
    cancelDeployment(deployment: $deployment, force: $force, idempotencyKey: $key) {
      __typename
      ... on DeploymentPayload { changed }
      ... on Refusal { message }
    }
  }
`);
