"""Benchmarks: not part of the suite, run by `make bench-...`."""
