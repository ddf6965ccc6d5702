"""The command line: a client of the GraphQL contract like any other, from outside."""
