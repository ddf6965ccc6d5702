import { graphql } from "../graphql";

export const VIEWER = graphql(`
  query Viewer {
    viewer {
      actor { id name }
      roles { role projectId environmentId }
      canIssueTokens
      canIssueTokensForOthers
      identityProvider
      expiresAt
      token { expiresAt }
    }
  }
`);
