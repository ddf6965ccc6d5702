"""The GraphQL face, asked as clients ask it."""
