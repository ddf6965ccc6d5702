// The tabs that GraphiQL opens with, filled with the names of what is there.

const projects = (name) => `# Ctrl-Enter runs it. The other tabs: a pipeline,
# how it came to be, and its deployments, live.
query Projects {
  projects(first: 20) {
    edges {
      node {
        id
        name
        createdAt
      }
    }
  }${name === undefined ? "" : environments(name)}
}
`;

const environments = (project) => `
  environments(project: ${JSON.stringify(project)}, first: 20) {
    edges {
      node {
        id
        name
        target
        updatedAt
      }
    }
  }`;

const PIPELINE = `# The stages in their order, and where each service
# stands. As it was at any version or time:
#   pipelineSnapshot(environment: …, at: {version: 3})
query Pipeline($environment: ID!) {
  pipeline(environment: $environment) {
    version
    environment {
      name
    }
    stages {
      position
      name
      description
      services {
        name
        type
        isSkipped
      }
    }
  }
}
`;

const CHANGES = `# Every change of the pipeline from its beginning,
# and then those to come, as they are made.
subscription PipelineEvents($environment: ID!) {
  pipelineEvents(environment: $environment) {
    version
    recordedAt
    actor {
      name
    }
    origin
    reason
    message
    cursor
  }
}
`;

const DEPLOYMENTS = `# The newest deployments first.
query Deployments($environment: ID!) {
  deployments(environment: $environment, first: 5) {
    edges {
      node {
        id
        number
        status
        requestedAt
        finishedAt
        failure {
          failureReason
        }
      }
    }
  }
}
`;

const DEPLOY = `# Deploys the pipeline as it stands. Every change
# takes a reason, which is kept with it:
#   deploy(environment: …, reason: "new search")
mutation Deploy($environment: ID!) {
  deploy(environment: $environment) {
    ... on DeploymentPayload {
      merged
      deployment {
        id
        number
        status
      }
    }
    ... on Refusal {
      code
      message
    }
  }
}
`;

const EVENTS = `# One deployment from its request to its end; then
# the subscription completes by itself. To go on
# after a lost connection, give the last cursor:
#   deploymentEvents(deployment: …, after: "…")
subscription DeploymentEvents($deployment: ID!) {
  deploymentEvents(deployment: $deployment) {
    version
    recordedAt
    message
    stage {
      name
    }
    service {
      name
    }
    phase
    cursor
  }
}
`;

const FIRST_PROJECT = "query { projects(first: 1) { edges { node { id name } } } }";
const FIRST_ENVIRONMENT = `query ($project: ID!) {
  environments(project: $project, first: 1) { edges { node { id } } }
}`;
const LAST_DEPLOYMENT = `query ($environment: ID!) {
  deployments(environment: $environment, first: 1) { edges { node { id } } }
}`;

/** The tabs; *request* answers a query, and may refuse the token. */
export async function examples(request) {
  const first = async (query, variables) =>
    Object.values((await request(query, variables)).data ?? {})[0]?.edges[0]?.node;
  const project = await first(FIRST_PROJECT);
  const environment = project && (await first(FIRST_ENVIRONMENT, { project: project.id }));
  const deployment = environment && (await first(LAST_DEPLOYMENT, { environment: environment.id }));
  const place = { environment: environment?.id ?? "" };
  return [
    { query: projects(project?.name) },
    tab(PIPELINE, place),
    tab(CHANGES, place),
    tab(DEPLOY, place),
    tab(DEPLOYMENTS, place),
    tab(EVENTS, { deployment: deployment?.id ?? "" }),
  ];
}

const tab = (query, variables) => ({ query, variables: JSON.stringify(variables, null, 2) });
