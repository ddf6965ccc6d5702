import { graphql } from "../graphql";

export const ENVIRONMENT = graphql(`
  query Environment($id: ID!) {
    environment(id: $id) { id name isDeleted project { id name } }
  }
`);

export const SIBLINGS = graphql(`
  query Siblings($project: ID!) {
    environments(project: $project, first: 500) { edges { node { id name } } }
  }
`);
