"""The event log: every change that was ever made, in one order, for ever."""
