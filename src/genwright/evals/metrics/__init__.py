"""Metrics: one file a family; each metric a small class with its card."""
