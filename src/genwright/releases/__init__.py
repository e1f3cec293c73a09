"""Releases: pins every version an app runs with, gates it, moves the label that callers hit, rolls back."""
