"""The subscriptions; a module for each noun."""
