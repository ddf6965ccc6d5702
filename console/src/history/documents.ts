import { graphql } from "../graphql";

const change = graphql(`
  fragment HistoryChange on PipelineEvent {
    id
    cursor
    version
    recordedAt
    message
    pipelineEventType
    actor { id name }
    origin
    reason
  }
`);

export const HISTORY = graphql(
  `
    query History($environment: ID!, $filter: HistoryFilter, $after: String) {
      cursor
      pipelineHistory(environment: $environment, filter: $filter, first: 50, after: $after) {
        edges { node { ...HistoryChange } }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [change],
);

export const NEWER = graphql(`
  subscription HistoryChanges($environment: ID!, $after: String) {
    pipelineEvents(environment: $environment, after: $after) { cursor version }
  }
`);
