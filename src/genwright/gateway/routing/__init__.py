"""Routes: a call's way to a model, as a versioned tree; the health of each target; what may be tried again."""
