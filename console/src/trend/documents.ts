import { graphql } from "../graphql";

/** The newest deployments that ended. */
export const TRENDS = graphql(`
  query Trends($environment: ID!, $first: Int!, $after: String) {
    deployments(environment: $environment, first: $first, after: $after, filter: { statuses: [SUCCEEDED, FAILED, CANCELLED] }) {
      nodes {
        id
        number
        status
        durationSeconds
        stages {
          services {
            serviceId
            name
            status
            build { attempts { startedAt finishedAt } }
            deploy { attempts { startedAt finishedAt } }
          }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

/** The newest deployment, whose end adds a point to the charts. */
export const NEWEST = graphql(`
  subscription Newest($environment: ID!) {
    deployments(environment: $environment, first: 1) { nodes { id finishedAt } }
  }
`);
