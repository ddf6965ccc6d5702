"""The subscriptions, a file a noun."""
