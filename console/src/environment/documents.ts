import { graphql } from "../graphql";

export const ENVIRONMENT = graphql(`
  query Environment($id: ID!) {
    environment(id: $id) { id name isDeleted project { id name } }
  }
`);

export const SIBLINGS = graphql(`
  subscription Siblings($project: ID!) {
    project(id: $project) { id environments(first: 500) { nodes { id name } } }
  }
`);
