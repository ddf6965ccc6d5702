"""The GraphQL types and root query fields, a file a noun."""
