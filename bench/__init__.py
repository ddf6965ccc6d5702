"""Measurements, each beside its limit or peer in the same run: `python -m bench.NAME`."""
