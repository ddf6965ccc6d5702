"""Targets: where steps are carried out."""
