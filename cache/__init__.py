"""Caches that are bounded by the bytes that they take; they know nothing of Stageline."""
