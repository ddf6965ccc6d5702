"""Subscriptions that many clients share."""
