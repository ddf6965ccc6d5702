import { graphql } from "../graphql";

/** All places that the palette leads to. */
export const PLACES = graphql(`
  query Places {
    environments(first: 500) { nodes { id name project { id name } } }
  }
`);
