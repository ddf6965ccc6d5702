"""The mutations, a file a noun."""
