import { graphql } from "../graphql";

const change = graphql(`
  fragment HistoryChange on PipelineEvent {
    id
    version
    recordedAt
    message
    actor { id name }
    origin
    reason
  }
`);

export const HISTORY = graphql(
  `
    query History($environment: ID!, $filter: HistoryFilter, $after: String) {
      pipelineHistory(environment: $environment, filter: $filter, first: 50, after: $after) {
        nodes { ...HistoryChange }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [change],
);

/** The newest version: it says when the history must be read again. */
export const NEWEST = graphql(`
  subscription HistoryNewest($environment: ID!) {
    pipeline(environment: $environment) { id version }
  }
`);

/** The values that the filters offer. */
export const CHOICES = graphql(`
  query HistoryChoices($environment: ID!, $withActors: Boolean!) {
    actors(first: 500) @include(if: $withActors) { nodes { id name } }
    pipeline(environment: $environment) { id stages { id name services { id name } } }
  }
`);

/** The deployments that pinned a version. */
export const PINNED = graphql(`
  query HistoryDeployments($environment: ID!) {
    deployments(environment: $environment, first: 100) { nodes { id number status pipelineVersion } }
  }
`);

const snapshot = graphql(`
  fragment Past on PipelineSnapshot {
    version
    stages { stageId position name description services { serviceId name type isSkipped } }
  }
`);

const differences = graphql(`
  fragment Differences on PipelineDiff {
    from { version }
    differences {
      change { message stage { stageId } service { serviceId } }
      events(first: 1) { nodes { id version recordedAt reason actor { id name } } }
    }
  }
`);

export const PAST = graphql(
  `
    query Past($environment: ID!, $at: PipelineMoment!) {
      pipelineSnapshot(environment: $environment, at: $at) { ...Past }
    }
  `,
  [snapshot],
);

export const COMPARED = graphql(
  `
    query Compared($environment: ID!, $from: PipelineMoment!, $to: PipelineMoment!) {
      pipelineDiff(environment: $environment, from: $from, to: $to) { to { ...Past } ...Differences }
    }
  `,
  [snapshot, differences],
);

export const RESTORE = graphql(`
  mutation Restore(
    $environment: ID!
    $version: Int!
    $since: Int!
    $reason: String
    $key: String!
    $isDry: Boolean!
  ) {
    restorePipeline(
      environment: $environment
      version: $version
      expectedVersion: $since
      reason: $reason
      idempotencyKey: $key
      dryRun: $isDry
    ) {
      __typename
      ... on PipelinePayload { changed pipeline { id version } snapshot { version } }
      ... on Refusal { code message currentVersion events { id message actor { id name } } }
    }
  }
`);
