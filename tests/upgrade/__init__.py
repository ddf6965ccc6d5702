"""Data written by an earlier version, read and continued by this one."""
