import { graphql } from "../graphql";

export const VIEWER = graphql(`
  query Viewer {
    viewer { actor { id name } canEdit canDeploy canIssueTokens canIssueTokensForOthers }
  }
`);
