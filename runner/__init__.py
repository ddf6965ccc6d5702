"""Deployments carried out: what a target is asked to do, and how each kind of target does it."""
