"""Queries compiled to msgspec structs: an optional short cut past graphql-core."""
