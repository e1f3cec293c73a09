"""Models that run inside this process, without a network."""
