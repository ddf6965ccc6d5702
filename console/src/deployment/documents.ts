import { graphql } from "../graphql";

const step = graphql(`
  fragment Step on Step {
    phase
    status
    attempt
    finishedAt
    retryAt
    image { digest isReused }
    attempts { attempt status startedAt finishedAt }
  }
`);

const head = graphql(`
  fragment Head on Deployment {
    id
    number
    action
    sourceNumber
    status
    reason
    requestedAt
    startedAt
    finishedAt
    cancellation
    isHeld
    pipelineVersion
    environment { id name project { id name } }
    requestedBy { id name }
    cancelledBy { id name }
    failure { phase failureReason stage { name } service { serviceId name } }
    explanation { criticalPath { service { serviceId name } phase attempt } }
  }
`);

const lane = graphql(`
  fragment Lane on DeploymentStage { id stageId position name status startedAt finishedAt gate { reason message } }
`);

const row = graphql(
  `
    fragment Row on DeploymentService {
      id
      serviceId
      stageId
      name
      status
      ports
      build { ...Step }
      deploy { ...Step }
    }
  `,
  [step],
);

/** The parts of a deployment that changed; `fold` in state.ts adds them to those that are known. */
export const DEPLOYMENT = graphql(
  `
    subscription Deployment($id: ID!, $after: String) {
      deploymentChanges(deployment: $id, after: $after) {
        cursor
        deployment { ...Head }
        stages { ...Lane }
        services { ...Row }
      }
    }
  `,
  [head, lane, row],
);

export const DEPLOYMENTS = graphql(`
  subscription Deployments($environment: ID!) {
    deployments(environment: $environment, first: 100) {
      nodes { id number status reason requestedAt startedAt finishedAt requestedBy { id name } }
    }
  }
`);

/** The deployments of an environment that have not ended, in order; sent again when one of them changes. */
export const QUEUE = graphql(`
  subscription Queue($environment: ID!) {
    deployments(environment: $environment, first: 1) {
      nodes { environment { queue { id number status requestedBy { id name } } } }
    }
  }
`);

export const WAIT = graphql(`
  query Wait($deployment: ID!) {
    cursor
    deployment(id: $deployment) { waitsFor { message silentSeconds } }
  }
`);

/** The events of an environment, of which some change what its deployments wait for. */
export const WAIT_EVENTS = graphql(`
  subscription WaitEvents($environment: ID!, $after: String) {
    environmentEvents(environment: $environment, after: $after) {
      __typename
      cursor
      ... on DeploymentEvent { deploymentEventType waitReason }
    }
  }
`);

export const EVENTS = graphql(`
  subscription Events($deployment: ID!, $after: String) {
    deploymentEvents(deployment: $deployment, after: $after) { cursor version recordedAt message actor { id name } }
  }
`);

/** The last deployment, for comparison with a plan. */
export const LAST = graphql(`
  query LastDeployment($environment: ID!) {
    environment(id: $environment) {
      latestDeployment {
        number
        status
        requestedAt
        durationSeconds
        pipelineVersion
        requestedBy { id name }
        stages { services { serviceId status } }
        changedSince { differences { change { message service { serviceId } } } }
      }
    }
  }
`);

const planned = graphql(`
  fragment Planned on DeploymentResult {
    __typename
    ... on DeploymentPayload {
      merged
      snapshot { stages { stageId position name services { serviceId name status plan { action reason } } } }
    }
    ... on Refusal { message }
  }
`);

const requested = graphql(`
  fragment Requested on DeploymentResult {
    __typename
    ... on DeploymentPayload { merged deployment { id } snapshot { deploymentId } }
    ... on Refusal { message }
  }
`);

export const PLAN = graphql(
  `
    mutation Plan($of: ID!) {
      answer: deploy(environment: $of, dryRun: true) { ...Planned }
    }
  `,
  [planned],
);

export const PLAN_RETRY = graphql(
  `
    mutation PlanRetry($of: ID!) {
      answer: retryDeployment(deployment: $of, dryRun: true) { ...Planned }
    }
  `,
  [planned],
);

export const PLAN_ROLLBACK = graphql(
  `
    mutation PlanRollback($of: ID!) {
      answer: rollBackTo(deployment: $of, dryRun: true) { ...Planned }
    }
  `,
  [planned],
);

export const PLAN_RESTART = graphql(
  `
    mutation PlanRestart($of: ID!, $services: [ID!]) {
      answer: restartServices(environment: $of, services: $services, dryRun: true) { ...Planned }
    }
  `,
  [planned],
);

export const PLAN_STOP = graphql(
  `
    mutation PlanStop($of: ID!, $services: [ID!]) {
      answer: stopServices(environment: $of, services: $services, dryRun: true) { ...Planned }
    }
  `,
  [planned],
);

export const PLAN_START = graphql(
  `
    mutation PlanStart($of: ID!, $services: [ID!]) {
      answer: startServices(environment: $of, services: $services, dryRun: true) { ...Planned }
    }
  `,
  [planned],
);

export const RESTART = graphql(
  `
    mutation Restart($of: ID!, $services: [ID!], $reason: String, $key: String!) {
      answer: restartServices(environment: $of, services: $services, reason: $reason, idempotencyKey: $key) { ...Requested }
    }
  `,
  [requested],
);

export const STOP = graphql(
  `
    mutation Stop($of: ID!, $services: [ID!], $reason: String, $key: String!) {
      answer: stopServices(environment: $of, services: $services, reason: $reason, idempotencyKey: $key) { ...Requested }
    }
  `,
  [requested],
);

export const START = graphql(
  `
    mutation Start($of: ID!, $services: [ID!], $reason: String, $key: String!) {
      answer: startServices(environment: $of, services: $services, reason: $reason, idempotencyKey: $key) { ...Requested }
    }
  `,
  [requested],
);

export const DEPLOY = graphql(
  `
    mutation Deploy($of: ID!, $reason: String, $key: String!) {
      answer: deploy(environment: $of, reason: $reason, idempotencyKey: $key) { ...Requested }
    }
  `,
  [requested],
);

export const RETRY = graphql(
  `
    mutation Retry($of: ID!, $reason: String, $key: String!) {
      answer: retryDeployment(deployment: $of, reason: $reason, idempotencyKey: $key) { ...Requested }
    }
  `,
  [requested],
);

export const ROLL_BACK = graphql(
  `
    mutation RollBack($of: ID!, $reason: String, $key: String!) {
      answer: rollBackTo(deployment: $of, reason: $reason, idempotencyKey: $key) { ...Requested }
    }
  `,
  [requested],
);

export const APPROVE = graphql(`
  mutation Approve($deployment: ID!, $stage: ID!, $reason: String, $key: String!) {
    approveStage(deployment: $deployment, stage: $stage, reason: $reason, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const REJECT = graphql(`
  mutation Reject($deployment: ID!, $stage: ID!, $reason: String, $key: String!) {
    rejectStage(deployment: $deployment, stage: $stage, reason: $reason, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const HOLD = graphql(`
  mutation Hold($deployment: ID!, $reason: String, $key: String!) {
    holdDeployment(deployment: $deployment, reason: $reason, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const RELEASE = graphql(`
  mutation Release($deployment: ID!, $reason: String, $key: String!) {
    releaseDeployment(deployment: $deployment, reason: $reason, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const CANCEL = graphql(`
  mutation Cancel($deployment: ID!, $force: Boolean!, $key: String!) {
    cancelDeployment(deployment: $deployment, force: $force, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);
