import { graphql } from "../graphql";

export const INSIGHTS = graphql(`
  query Insights($environment: ID, $project: ID, $since: DateTime!) {
    insights(environment: $environment, project: $project, since: $since) {
      since
      until
      deploymentFrequency { count perDay }
      leadTime { count medianSeconds p95Seconds }
      changeFailureRate { rate changes failed rolledBack }
      timeToRestore { restored { count medianSeconds p95Seconds } unrestored }
      deploymentTime { count medianSeconds p95Seconds }
      rollbacks
      cancelled
      unchanged
      days { date delivered failed }
      services(first: 100) {
        totalCount
        nodes {
          service { serviceId name }
          environmentId
          steps { phase runs failed flaky time { medianSeconds p95Seconds } }
        }
      }
    }
  }
`);
