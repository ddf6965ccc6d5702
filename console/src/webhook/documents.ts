import { graphql } from "../graphql";

export const WEBHOOKS = graphql(`
  query Webhooks {
    webhooks(first: 100) {
      nodes {
        id
        name
        origin
        environmentId
        events
        template
        isParked
        project { id name }
        delivery { delivered deliveredAt failures problem }
      }
    }
  }
`);

export const CREATE = graphql(`
  mutation CreateWebhook(
    $project: ID!, $environment: ID, $name: String!, $url: SecretValue!, $secret: SecretValue!
    $events: [WebhookEventType!]!, $template: WebhookTemplate!, $key: String!
  ) {
    createWebhook(
      project: $project, environment: $environment, name: $name, url: $url, secret: $secret
      events: $events, template: $template, idempotencyKey: $key
    ) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const EDIT = graphql(`
  mutation EditWebhook(
    $webhook: ID!, $name: String, $url: SecretValue, $secret: SecretValue
    $events: [WebhookEventType!], $template: WebhookTemplate, $key: String!
  ) {
    editWebhook(
      webhook: $webhook, name: $name, url: $url, secret: $secret
      events: $events, template: $template, idempotencyKey: $key
    ) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const DELETE = graphql(`
  mutation DeleteWebhook($webhook: ID!, $key: String!) {
    deleteWebhook(webhook: $webhook, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const PARK = graphql(`
  mutation ParkWebhook($webhook: ID!, $key: String!) {
    parkWebhook(webhook: $webhook, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const RESUME = graphql(`
  mutation ResumeWebhook($webhook: ID!, $key: String!) {
    resumeWebhook(webhook: $webhook, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);

export const REDELIVER = graphql(`
  mutation RedeliverEvent($webhook: ID!, $event: ID!, $key: String!) {
    redeliverEvent(webhook: $webhook, event: $event, idempotencyKey: $key) {
      __typename
      ... on Refusal { message }
    }
  }
`);
