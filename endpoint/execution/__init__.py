"""Execution of documents: parsing, limits, cost, caches and the schema."""
