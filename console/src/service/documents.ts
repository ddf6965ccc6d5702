import { changed } from "../board/documents";
import { graphql } from "../graphql";

export const SERVICE = graphql(`
  query Service($environment: ID!, $service: ID!) {
    pipeline(environment: $environment) { id version }
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
        healthCheck { http { path portIndex } tcp { portIndex } command intervalSeconds timeoutSeconds startPeriodSeconds }
        buildTimeoutSeconds
        deployTimeoutSeconds
        stopGraceSeconds
        retries
        backoff { initialSeconds factor maxSeconds jitter }
        allowFailure
      }
    }
  }
`);

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
      answer: removeService(environment: $environment, service: $service, unchangedSince: $since, idempotencyKey: $key) {
        ...Changed
      }
    }
  `,
  [changed],
);
