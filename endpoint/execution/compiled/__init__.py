"""Queries compiled to msgspec structs: an optional shortcut past graphql-core."""
