import { graphql } from "../graphql";

const lines = graphql(`
  fragment Lines on LogLineConnection {
    nodes { number cursor printedAt service { serviceId name } phase attempt kind text }
    pageInfo { hasPreviousPage hasNextPage endCursor }
  }
`);

/** The last lines, with what is known of all of them. */
export const TAIL = graphql(
  `
    query LogTail($deployment: ID!, $service: ID, $phase: StepPhase, $attempt: Int, $last: Int!) {
      deploymentLogs(deployment: $deployment, service: $service, phase: $phase, attempt: $attempt, last: $last) {
        totalCount
        firstFailure { number }
        unfinished { service { serviceId name } phase attempt text }
        ...Lines
      }
      start: deploymentLogs(deployment: $deployment, service: $service, phase: $phase, attempt: $attempt, first: 1) {
        nodes { number }
      }
    }
  `,
  [lines],
);

/** The lines from a number on. */
export const NEXT = graphql(
  `
    query LogNext(
      $deployment: ID!
      $service: ID
      $phase: StepPhase
      $attempt: Int
      $first: Int!
      $fromNumber: Int!
    ) {
      deploymentLogs(
        deployment: $deployment
        service: $service
        phase: $phase
        attempt: $attempt
        first: $first
        fromNumber: $fromNumber
      ) { ...Lines }
    }
  `,
  [lines],
);

/** The lines before a cursor. */
export const PREVIOUS = graphql(
  `
    query LogPrevious($deployment: ID!, $service: ID, $phase: StepPhase, $attempt: Int, $last: Int!, $before: String!) {
      deploymentLogs(
        deployment: $deployment
        service: $service
        phase: $phase
        attempt: $attempt
        last: $last
        before: $before
      ) { ...Lines }
    }
  `,
  [lines],
);

/** Number of lines that contain a text; null if a search ended before that was known. */
export const HITS = graphql(`
  query LogHits($deployment: ID!, $service: ID, $phase: StepPhase, $attempt: Int, $text: String!) {
    deploymentLogs(
      deployment: $deployment
      service: $service
      phase: $phase
      attempt: $attempt
      text: $text
      first: 1
    ) { totalCount }
  }
`);

/** The next line that contains a text, from a number on or after a cursor. */
export const NEXT_HIT = graphql(`
  query LogNextHit(
    $deployment: ID!
    $service: ID
    $phase: StepPhase
    $attempt: Int
    $text: String!
    $fromNumber: Int
    $after: String
  ) {
    deploymentLogs(
      deployment: $deployment
      service: $service
      phase: $phase
      attempt: $attempt
      text: $text
      fromNumber: $fromNumber
      after: $after
      first: 1
    ) { nodes { number cursor } pageInfo { hasNextPage endCursor } }
  }
`);

/** The previous line that contains a text, before a cursor; without one, the last. */
export const PREVIOUS_HIT = graphql(`
  query LogPreviousHit(
    $deployment: ID!
    $service: ID
    $phase: StepPhase
    $attempt: Int
    $text: String!
    $before: String
  ) {
    deploymentLogs(
      deployment: $deployment
      service: $service
      phase: $phase
      attempt: $attempt
      text: $text
      before: $before
      last: 1
    ) { nodes { number cursor } pageInfo { hasPreviousPage startCursor } }
  }
`);

export const FOLLOW = graphql(`
  subscription LogBatches($deployment: ID!, $service: ID, $phase: StepPhase, $attempt: Int, $after: String) {
    deploymentLogs(deployment: $deployment, service: $service, phase: $phase, attempt: $attempt, after: $after) {
      cursor
      chunks { number printedAt service { serviceId name } phase attempt kind texts }
      unfinished { service { serviceId name } phase attempt text }
    }
  }
`);
