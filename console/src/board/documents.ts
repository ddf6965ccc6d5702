import { graphql } from "../graphql";

export const BOARD = graphql(`
  subscription Board($environment: ID!) {
    pipeline(environment: $environment) {
      id
      version
      cursor
      environment { id concurrency policy { onFailure buildBarrier deploymentTimeoutSeconds onRequest freezes { cron durationSeconds timeZone action } } }
      stages {
        id
        position
        name
        description
        policy { concurrency onFailure always approval { count timeoutSeconds onTimeout selfApproval role } waitSeconds check { url intervalSeconds timeoutSeconds } }
        services { id name type isSkipped spec { allowFailure } needs { id name } neededBy { id name } }
      }
    }
  }
`);

export const CHANGES = graphql(`
  subscription BoardChanges($environment: ID!, $after: String) {
    pipelineEvents(environment: $environment, after: $after) {
      id
      cursor
      version
      message
      actor { id name }
      service { serviceId }
      stage { stageId }
    }
  }
`);

/** The step and the wait of each service now; sent again when the newest deployment or the queue changes. */
export const PROGRESS = graphql(`
  subscription BoardProgress($environment: ID!) {
    deployments(environment: $environment, first: 1) {
      nodes {
        environment {
          pipeline { stages { services { id lastStep { phase step { status attempt } } waitsFor { message } } } }
        }
      }
    }
  }
`);

/** The instance of each service; sent again when one changes. */
export const INSTANCES = graphql(`
  subscription BoardInstances($environment: ID!) {
    instances(environment: $environment) { id instance { status restarts problem lastExit { code signal } } }
  }
`);

/** The newest deployments, from which each card takes the last one of its service. */
export const LATEST = graphql(`
  subscription BoardDeployments($environment: ID!) {
    deployments(environment: $environment, first: 3) {
      nodes { id number status stages { id services { id serviceId status } } }
    }
  }
`);

export const SERVICE = graphql(`
  query Service($environment: ID!, $service: ID!) {
    service(environment: $environment, service: $service) {
      id
      name
      type
      spec {
        image
        buildContext
        dockerfile
        workingDirectory
        buildCommands
        runCommand
        env { name value }
        ports
        healthCheck {
          intervalSeconds timeoutSeconds startPeriodSeconds watchIntervalSeconds failureThreshold
          http { path portIndex } tcp { portIndex } command
          also { http { path portIndex } tcp { portIndex } command }
        }
        buildTimeoutSeconds
        deployTimeoutSeconds
        stopGraceSeconds
        stopSignal
        stopFirst
        restart
        restartBackoff { initialSeconds factor maxSeconds jitter }
        restartLimit
        restartWindowSeconds
        retries
        backoff { initialSeconds factor maxSeconds jitter }
        allowFailure
        once
        container {
          entrypoint command workingDirectory user pull publish { portIndex hostPort address }
          volumes { name path readOnly } binds { source path readOnly } labels { name value }
          memoryMib memoryRequestMib cpus cpusRequest sharedMemoryMib replicas
          buildArgs { name value } buildTarget platform
        }
      }
    }
  }
`);

const changed = graphql(`
  fragment Changed on PipelineResult {
    __typename
    ... on PipelinePayload { changed pipeline { id version } snapshot { version } }
    ... on Refusal { code message currentVersion events { id version message actor { id name } } }
  }
`);

export const MOVE_SERVICE = graphql(
  `
    mutation MoveService($environment: ID!, $service: ID!, $stage: ID!, $since: Int, $key: String!) {
      answer: moveService(
        environment: $environment
        service: $service
        stage: $stage
        unchangedSince: $since
        idempotencyKey: $key
      ) { ...Changed }
    }
  `,
  [changed],
);

/** Dry runs of moves, which say why the server would refuse them. */
export const TRY_SERVICE = graphql(
  `
    mutation TryService($environment: ID!, $service: ID!, $stage: ID!) {
      answer: moveService(environment: $environment, service: $service, stage: $stage, dryRun: true) { ...Changed }
    }
  `,
  [changed],
);

export const TRY_STAGE = graphql(
  `
    mutation TryStage($environment: ID!, $stage: ID!, $position: Int!) {
      answer: moveStage(environment: $environment, stage: $stage, to: { position: $position }, dryRun: true) {
        ...Changed
      }
    }
  `,
  [changed],
);

export const SKIP_SERVICE = graphql(
  `
    mutation SkipService($environment: ID!, $service: ID!, $since: Int, $key: String!) {
      answer: skipService(environment: $environment, service: $service, unchangedSince: $since, idempotencyKey: $key) {
        ...Changed
      }
    }
  `,
  [changed],
);

export const UNSKIP_SERVICE = graphql(
  `
    mutation UnskipService($environment: ID!, $service: ID!, $since: Int, $key: String!) {
      answer: unskipService(environment: $environment, service: $service, unchangedSince: $since, idempotencyKey: $key) {
        ...Changed
      }
    }
  `,
  [changed],
);

export const ADD_SERVICE = graphql(
  `
    mutation AddService(
      $environment: ID!
      $name: String!
      $type: ServiceType!
      $stage: ID
      $spec: ServiceSpecInput
      $key: String!
    ) {
      answer: addService(
        environment: $environment
        name: $name
        type: $type
        stage: $stage
        spec: $spec
        idempotencyKey: $key
      ) { ...Changed }
    }
  `,
  [changed],
);

export const EDIT_SERVICE = graphql(
  `
    mutation EditService(
      $environment: ID!
      $service: ID!
      $name: String
      $spec: ServiceSpecInput
      $since: Int
      $key: String!
    ) {
      answer: editService(
        environment: $environment
        service: $service
        name: $name
        spec: $spec
        unchangedSince: $since
        idempotencyKey: $key
      ) { ...Changed }
    }
  `,
  [changed],
);

export const REMOVE_SERVICE = graphql(
  `
    mutation RemoveService($environment: ID!, $service: ID!, $since: Int, $key: String!) {
      answer: removeService(
        environment: $environment
        service: $service
        unchangedSince: $since
        idempotencyKey: $key
      ) { ...Changed }
    }
  `,
  [changed],
);

export const EDIT_ENVIRONMENT = graphql(
  `
    mutation EditEnvironment(
      $environment: ID!
      $concurrency: Int
      $policy: EnvironmentPolicyInput
      $since: Int
      $key: String!
    ) {
      answer: editEnvironment(
        environment: $environment
        concurrency: $concurrency
        policy: $policy
        unchangedSince: $since
        idempotencyKey: $key
      ) { ...Changed }
    }
  `,
  [changed],
);

export const CREATE_STAGE = graphql(
  `
    mutation CreateStage($environment: ID!, $name: String!, $description: String!, $key: String!) {
      answer: createStage(environment: $environment, name: $name, description: $description, idempotencyKey: $key) {
        ...Changed
      }
    }
  `,
  [changed],
);

export const EDIT_STAGE = graphql(
  `
    mutation EditStage(
      $environment: ID!
      $stage: ID!
      $name: String
      $description: String
      $policy: StagePolicyInput
      $since: Int
      $key: String!
    ) {
      answer: editStage(
        environment: $environment
        stage: $stage
        name: $name
        description: $description
        policy: $policy
        unchangedSince: $since
        idempotencyKey: $key
      ) { ...Changed }
    }
  `,
  [changed],
);

export const MOVE_STAGE = graphql(
  `
    mutation MoveStage($environment: ID!, $stage: ID!, $position: Int!, $since: Int, $key: String!) {
      answer: moveStage(
        environment: $environment
        stage: $stage
        to: { position: $position }
        expectedVersion: $since
        idempotencyKey: $key
      ) { ...Changed }
    }
  `,
  [changed],
);

export const DELETE_STAGE = graphql(
  `
    mutation DeleteStage($environment: ID!, $stage: ID!, $servicesTo: ID, $since: Int, $key: String!) {
      answer: deleteStage(
        environment: $environment
        stage: $stage
        servicesTo: $servicesTo
        unchangedSince: $since
        idempotencyKey: $key
      ) { ...Changed }
    }
  `,
  [changed],
);

export const UNDO = graphql(
  `
    mutation Undo($environment: ID!, $change: ID!, $key: String!) {
      answer: undoPipelineChange(environment: $environment, change: $change, idempotencyKey: $key) { ...Changed }
    }
  `,
  [changed],
);
