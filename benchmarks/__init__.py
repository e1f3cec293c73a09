"""Benchmarks: one script per room, peers or the limit beside us in the same run, and LOG.md."""
