"""Tests of the GraphQL endpoint, most of them on Stageline's own schema."""
