"""Subscriptions: one execution serves many clients."""
