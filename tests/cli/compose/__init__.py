"""Imports of Compose files. The stacks are our own, in the manner of well-known ones."""
