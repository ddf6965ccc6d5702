"""Caches bounded in bytes; they know nothing of Stageline."""
