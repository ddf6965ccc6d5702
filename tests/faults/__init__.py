"""Nodes of one log while everything fails around them, and the proof afterwards that no promise was broken."""
