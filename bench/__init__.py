"""Benchmarks; each compares with a limit or a peer in the same run: `python -m bench.NAME`."""
