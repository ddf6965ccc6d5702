import { graphql } from "../graphql";

export const PLACES = graphql(`
  query Places {
    projects(first: 500) { nodes { id name } }
  }
`);

export const ENVIRONMENTS = graphql(`
  query PlaceEnvironments($project: ID!) {
    environments(project: $project, first: 500) { nodes { id name } }
  }
`);
