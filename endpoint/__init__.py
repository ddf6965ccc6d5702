"""The GraphQL endpoint for any schema: transports, execution and streams."""
