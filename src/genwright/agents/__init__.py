"""Apps: chains as versioned graphs, run step by step, traced and replayed."""
