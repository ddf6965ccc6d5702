"""The command line: a client of the GraphQL API like any other."""
