"""The GraphQL types, with the root query fields that return them; a module for each noun."""
