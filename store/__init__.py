"""The event log: every change, in one order, for good."""
