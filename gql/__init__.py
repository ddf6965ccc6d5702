"""The GraphQL face: types, queries, mutations and subscriptions over the log and its projections."""
