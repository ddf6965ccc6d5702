"""The store of read models on PostgreSQL, and the projector that several nodes share."""
